#include "common/protocol/outline.hpp"

#include "common/base/text.hpp"
#include "common/protocol/codec.hpp"

namespace trainyard::protocol {

namespace {

std::string count(std::size_t n, const char* what) { return format("{} {}{}", n, what, n == 1 ? "" : "s"); }

std::string tasks(const std::vector<TaskReport>& reports) {
  if (reports.empty()) return "no tasks";
  std::vector<std::string> parts;
  for (const TaskReport& report : reports) {
    const std::string end =
        report.signal != 0 ? format("signal {}", report.signal) : format("code {}", report.exit_code);
    parts.push_back(format("{} {}", name(report.key),
                           report.state == ProcessState::starting  ? "starts"
                           : report.state == ProcessState::running ? "runs"
                                                                   : "ended, " + end));
  }
  return join(parts, ", ");
}

std::string partition(const Partition& in) {
  return format("partition {} of epoch {} of rank {}", in.index, in.epoch, in.rank);
}

// One overload for each kind of message.
struct Outline {
  std::string operator()(const RegisterNode& m) const { return format("{}, {}", m.node, tasks(m.tasks)); }
  std::string operator()(const Heartbeat& m) const { return format("{}, {}", m.node, tasks(m.tasks)); }
  std::string operator()(const LogChunk& m) const {
    return m.error.empty() ? format("{} at {} of {}", count(m.bytes.size(), "byte"), m.offset, m.end)
                           : m.error;
  }
  std::string operator()(const Registered& m) const { return format("with cluster {}", m.cluster); }
  std::string operator()(const Refused& m) const {
    return format("{}{}", m.reason, m.final ? " (for good)" : "");
  }
  std::string operator()(const LaunchTask& m) const { return format("{} of '{}'", name(m.key), m.job_name); }
  std::string operator()(const StopTask& m) const {
    return format("{} within {} ms", name(m.key), m.grace_ms);
  }
  std::string operator()(const ForgetTask& m) const { return name(m.key); }
  std::string operator()(const ReadLog& m) const {
    return format("{} of {}", m.error_stream ? "stderr" : "stdout", name(m.key));
  }
  std::string operator()(const RegisterTask& m) const { return format("{} {}", name(m.key), m.address); }
  std::string operator()(const Progress& m) const {
    return format("{} {}, epoch {}, step {} of {}", name(m.key), m.phase, m.epoch, m.step, m.steps);
  }
  std::string operator()(const RequestPartition& m) const {
    return format("{} {}", name(m.key), partition({m.epoch, m.index, m.key.task.index}));
  }
  std::string operator()(const PartitionDone& m) const {
    return format("{} {}, {}", name(m.key), partition(m.partition), count(m.samples, "sample"));
  }
  std::string operator()(const CheckpointPart& m) const { return format("{} step {}", name(m.key), m.step); }
  std::string operator()(const CheckpointFailed& m) const {
    return format("{} step {}: {}", name(m.key), m.step, m.reason);
  }
  std::string operator()(const CheckpointWritten& m) const {
    return format("{} step {}", name(m.key), m.step);
  }
  std::string operator()(const Finished& m) const {
    return format("{}{}", name(m.key), m.stopped ? " on request" : "");
  }
  std::string operator()(const Roster& m) const {
    return format("of {}, from step {}", count(m.members.size(), "member"), m.resume_step);
  }
  std::string operator()(const GrantPartition& m) const { return partition(m.partition); }
  std::string operator()(const CommitCheckpoint& m) const {
    return format("step {}, {}", m.step, count(m.parts.size(), "part"));
  }
  std::string operator()(const StopTraining& m) const { return m.reason; }
  std::string operator()(const Dismiss&) const { return ""; }
};

}  // namespace

std::string outline(const Message& message) {
  const std::string about = std::visit(Outline{}, message);
  return one_line(about.empty() ? std::string(name(message)) : format("{} {}", name(message), about));
}

std::string one_line(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return text;
}

}  // namespace trainyard::protocol
