#include "common/runtime/process.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "common/base/text.hpp"
#include "common/store/file.hpp"

namespace trainyard::runtime {

namespace {

/// Where a child's start failed; sent through a pipe that exec closes.
struct Failure {
  int stage = 0;
  int code = 0;
};
constexpr const char* stages[] = {"set up", "enter its directory", "open its log", "be executed"};

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

/// After fork: only what is allowed in a child of a process with threads.
class Child {
 public:
  Child(const SpawnSpec& spec, int report, pid_t parent) : spec_(spec), report_(report), parent_(parent) {}

  [[noreturn]] void run(char* const* argv, char* const* envp) {
    if (spec_.new_session && ::setsid() < 0) fail(0);
    if (spec_.die_with_parent) {
      if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail(0);
      if (::getppid() != parent_) ::_exit(127);  // it died before we asked to be told
    }
    reset_signals();
    if (!spec_.directory.empty() && ::chdir(spec_.directory.c_str()) != 0) fail(1);
    const int input = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (input < 0) fail(2);
    const int output = output_descriptor(spec_.stdout_descriptor, spec_.stdout_file);
    const int error = output_descriptor(spec_.stderr_descriptor, spec_.stderr_file);
    // Targets 0 to 2 may be sources too; so first everything moves out of the way.
    const std::array<int, 3> sources{above_standard(input), above_standard(output), above_standard(error)};
    for (int target = 0; target < 3; ++target) {
      if (::dup2(sources[static_cast<std::size_t>(target)], target) < 0) fail(2);
    }
    ::close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    ::execvpe(argv[0], argv, envp);
    fail(3);
  }

 private:
  static void reset_signals() {
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    for (const int number : {SIGPIPE, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD})
      ::signal(number, SIG_DFL);
  }
  int output_descriptor(int given, const std::string& file) {
    if (given >= 0) return given;
    const char* path = file.empty() ? "/dev/null" : file.c_str();
    const int opened = ::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (opened < 0) fail(2);
    return opened;
  }
  int above_standard(int descriptor) {
    const int moved = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
    if (moved < 0) fail(2);
    return moved;
  }
  [[noreturn]] void fail(int stage) {
    const Failure failure{stage, errno};
    const ssize_t told = ::write(report_, &failure, sizeof failure);
    static_cast<void>(told);
    ::_exit(127);
  }

  const SpawnSpec& spec_;
  const int report_;
  const pid_t parent_;
};

/// What /proc/<pid>/stat says; its second field may hold blanks and brackets, so reading starts after it.
struct Stat {
  char state = '?';
  pid_t parent = 0;
  std::uint64_t start = 0;
};

std::optional<Stat> stat_of(pid_t pid) {
  const auto text = store::read_file(format("/proc/{}/stat", pid), 65536);
  if (!text) return std::nullopt;
  const std::size_t bracket = text->rfind(')');
  if (bracket == std::string::npos || bracket + 2 >= text->size()) return std::nullopt;
  const std::vector<std::string> fields = split(std::string_view(*text).substr(bracket + 2), ' ');
  if (fields.size() < 20) return std::nullopt;
  const auto parent = parse_uint(fields[1]);
  const auto start = parse_uint(fields[19]);
  if (fields[0].size() != 1 || !parent || !start) return std::nullopt;
  return Stat{fields[0][0], static_cast<pid_t>(*parent), *start};
}

bool is_live(const Stat& stat) { return stat.state != 'Z' && stat.state != 'X'; }

std::vector<pid_t> all_pids() {
  std::vector<pid_t> pids;
  std::error_code code;
  for (std::filesystem::directory_iterator it("/proc", code);
       !code && it != std::filesystem::directory_iterator{}; it.increment(code)) {
    if (const auto pid = parse_uint(it->path().filename().string())) pids.push_back(static_cast<pid_t>(*pid));
  }
  return pids;
}

}  // namespace

Result<pid_t> spawn(const SpawnSpec& spec) {
  if (spec.command.empty()) return Error{Errc::invalid, "an empty command cannot be started"};
  std::vector<std::string> arguments = spec.command;
  std::vector<std::string> entries;
  entries.reserve(spec.environment.size());
  for (const auto& [key, value] : spec.environment) entries.push_back(format("{}={}", key, value));
  const std::vector<char*> argv = pointers(arguments), envp = pointers(entries);
  int report[2];
  const auto failed = [&](const std::string& stage, int code) {
    const std::string reason = std::generic_category().message(code);
    return Error{code == ENOENT ? Errc::not_found : Errc::io,
                 format("{}: cannot {}: {}", spec.command[0], stage, reason)};
  };
  if (::pipe2(report, O_CLOEXEC) != 0) return failed("be started", errno);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) Child(spec, report[1], parent).run(argv.data(), envp.data());
  const int fork_code = errno;
  ::close(report[1]);
  Failure failure;
  ssize_t got = 0;
  if (child > 0) {
    while ((got = ::read(report[0], &failure, sizeof failure)) < 0 && errno == EINTR) {
    }
  }
  ::close(report[0]);
  if (child < 0) return failed("be started", fork_code);
  if (got == sizeof failure) {
    ::waitpid(child, nullptr, 0);
    return failed(stages[std::clamp(failure.stage, 0, 3)], failure.code);
  }
  return child;
}

std::optional<ExitStatus> reap(pid_t child) {
  int status = 0;
  if (::waitpid(child, &status, WNOHANG) != child) return std::nullopt;
  if (WIFSIGNALED(status)) return ExitStatus{0, WTERMSIG(status)};
  return ExitStatus{WEXITSTATUS(status), 0};
}

std::optional<std::uint64_t> start_ticks(pid_t pid) {
  const auto stat = stat_of(pid);
  if (!stat || !is_live(*stat)) return std::nullopt;
  return stat->start;
}

std::vector<pid_t> descendants(pid_t root) {
  std::multimap<pid_t, pid_t> children;
  std::map<pid_t, bool> live;
  for (const pid_t pid : all_pids()) {
    if (const auto stat = stat_of(pid)) {
      children.emplace(stat->parent, pid);
      live[pid] = is_live(*stat);
    }
  }
  std::vector<pid_t> found, queue{root};
  while (!queue.empty()) {
    std::vector<pid_t> next;
    for (const pid_t parent : queue) {
      const auto [begin, end] = children.equal_range(parent);
      for (auto it = begin; it != end; ++it) next.push_back(it->second);
    }
    std::copy_if(next.begin(), next.end(), std::back_inserter(found), [&](pid_t pid) { return live[pid]; });
    queue = std::move(next);
  }
  return found;
}

std::vector<pid_t> processes_with(const std::string& entry) {
  std::vector<pid_t> found;
  const std::string wanted = entry + '\0';
  for (const pid_t pid : all_pids()) {
    const auto text = store::read_file(format("/proc/{}/environ", pid), std::uint64_t{4} << 20);
    if (!text) continue;
    const std::size_t at = text->find(wanted);
    if (at == 0 || (at != std::string::npos && (*text)[at - 1] == '\0')) found.push_back(pid);
  }
  return found;
}

std::uint64_t resident_bytes(pid_t pid) {
  const auto text = store::read_file(format("/proc/{}/statm", pid), 4096);
  if (!text) return 0;
  const std::vector<std::string> fields = split(*text, ' ');
  const auto pages = fields.size() > 1 ? parse_uint(fields[1]) : std::nullopt;
  return pages.value_or(0) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::map<std::string, std::string> environment() {
  std::map<std::string, std::string> all;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos) all.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return all;
}

}  // namespace trainyard::runtime
