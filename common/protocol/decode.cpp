#include "common/base/text.hpp"
#include "common/protocol/bounds.hpp"
#include "common/protocol/convert.hpp"

namespace trainyard::protocol {
namespace {

// Reads fields and remembers the first one that cannot be right; what was read is used only if there is none.
class Reader {
 public:
  const std::string& fault() const { return fault_; }

  void need(bool condition, const char* what) {
    if (!condition && fault_.empty()) fault_ = what;
  }
  std::uint64_t count(std::uint64_t value, const char* field) {
    need(value <= count_max, field);
    return value;
  }
  std::int32_t within(std::int32_t value, std::int32_t most, const char* field) {
    need(value >= 0 && value <= most, field);
    return value;
  }
  std::string text(const std::string& value, std::size_t bytes_max, const char* field) {
    need(value.size() <= bytes_max, field);
    return value;
  }
  std::string name(const std::string& value, const char* field) {
    need(!value.empty(), field);
    return text(value, name_bytes_max, field);
  }
  template <typename Value, typename Map>
  std::map<std::string, Value> entries(const Map& map, const char* field) {
    std::map<std::string, Value> out;
    for (const auto& [key, value] : map) out.emplace(name(key, field), value);
    return out;
  }

  Role role(v1::Role role) {
    switch (role) {
      case v1::ROLE_TRAINER:
        return Role::trainer;
      case v1::ROLE_PS:
        return Role::ps;
      case v1::ROLE_EVALUATOR:
        return Role::evaluator;
      case v1::ROLE_PREDICTOR:
        return Role::predictor;
      default:
        break;
    }
    need(false, "role");
    return {};
  }
  ProcessState state(v1::ProcessState state) {
    switch (state) {
      case v1::PROCESS_STATE_STARTING:
        return ProcessState::starting;
      case v1::PROCESS_STATE_RUNNING:
        return ProcessState::running;
      case v1::PROCESS_STATE_EXITED:
        return ProcessState::exited;
      default:
        break;
    }
    need(false, "state");
    return {};
  }
  TaskId task(const v1::TaskId& in) {
    need(in.job() > 0 && in.job() <= count_max, "task.job");
    need(in.index() < members_max, "task.index");
    return {JobId{in.job()}, role(in.role()), in.index()};
  }
  template <typename Owner>
  TaskKey key(const Owner& owner) {
    need(owner.has_key() && owner.key().has_task(), "key");
    need(owner.key().incarnation() > 0, "incarnation");
    return {task(owner.key().task()), Incarnation{owner.key().incarnation()}};
  }
  ResourceSet resources(const v1::ResourceSet& in) {
    need(in.cpu_millis() <= cpu_millis_max, "cpu_millis");
    need(in.gpus() <= gpus_max, "gpus");
    return {in.cpu_millis(), count(in.memory(), "memory"), in.gpus()};
  }
  template <typename Owner>
  Partition partition(const Owner& owner) {
    need(owner.has_partition(), "partition");
    const auto& in = owner.partition();
    need(in.rank() < members_max, "rank");
    return {count(in.epoch(), "epoch"), in.index(), in.rank()};
  }
  CheckpointPart part(const v1::CheckpointPart& in) {
    return {.key = key(in),
            .step = count(in.step(), "step"),
            .file = text(in.file(), text_bytes_max, "file"),
            .bytes = count(in.bytes(), "bytes"),
            .checksum = text(in.checksum(), name_bytes_max, "checksum")};
  }
  TaskReport report(const v1::TaskReport& in) {
    TaskReport out{.key = key(in),
                   .state = state(in.state()),
                   .pid = within(in.pid(), INT32_MAX, "pid"),
                   .exit_code = within(in.exit_code(), 255, "exit_code"),
                   .signal = within(in.signal(), 127, "signal"),
                   .memory_peak = count(in.memory_peak(), "memory_peak"),
                   .error = text(in.error(), text_bytes_max, "error")};
    need(static_cast<std::size_t>(in.last_lines_size()) <= last_lines_max, "last_lines");
    for (const auto& line : in.last_lines())
      out.last_lines.push_back(text(line, last_line_bytes_max, "last_lines"));
    return out;
  }
  template <typename Owner>
  std::vector<TaskReport> reports(const Owner& owner) {
    std::vector<TaskReport> out;
    for (const auto& task : owner.tasks()) out.push_back(report(task));
    return out;
  }

