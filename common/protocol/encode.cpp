#include <algorithm>

#include "common/protocol/bounds.hpp"
#include "common/protocol/convert.hpp"

namespace trainyard::protocol {
namespace {

v1::Role role(Role role) {
  switch (role) {
    case Role::trainer:
      return v1::ROLE_TRAINER;
    case Role::ps:
      return v1::ROLE_PS;
    case Role::evaluator:
      return v1::ROLE_EVALUATOR;
    case Role::predictor:
      return v1::ROLE_PREDICTOR;
  }
  return v1::ROLE_UNSPECIFIED;
}

v1::ProcessState state(ProcessState state) {
  switch (state) {
    case ProcessState::starting:
      return v1::PROCESS_STATE_STARTING;
    case ProcessState::running:
      return v1::PROCESS_STATE_RUNNING;
    case ProcessState::exited:
      return v1::PROCESS_STATE_EXITED;
  }
  return v1::PROCESS_STATE_UNSPECIFIED;
}

void put(v1::TaskId& out, const TaskId& in) {
  out.set_job(number(in.job));
  out.set_role(role(in.role));
  out.set_index(in.index);
}

void put(v1::TaskKey& out, const TaskKey& in) {
  put(*out.mutable_task(), in.task);
  out.set_incarnation(number(in.incarnation));
}

void put(v1::ResourceSet& out, const ResourceSet& in) {
  out.set_cpu_millis(in.cpu_millis);
  out.set_memory(in.memory);
  out.set_gpus(in.gpus);
}

void put(v1::Partition& out, const Partition& in) {
  out.set_epoch(in.epoch);
  out.set_index(in.index);
  out.set_rank(in.rank);
}

void put(v1::CheckpointPart& out, const CheckpointPart& in) {
  put(*out.mutable_key(), in.key);
  out.set_step(in.step);
  out.set_file(in.file);
  out.set_bytes(in.bytes);
  out.set_checksum(in.checksum);
}

void put(v1::TaskReport& out, const TaskReport& in, bool with_lines) {
  put(*out.mutable_key(), in.key);
  out.set_state(state(in.state));
  out.set_pid(in.pid);
  out.set_exit_code(in.exit_code);
  out.set_signal(in.signal);
  out.set_memory_peak(in.memory_peak);
  out.set_error(in.error.substr(0, text_bytes_max));
  if (!with_lines) return;
  const std::size_t skipped = in.last_lines.size() - std::min(in.last_lines.size(), last_lines_max);
  for (std::size_t i = skipped; i < in.last_lines.size(); ++i)
    out.add_last_lines(in.last_lines[i].substr(0, last_line_bytes_max));
}

// One overload for each kind of message: which member of the envelope it fills, and with what.
struct Writer {
  v1::Envelope& out;
  bool with_lines;

