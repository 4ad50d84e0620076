#include "daemons/shim/shim.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "common/base/text.hpp"
#include "common/store/file.hpp"

namespace trainyard::shim {

namespace {

constexpr Duration rest_grace = 500ms;   // for what the task left behind, between SIGTERM and SIGKILL
constexpr Duration rest_patience = 30s;  // a process that even SIGKILL does not end hangs in the kernel
constexpr Duration memory_every = 1s;
constexpr std::size_t reserve_bytes = 64 << 10;
constexpr int reads_max = 64;  // of one stream before the signals are looked at again

Time now() { return SystemClock{}.now().monotonic; }

Error system_failure(const char* what) {
  return {Errc::io, format("cannot {}: {}", what, std::generic_category().message(errno))};
}

int milliseconds_until(Time deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 1000));
}

}  // namespace

Shim::Shim(std::string task_dir, runtime::ShimLaunch launch)
    : task_dir_(std::move(task_dir)),
      launch_(std::move(launch)),
      streams_{Stream{-1, {task_dir_ + "/stdout.log", launch_.log_bytes_max}, {0, 0}},
               Stream{-1,
                      {task_dir_ + "/stderr.log", launch_.log_bytes_max},
                      {runtime::last_lines_max, runtime::last_line_bytes_max}}} {}

Shim::~Shim() {
  for (Stream& stream : streams_) {
    if (stream.descriptor >= 0) ::close(stream.descriptor);
  }
  if (signals_ >= 0) ::close(signals_);
}

Status Shim::run() {
  if (const Status prepared = prepare(); !prepared) return prepared;
  if (const Status started = start(); !started) {
    error_ = started.error().message;
    ended_ = runtime::ExitStatus{127, 0};
    return record();
  }
  watch();
  kill_rest();
  for (Stream& stream : streams_) read_stream(stream);
  return record();
}

Status Shim::prepare() {
  ::setsid();  // refused when the executor did so already
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return system_failure("adopt what the task leaves behind");
  sigset_t watched;
  ::sigemptyset(&watched);
  for (const int number : {SIGTERM, SIGINT, SIGCHLD, SIGHUP, SIGXFSZ, SIGPIPE}) ::sigaddset(&watched, number);
  ::sigprocmask(SIG_BLOCK, &watched, nullptr);
  signals_ = ::signalfd(-1, &watched, SFD_NONBLOCK | SFD_CLOEXEC);
  if (signals_ < 0) return system_failure("watch for signals");
  // Room for the exit record, should the disk be full by then.
  if (const Status kept = store::write_atomic(task_dir_ + "/exit.room", std::string(reserve_bytes, '\n'));
      !kept) {
    return kept;
  }
  return runtime::write_status(task_dir_,
                               {.shim = ::getpid(), .shim_start = *runtime::start_ticks(::getpid())});
}

Status Shim::start() {
  int outs[2][2];
  for (std::size_t i = 0; i < 2; ++i) {
    if (::pipe2(outs[i], O_CLOEXEC) != 0) return system_failure("make a pipe");
    ::fcntl(outs[i][0], F_SETFL, O_NONBLOCK);
    streams_[i].descriptor = outs[i][0];
  }
  const auto child = runtime::spawn({.command = launch_.command,
                                     .environment = launch_.environment,
                                     .directory = launch_.directory,
                                     .stdout_descriptor = outs[0][1],
                                     .stderr_descriptor = outs[1][1],
                                     .new_session = true,
                                     .die_with_parent = true});
  for (auto& out : outs) ::close(out[1]);
  if (!child) return child.error();
  child_ = *child;
  const runtime::ShimStatus status{.shim = ::getpid(),
                                   .child = child_,
                                   .shim_start = runtime::start_ticks(::getpid()).value_or(0),
                                   .child_start = runtime::start_ticks(child_).value_or(0)};
  // A full disk must not end a task that runs: who reads the older status still finds the shim.
  static_cast<void>(runtime::write_status(task_dir_, status).has_value());
  return {};
}

