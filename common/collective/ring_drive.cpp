// What a ring does from moment to moment: takes operations, moves their bytes, hears and tells of failures.
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "common/base/text.hpp"
#include "common/collective/add.hpp"
#include "common/collective/ring.hpp"

namespace trainyard::collective {

namespace {

// Silence is counted in own ticks: a process that was stopped itself blames nobody when it goes on.
constexpr std::uint32_t silent_ticks_max = 8;
constexpr Duration tick_min = 5ms;
constexpr Duration look_every = 50ms;         // at `cancelled`
constexpr Duration suspect_patience = 250ms;  // for the notice that names the culprit
constexpr Duration farewell_patience = 2s;
// A rank that waits looks again for so long before it sleeps: to be woken costs about as much.
constexpr Duration spin = 100us;

Time now() { return std::chrono::steady_clock::now(); }

}  // namespace

Ring::Ring(RingSettings settings, Neighbours neighbours)
    : settings_(std::move(settings)), neighbours_(std::move(neighbours)), wake_(make_event()) {
  tick_every_ = std::max<Duration>(settings_.patience / silent_ticks_max, tick_min);
  next_tick_ = now() + tick_every_;
  if (ranks() > 1) thread_ = std::thread([this] { run(); });
}

void Ring::run() {
  std::unique_lock turn(turn_);
  while (!over_) {
    returned_.wait(turn, [this] { return helpers_ == 0 || over_; });
    if (!over_ && !go_on()) await_events(turn, false);
  }
  flush_for(farewell_patience);
}

/// The caller has nothing else to do: it moves the bytes itself, which saves waking two threads.
void Ring::help(Ticket ticket) {
  ++helpers_;
  std::unique_lock turn(turn_);
  std::optional<Time> idle_since;
  while (!over_ && !over_or_done(ticket)) {
    if (settings_.cancelled != nullptr && *settings_.cancelled) abort("cancelled");
    if (go_on()) {
      idle_since.reset();
      continue;
    }
    const Time at = now();
    if (!idle_since) idle_since = at;
    if (at - *idle_since < spin)
      sched_yield();
    else
      await_events(turn, true);
  }
  --helpers_;
  turn.unlock();
  returned_.notify_one();
  // It may sleep on what was there before.
  const std::lock_guard lock(mutex_);
  if (failed_ || done_ < submitted_) signal_event(wake_.number());
}

/// Whether anything moved, or this rank has nothing to do any more.
bool Ring::go_on() {
  const bool moved = take_next() && move();
  if (!over_ && now() >= next_tick_) tick();
  if (suspect_ && now() >= suspect_->until) fail(suspect_->text);
  return moved || over_;
}

/// Whether there is an operation to drive.
bool Ring::take_next() {
  std::optional<std::string> aborted;
  {
    const std::lock_guard lock(mutex_);
    if (abort_) {
      aborted = abort_;
    } else if (closing_ && (passage_ || !queue_.empty())) {
      aborted = "it left";
    } else if (!passage_ && !queue_.empty()) {
      operation_ = std::move(queue_.front());
      queue_.pop_front();
    } else if (closing_) {
      over_ = true;
    }
  }
  if (aborted) fail(format("rank {} gave up: {}", rank(), *aborted));
  if (over_) {
    if (!aborted) leave();
    return false;
  }
  if (operation_ && !passage_) begin();
  return passage_.has_value() && !suspect_;
}

void Ring::begin() {
  if (next_left_) return fail(format("rank {} has left", next()));
  const std::uint64_t bytes = operation_->pieces.bytes();
  switch (operation_->kind) {
    case Kind::all_reduce:
      passage_.emplace(*operation_, operation_->pieces, all_reduce_course(rank(), ranks(), bytes));
      break;
    case Kind::reduce_scatter:
      passage_.emplace(*operation_, operation_->pieces, reduce_scatter_course(rank(), ranks(), bytes));
      break;
    case Kind::all_gather:
      passage_.emplace(*operation_, operation_->pieces, all_gather_course(rank(), ranks(), bytes));
      break;
    case Kind::broadcast:
      passage_.emplace(*operation_, operation_->pieces,
                       broadcast_course(rank(), ranks(), bytes, operation_->root));
      break;
    case Kind::all_reduce_whole:
      whole_.resize(std::max<std::size_t>(whole_.size(), ranks() * bytes / sizeof(float)));
      auto* at = reinterpret_cast<std::byte*>(whole_.data()) + rank() * bytes;
      for (const Piece& piece : operation_->pieces.all()) {
        std::memcpy(at, piece.in, piece.bytes);
        at += piece.bytes;
      }
      passage_.emplace(*operation_,
                       Pieces({piece_of(std::span(whole_).first(ranks() * bytes / sizeof(float)))}),
                       all_gather_course(rank(), ranks(), ranks() * bytes));
      break;
  }
}

/// Whether anything moved or ended.
bool Ring::move() {
  std::optional<Trouble> trouble;
  const auto moved = passage_->advance(*neighbours_.out, *neighbours_.in, trouble);
  if (trouble) {
    troubled(*trouble);
    return true;
  }
  if (passage_->sent() && passage_->received()) {
    complete();
    return true;
  }
  return *moved;
}

void Ring::complete() {
  if (operation_->kind == Kind::all_reduce_whole) add_up();
  const Ticket ticket = operation_->sequence;
  passage_.reset();
  operation_.reset();
  {
    const std::lock_guard lock(mutex_);
    done_ = ticket;
  }
}

/// In the order of the ranks.
void Ring::add_up() {
  const std::size_t all = operation_->pieces.bytes() / sizeof(float);
  std::size_t at = 0;
  for (const Piece& piece : operation_->pieces.all()) {
    const std::size_t count = piece.bytes / sizeof(float);
    auto* const out = reinterpret_cast<float*>(piece.out);
    std::copy_n(whole_.data() + at, count, out);
    for (std::size_t other = 1; other < ranks(); ++other)
      add(out, reinterpret_cast<const std::byte*>(whole_.data() + other * all + at), out, count);
    at += count;
  }
}

void Ring::await_events(std::unique_lock<std::mutex>& turn, bool helper) {
  std::array<pollfd, 5> events{};
  std::size_t count = 0;
  events[count++] = {wake_.number(), POLLIN, 0};
  events[count++] = {next_closed_ ? -1 : neighbours_.next.number(), POLLIN, 0};
  const short notices = notices_out_.empty() ? 0 : POLLOUT;
  events[count++] = {previous_closed_ ? -1 : neighbours_.previous.number(), notices, 0};
  bool ready = false;
  if (passage_ && !suspect_) {
    if (!passage_->received()) ready = !neighbours_.in->arm(events[count++]) || ready;
    if (passage_->wants_out()) ready = !neighbours_.out->arm(events[count++]) || ready;
  }
  Time until = next_tick_;
  if (suspect_) until = std::min(until, suspect_->until);
  if (helper && settings_.cancelled != nullptr) until = std::min(until, now() + look_every);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(std::max<Duration>(until - now(), 0ns));
  turn.unlock();
  const int found = poll(events.data(), count, ready ? 0 : static_cast<int>(left.count()));
  turn.lock();
  // A helper that sleeps on the same would miss what is taken here.
  if (found <= 0 || (!helper && helpers_ > 0)) return;
  if (events[0].revents != 0) clear_event(wake_.number());
  if (events[1].revents != 0) hear();
  // What it sent before it went is still to be read.
  if ((events[2].revents & (POLLHUP | POLLERR)) != 0) previous_closed_ = true;
  if ((events[2].revents & POLLOUT) != 0) flush();
}

void Ring::tick() {
  next_tick_ = now() + tick_every_;
  if (notices_out_.empty()) append(notices_out_, {Notice::Kind::alive, {}});
  flush();
  if (!next_closed_) hear();
  silent_ = heard_ || next_left_ ? 0 : silent_ + 1;
  heard_ = false;
  if (silent_ >= silent_ticks_max)
    fail(format("rank {} was silent for {}", next(), duration_text(tick_every_ * silent_ticks_max)));
}

/// What the next rank says.
void Ring::hear() {
  std::array<std::byte, 2048> bytes{};
  while (!over_) {
    const ssize_t received = recv(neighbours_.next.number(), bytes.data(), bytes.size(), 0);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (received <= 0) return next_ended(received == 0 ? "the connection ended" : std::strerror(errno));
    heard_ = true;
    notices_.add(std::span(bytes).first(static_cast<std::size_t>(received)));
    while (!over_) {
      auto notice = notices_.next();
      if (!notice) return fail(format("rank {}: {}", next(), notice.error().message));
      if (!*notice) break;
      heard(**notice);
    }
  }
}

void Ring::heard(const Notice& notice) {
  if (notice.kind == Notice::Kind::failed) return fail(notice.text);
  if (notice.kind != Notice::Kind::leaves) return;
  next_left_ = true;
  if (passage_ && !passage_->sent()) fail(format("rank {} has left", next()));
}

void Ring::next_ended(const std::string& reason) {
  next_closed_ = true;
  if (!next_left_) fail(format("rank {} is gone: {}", next(), reason));
}

void Ring::troubled(const Trouble& trouble) {
  switch (trouble.side) {
    case Trouble::Side::both:
      return fail(format("rank {} {}", previous(), trouble.text));
    case Trouble::Side::previous:
      suspect_ = {format("rank {} is gone: {}", previous(), trouble.text), now() + suspect_patience};
      return;
    case Trouble::Side::next:
      hear();  // it may have said why
      if (!over_) next_ended(trouble.text);
      if (!over_) fail(format("rank {} has left", next()));
  }
}

void Ring::fail(const std::string& text) {
  over_ = true;
  passage_.reset();
  operation_.reset();
  suspect_.reset();
  {
    const std::lock_guard lock(mutex_);
    if (!failed_) failed_ = Error{Errc::unavailable, text};
    queue_.clear();
  }
  append(notices_out_, {Notice::Kind::failed, text});
}

void Ring::flush() {
  while (!notices_out_.empty() && !previous_closed_) {
    const ssize_t sent =
        send(neighbours_.previous.number(), notices_out_.data(), notices_out_.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (sent <= 0) {
      previous_closed_ = true;
      return;
    }
    notices_out_.erase(notices_out_.begin(), notices_out_.begin() + sent);
  }
}

void Ring::flush_for(Duration patience) {
  const Wait wait{now() + patience, nullptr};
  for (flush(); !notices_out_.empty() && !previous_closed_; flush())
    if (!wait.for_event(neighbours_.previous.number(), POLLOUT, "the previous rank")) return;
}

/// A connection that is closed takes along what its peer has not got yet.
void Ring::leave() {
  append(notices_out_, {Notice::Kind::leaves, {}});
  const Time until = now() + farewell_patience;
  int waiting = 1;
  while (now() < until && ioctl(neighbours_.next.number(), TIOCOUTQ, &waiting) == 0 && waiting > 0)
    std::this_thread::sleep_for(1ms);
}

}  // namespace trainyard::collective
