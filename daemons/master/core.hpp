// The decisions of the master: which jobs run where, what a silence or a death means, who may go on. A value
// and a function; it opens no socket or file and asks no clock. The shell's one thread owns the State.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "common/base/result.hpp"
#include "daemons/master/state.hpp"

namespace trainyard::master {

inline constexpr Duration gentle_stop_max = 60s;     // for a checkpoint before a gang is stopped
inline constexpr Duration dismissed_max = 10s;       // for tasks to end by themselves once the work is done
inline constexpr Duration command_again_every = 1s;  // LaunchTask and StopTask until they show in a report
inline constexpr Duration never_started_after = 2s;  // a stopped task that its node never reported
inline constexpr Duration log_patience = 5s;
inline constexpr Duration backfill_max = 5min;  // a job waits so long: smaller ones pass it no more
inline constexpr std::size_t jobs_waiting_max = 10'000;
inline constexpr std::uint64_t log_bytes_max = 256 << 10;

// ---- events: facts, in the past tense
struct Recovered {             // the journal is folded
  std::string fresh_identity;  // taken if the cluster has none yet
  friend bool operator==(const Recovered&, const Recovered&) = default;
};
struct MessageReceived {
  PeerId peer{};
  protocol::Message message;
  friend bool operator==(const MessageReceived&, const MessageReceived&) = default;
};
struct PeerClosed {
  PeerId peer{};
  friend bool operator==(const PeerClosed&, const PeerClosed&) = default;
};
struct JobSubmitted {
  std::uint64_t request = 0;  // every request gets one Answer
  JobOrder order;
  std::string secret;
  bool dry_run = false;
  friend bool operator==(const JobSubmitted&, const JobSubmitted&) = default;
};
struct CancelAsked {
  std::uint64_t request = 0;
  JobId job{};
  friend bool operator==(const CancelAsked&, const CancelAsked&) = default;
};
struct LogAsked {
  std::uint64_t request = 0;
  JobId job{};
  std::string task;  // "trainer-0"
  bool error_stream = false;
  std::uint64_t offset = 0;
  std::uint32_t tail_lines = 0;
  friend bool operator==(const LogAsked&, const LogAsked&) = default;
};
struct ShutdownAsked {
  std::uint64_t request = 0;
  bool save_first = false;
  friend bool operator==(const ShutdownAsked&, const ShutdownAsked&) = default;
};
struct Tick {
  friend bool operator==(const Tick&, const Tick&) = default;
};
using Event = std::variant<Recovered, MessageReceived, PeerClosed, JobSubmitted, CancelAsked, LogAsked,
                           ShutdownAsked, Tick>;

// ---- answers to requests
struct Accepted {
  JobId job{};
  std::string name;
  std::vector<Placed> plan;  // of a dry run
  bool dry_run = false;
  friend bool operator==(const Accepted&, const Accepted&) = default;
};
struct Cancelling {
  JobId job{};
  JobState state = JobState::stopping;
  friend bool operator==(const Cancelling&, const Cancelling&) = default;
};
struct LogText {
  std::string task;
  bool error_stream = false;
  std::string bytes;
  std::uint64_t offset = 0, end = 0;
  friend bool operator==(const LogText&, const LogText&) = default;
};
struct Closing {
  friend bool operator==(const Closing&, const Closing&) = default;
};
using Reply = std::variant<Accepted, Cancelling, LogText, Closing, Error>;

// ---- actions: imperatives. What follows an Append may leave only once the record is on disk.
struct Append {  // already folded
  Record record;
  friend bool operator==(const Append&, const Append&) = default;
};
struct Send {
  PeerId peer{};
  protocol::Message message;
  friend bool operator==(const Send&, const Send&) = default;
};
struct Answer {
  std::uint64_t request = 0;
  Reply reply;
  friend bool operator==(const Answer&, const Answer&) = default;
};
struct Close {
  PeerId peer{};
  friend bool operator==(const Close&, const Close&) = default;
};
struct Say {  // to the log
  std::string text;
  friend bool operator==(const Say&, const Say&) = default;
};
struct Quit {
  friend bool operator==(const Quit&, const Quit&) = default;
};
using Action = std::variant<Append, Send, Answer, Close, Say, Quit>;
using Actions = std::vector<Action>;

/// Ticks should come every 50 ms or so. Recovered comes once, first.
Actions step(State& state, const Event& event, Instant now);

/// "trainer-0 on n1 was killed by signal 9": one line for a tired person.
std::string cause_of(const TaskId& task, const NodeName& node, const protocol::TaskReport& report);

}  // namespace trainyard::master