void Shim::watch() {
  while (!ended_) {
    Time deadline = memory_due_;
    if (kill_at_) deadline = std::min(deadline, *kill_at_);
    pollfd polled[3] = {
        {signals_, POLLIN, 0}, {streams_[0].descriptor, POLLIN, 0}, {streams_[1].descriptor, POLLIN, 0}};
    if (::poll(polled, 3, milliseconds_until(deadline)) < 0 && errno != EINTR) return;
    for (Stream& stream : streams_) read_stream(stream);
    read_signals();
    if (now() >= memory_due_) sample_memory();
    if (kill_at_ && now() >= *kill_at_) {
      kill_at_ = now() + 1s;
      for (const pid_t pid : runtime::descendants(::getpid())) ::kill(pid, SIGKILL);
    }
    reap_children();
  }
}

void Shim::read_signals() {
  signalfd_siginfo info{};
  while (::read(signals_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo != SIGTERM && info.ssi_signo != SIGINT) continue;
    const bool with_grace = info.ssi_code == SI_QUEUE;
    stop(with_grace ? std::chrono::milliseconds(std::max(info.ssi_int, 0)) : launch_.grace);
  }
}

void Shim::stop(Duration grace) {
  const Time kill_at = now() + grace;
  if (grace > 0s && !kill_at_) ::kill(-child_, SIGTERM);
  if (!kill_at_ || kill_at < *kill_at_) kill_at_ = kill_at;
}

void Shim::reap_children() {
  int status = 0;
  while (const pid_t gone = ::waitpid(-1, &status, WNOHANG)) {
    if (gone < 0) return;
    if (gone != child_) continue;
    ended_ = WIFSIGNALED(status) ? runtime::ExitStatus{0, WTERMSIG(status)}
                                 : runtime::ExitStatus{WEXITSTATUS(status), 0};
  }
}

void Shim::read_stream(Stream& stream) {
  char buffer[65536];
  for (int i = 0; i < reads_max && stream.descriptor >= 0; ++i) {
    const ssize_t got = ::read(stream.descriptor, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      ::close(std::exchange(stream.descriptor, -1));
      return;
    }
    const std::string_view bytes(buffer, static_cast<std::size_t>(got));
    stream.log.append(bytes);
    stream.tail.append(bytes);
  }
}

/// Who was started by the task and is still there, also with a session of its own: as subreaper we are its
/// parent.
void Shim::kill_rest() {
  const Time kill_at = std::min(kill_at_.value_or(Time::max()), now() + rest_grace);
  const Time give_up = now() + rest_patience;
  bool asked = false;
  while (now() < give_up) {
    const std::vector<pid_t> rest = runtime::descendants(::getpid());
    if (rest.empty()) break;
    const int number = now() >= kill_at ? SIGKILL : SIGTERM;
    if (number == SIGKILL || !std::exchange(asked, true)) {
      for (const pid_t pid : rest) ::kill(pid, number);
    }
    for (Stream& stream : streams_) read_stream(stream);
    ::poll(nullptr, 0, 5);
    reap_children();
  }
  reap_children();
}

void Shim::sample_memory() {
  memory_due_ = now() + memory_every;
  std::uint64_t sum = 0;
  for (const pid_t pid : runtime::descendants(::getpid())) sum += runtime::resident_bytes(pid);
  memory_peak_ = std::max(memory_peak_, sum);
}

Status Shim::record() {
  rusage usage{};
  ::getrusage(RUSAGE_CHILDREN, &usage);
  const runtime::ExitRecord record{
      .exit_code = ended_ ? ended_->code : 0,
      .signal = ended_ ? ended_->signal : 0,
      .memory_peak = std::max(memory_peak_, static_cast<std::uint64_t>(usage.ru_maxrss) * 1024),
      .ended = SystemClock{}.now().wall,
      .log_bytes_dropped = streams_[0].log.dropped() + streams_[1].log.dropped(),
      .error = error_,
      .last_lines = streams_[1].tail.lines()};
  Status written = runtime::write_exit(task_dir_, record);
  ::unlink((task_dir_ + "/exit.room").c_str());
  if (!written) written = runtime::write_exit(task_dir_, record);
  return written;
}

}  // namespace trainyard::shim