 private:
  std::string fault_;
};

Message read(Reader& reader, const v1::RegisterNode& in) {
  RegisterNode out{.node = reader.name(in.node(), "node"),
                   .session = in.session(),
                   .version = in.version(),
                   .address = reader.text(in.address(), name_bytes_max, "address"),
                   .capacity = reader.resources(in.capacity()),
                   .labels = reader.entries<std::string>(in.labels(), "labels"),
                   .gpu_models = {},
                   .tasks = reader.reports(in)};
  for (const auto& [key, value] : out.labels) reader.need(value.size() <= name_bytes_max, "labels");
  reader.need(in.gpu_models_size() <= static_cast<int>(gpus_max), "gpu_models");
  for (const auto& model : in.gpu_models())
    out.gpu_models.push_back(reader.text(model, name_bytes_max, "gpu_models"));
  return out;
}
Message read(Reader& reader, const v1::Heartbeat& in) {
  return Heartbeat{
      .node = reader.name(in.node(), "node"), .session = in.session(), .tasks = reader.reports(in)};
}
Message read(Reader& reader, const v1::LogChunk& in) {
  return LogChunk{.request = in.request(),
                  .bytes = reader.text(in.bytes(), log_chunk_bytes_max, "bytes"),
                  .offset = reader.count(in.offset(), "offset"),
                  .end = reader.count(in.end(), "end"),
                  .error = reader.text(in.error(), text_bytes_max, "error")};
}
Message read(Reader& reader, const v1::Registered& in) {
  return Registered{.heartbeat_ms = reader.count(in.heartbeat_ms(), "heartbeat_ms"),
                    .cluster = reader.text(in.cluster(), name_bytes_max, "cluster")};
}
Message read(Reader& reader, const v1::Refused& in) {
  return Refused{.reason = reader.text(in.reason(), text_bytes_max, "reason"), .final = in.final()};
}
Message read(Reader& reader, const v1::LaunchTask& in) {
  LaunchTask out{.key = reader.key(in),
                 .job_yaml = reader.text(in.job_yaml(), job_bytes_max, "job_yaml"),
                 .job_name = reader.text(in.job_name(), name_bytes_max, "job_name"),
                 .granted = reader.resources(in.granted()),
                 .gpus = {in.gpus().begin(), in.gpus().end()},
                 .checkpoint_dir = reader.text(in.checkpoint_dir(), text_bytes_max, "checkpoint_dir"),
                 .output_dir = reader.text(in.output_dir(), text_bytes_max, "output_dir"),
                 .secret = reader.text(in.secret(), name_bytes_max, "secret"),
                 .gang = reader.entries<std::uint32_t>(in.gang(), "gang")};
  reader.need(out.gpus.size() <= gpus_max, "gpus");
  for (const auto& [role, members] : out.gang) reader.need(members <= members_max, "gang");
  return out;
}
Message read(Reader& reader, const v1::StopTask& in) {
  return StopTask{.key = reader.key(in), .grace_ms = reader.count(in.grace_ms(), "grace_ms")};
}
Message read(Reader& reader, const v1::ForgetTask& in) { return ForgetTask{.key = reader.key(in)}; }
Message read(Reader& reader, const v1::ReadLog& in) {
  return ReadLog{.request = in.request(),
                 .key = reader.key(in),
                 .error_stream = in.error_stream(),
                 .offset = reader.count(in.offset(), "offset"),
                 .bytes_max = reader.count(in.bytes_max(), "bytes_max"),
                 .tail_lines = in.tail_lines()};
}
Message read(Reader& reader, const v1::RegisterTask& in) {
  return RegisterTask{.key = reader.key(in),
                      .secret = reader.text(in.secret(), name_bytes_max, "secret"),
                      .address = reader.text(in.address(), name_bytes_max, "address"),
                      .pid = reader.within(in.pid(), INT32_MAX, "pid")};
}
Message read(Reader& reader, const v1::Progress& in) {
  return Progress{.key = reader.key(in),
                  .phase = reader.text(in.phase(), name_bytes_max, "phase"),
                  .epoch = reader.count(in.epoch(), "epoch"),
                  .epochs = reader.count(in.epochs(), "epochs"),
                  .step = reader.count(in.step(), "step"),
                  .steps = reader.count(in.steps(), "steps"),
                  .metrics = reader.entries<double>(in.metrics(), "metrics")};
}
Message read(Reader& reader, const v1::RequestPartition& in) {
  return RequestPartition{
      .key = reader.key(in), .epoch = reader.count(in.epoch(), "epoch"), .index = in.index()};
}
Message read(Reader& reader, const v1::PartitionDone& in) {
  PartitionDone out{.key = reader.key(in),
                    .partition = reader.partition(in),
                    .samples = in.samples(),
                    .bad = {},
                    .bad_count = in.bad_count()};
  reader.need(static_cast<std::size_t>(in.bad_size()) <= bad_named_max, "bad");
  for (const auto& sample : in.bad()) out.bad.push_back(reader.text(sample, text_bytes_max, "bad"));
  return out;
}
Message read(Reader& reader, const v1::CheckpointPart& in) { return reader.part(in); }
Message read(Reader& reader, const v1::CheckpointFailed& in) {
  return CheckpointFailed{.key = reader.key(in),
                          .step = reader.count(in.step(), "step"),
                          .reason = reader.text(in.reason(), text_bytes_max, "reason")};
}
Message read(Reader& reader, const v1::CheckpointWritten& in) {
  return CheckpointWritten{.key = reader.key(in),
                           .step = reader.count(in.step(), "step"),
                           .epoch = reader.count(in.epoch(), "epoch"),
                           .directory = reader.text(in.directory(), text_bytes_max, "directory")};
}
Message read(Reader& reader, const v1::Finished& in) {
  return Finished{.key = reader.key(in),
                  .metrics = reader.entries<double>(in.metrics(), "metrics"),
                  .stopped = in.stopped()};
}
Message read(Reader& reader, const v1::Roster& in) {
  Roster out{.members = {},
             .resume_step = reader.count(in.resume_step(), "resume_step"),
             .resume_epoch = reader.count(in.resume_epoch(), "resume_epoch"),
             .resume_directory = reader.text(in.resume_directory(), text_bytes_max, "resume_directory"),
             .epoch = reader.count(in.epoch(), "epoch")};
  for (const auto& member : in.members())
    out.members.push_back({.task = reader.task(member.task()),
                           .address = reader.text(member.address(), name_bytes_max, "address"),
                           .node = reader.text(member.node(), name_bytes_max, "node"),
                           .follows = member.follows()});
  return out;
}
Message read(Reader& reader, const v1::GrantPartition& in) { return GrantPartition{reader.partition(in)}; }
Message read(Reader& reader, const v1::CommitCheckpoint& in) {
  CommitCheckpoint out{.step = reader.count(in.step(), "step"), .parts = {}};
  for (const auto& part : in.parts()) out.parts.push_back(reader.part(part));
  return out;
}
Message read(Reader& reader, const v1::StopTraining& in) {
  return StopTraining{reader.text(in.reason(), text_bytes_max, "reason")};
}

std::optional<Message> read_body(Reader& reader, const v1::Envelope& envelope) {
  switch (envelope.body_case()) {
    case v1::Envelope::kRegisterNode:
      return read(reader, envelope.register_node());
    case v1::Envelope::kHeartbeat:
      return read(reader, envelope.heartbeat());
    case v1::Envelope::kLogChunk:
      return read(reader, envelope.log_chunk());
    case v1::Envelope::kRegistered:
      return read(reader, envelope.registered());
    case v1::Envelope::kRefused:
      return read(reader, envelope.refused());
    case v1::Envelope::kLaunchTask:
      return read(reader, envelope.launch_task());
    case v1::Envelope::kStopTask:
      return read(reader, envelope.stop_task());
    case v1::Envelope::kForgetTask:
      return read(reader, envelope.forget_task());
    case v1::Envelope::kReadLog:
      return read(reader, envelope.read_log());
    case v1::Envelope::kRegisterTask:
      return read(reader, envelope.register_task());
    case v1::Envelope::kProgress:
      return read(reader, envelope.progress());
    case v1::Envelope::kRequestPartition:
      return read(reader, envelope.request_partition());
    case v1::Envelope::kPartitionDone:
      return read(reader, envelope.partition_done());
    case v1::Envelope::kCheckpointPart:
      return read(reader, envelope.checkpoint_part());
    case v1::Envelope::kCheckpointWritten:
      return read(reader, envelope.checkpoint_written());
    case v1::Envelope::kFinished:
      return read(reader, envelope.finished());
    case v1::Envelope::kRoster:
      return read(reader, envelope.roster());
    case v1::Envelope::kGrantPartition:
      return read(reader, envelope.grant_partition());
    case v1::Envelope::kCommitCheckpoint:
      return read(reader, envelope.commit_checkpoint());
    case v1::Envelope::kStopTraining:
      return read(reader, envelope.stop_training());
    case v1::Envelope::kDismiss:
      return Dismiss{};
    case v1::Envelope::kCheckpointFailed:
      return read(reader, envelope.checkpoint_failed());
    case v1::Envelope::BODY_NOT_SET:
      break;
  }
  return std::nullopt;
}

}  // namespace

Result<Message> from_envelope(const v1::Envelope& envelope) {
  Reader reader;
  auto message = read_body(reader, envelope);
  if (!message) return Error{Errc::invalid, "an unknown kind of message; the peer may be of a newer release"};
  if (!reader.fault().empty())
    return Error{Errc::invalid, format("field \"{}\" is missing or out of range", reader.fault())};
  return *std::move(message);
}

}  // namespace trainyard::protocol