  void operator()(const RegisterNode& in) const {
    auto& node = *out.mutable_register_node();
    node.set_node(in.node);
    node.set_session(in.session);
    node.set_version(in.version);
    node.set_address(in.address);
    put(*node.mutable_capacity(), in.capacity);
    node.mutable_labels()->insert(in.labels.begin(), in.labels.end());
    for (const auto& model : in.gpu_models) node.add_gpu_models(model);
    for (const auto& task : in.tasks) put(*node.add_tasks(), task, with_lines);
  }
  void operator()(const Heartbeat& in) const {
    auto& beat = *out.mutable_heartbeat();
    beat.set_node(in.node);
    beat.set_session(in.session);
    for (const auto& task : in.tasks) put(*beat.add_tasks(), task, with_lines);
  }
  void operator()(const LogChunk& in) const {
    auto& chunk = *out.mutable_log_chunk();
    chunk.set_request(in.request);
    chunk.set_bytes(in.bytes.substr(0, log_chunk_bytes_max));
    chunk.set_offset(in.offset);
    chunk.set_end(in.end);
    chunk.set_error(in.error.substr(0, text_bytes_max));
  }
  void operator()(const Registered& in) const {
    out.mutable_registered()->set_heartbeat_ms(in.heartbeat_ms);
    out.mutable_registered()->set_cluster(in.cluster);
  }
  void operator()(const Refused& in) const {
    out.mutable_refused()->set_reason(in.reason.substr(0, text_bytes_max));
    out.mutable_refused()->set_final(in.final);
  }
  void operator()(const LaunchTask& in) const {
    auto& launch = *out.mutable_launch_task();
    put(*launch.mutable_key(), in.key);
    launch.set_job_yaml(in.job_yaml);
    launch.set_job_name(in.job_name);
    put(*launch.mutable_granted(), in.granted);
    launch.mutable_gpus()->Add(in.gpus.begin(), in.gpus.end());
    launch.set_checkpoint_dir(in.checkpoint_dir);
    launch.set_output_dir(in.output_dir);
    launch.set_secret(in.secret);
    launch.mutable_gang()->insert(in.gang.begin(), in.gang.end());
  }
  void operator()(const StopTask& in) const {
    put(*out.mutable_stop_task()->mutable_key(), in.key);
    out.mutable_stop_task()->set_grace_ms(in.grace_ms);
  }
  void operator()(const ForgetTask& in) const { put(*out.mutable_forget_task()->mutable_key(), in.key); }
  void operator()(const ReadLog& in) const {
    auto& read = *out.mutable_read_log();
    read.set_request(in.request);
    put(*read.mutable_key(), in.key);
    read.set_error_stream(in.error_stream);
    read.set_offset(in.offset);
    read.set_bytes_max(in.bytes_max);
    read.set_tail_lines(in.tail_lines);
  }
  void operator()(const RegisterTask& in) const {
    auto& task = *out.mutable_register_task();
    put(*task.mutable_key(), in.key);
    task.set_secret(in.secret);
    task.set_address(in.address);
    task.set_pid(in.pid);
  }
  void operator()(const Progress& in) const {
    auto& progress = *out.mutable_progress();
    put(*progress.mutable_key(), in.key);
    progress.set_phase(in.phase);
    progress.set_epoch(in.epoch);
    progress.set_epochs(in.epochs);
    progress.set_step(in.step);
    progress.set_steps(in.steps);
    progress.mutable_metrics()->insert(in.metrics.begin(), in.metrics.end());
  }
  void operator()(const RequestPartition& in) const {
    auto& request = *out.mutable_request_partition();
    put(*request.mutable_key(), in.key);
    request.set_epoch(in.epoch);
    request.set_index(in.index);
  }
  void operator()(const PartitionDone& in) const {
    auto& done = *out.mutable_partition_done();
    put(*done.mutable_key(), in.key);
    put(*done.mutable_partition(), in.partition);
    done.set_samples(in.samples);
    for (std::size_t i = 0; i < std::min(in.bad.size(), bad_named_max); ++i)
      done.add_bad(in.bad[i].substr(0, text_bytes_max));
    done.set_bad_count(in.bad_count);
  }
  void operator()(const CheckpointPart& in) const { put(*out.mutable_checkpoint_part(), in); }
  void operator()(const CheckpointFailed& in) const {
    auto& failed = *out.mutable_checkpoint_failed();
    put(*failed.mutable_key(), in.key);
    failed.set_step(in.step);
    failed.set_reason(in.reason.substr(0, text_bytes_max));
  }
  void operator()(const CheckpointWritten& in) const {
    auto& written = *out.mutable_checkpoint_written();
    put(*written.mutable_key(), in.key);
    written.set_step(in.step);
    written.set_epoch(in.epoch);
    written.set_directory(in.directory);
  }
  void operator()(const Finished& in) const {
    auto& finished = *out.mutable_finished();
    put(*finished.mutable_key(), in.key);
    finished.mutable_metrics()->insert(in.metrics.begin(), in.metrics.end());
    finished.set_stopped(in.stopped);
  }
  void operator()(const Roster& in) const {
    auto& roster = *out.mutable_roster();
    for (const auto& from : in.members) {
      auto& member = *roster.add_members();
      put(*member.mutable_task(), from.task);
      member.set_address(from.address);
      member.set_node(from.node);
      member.set_follows(from.follows);
    }
    roster.set_resume_step(in.resume_step);
    roster.set_resume_epoch(in.resume_epoch);
    roster.set_resume_directory(in.resume_directory);
    roster.set_epoch(in.epoch);
  }
  void operator()(const GrantPartition& in) const {
    put(*out.mutable_grant_partition()->mutable_partition(), in.partition);
  }
  void operator()(const CommitCheckpoint& in) const {
    out.mutable_commit_checkpoint()->set_step(in.step);
    for (const auto& part : in.parts) put(*out.mutable_commit_checkpoint()->add_parts(), part);
  }
  void operator()(const StopTraining& in) const {
    out.mutable_stop_training()->set_reason(in.reason.substr(0, text_bytes_max));
  }
  void operator()(const Dismiss&) const { out.mutable_dismiss(); }
};

}  // namespace

v1::Envelope to_envelope(const Message& message, bool with_lines) {
  v1::Envelope envelope;
  std::visit(Writer{envelope, with_lines}, message);
  return envelope;
}

}  // namespace trainyard::protocol
