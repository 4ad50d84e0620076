// The fields of the master's records, each said once; for the journal and for recordings. Of daemons/master's
// records.cpp and event_codec.cpp alone.
#pragma once

#include "common/protocol/fields.hpp"
#include "daemons/master/records.hpp"

namespace trainyard::master {

constexpr Stop last_value(Stop) { return Stop::fail; }
constexpr TaskEnd last_value(TaskEnd) { return TaskEnd::lost; }
constexpr JobEnd last_value(JobEnd) { return JobEnd::cancelled; }

template <typename V>
void fields(V& v, RoleOrder& r) {
  v("role", r.role), v("count", r.count), v("each", r.each);
}
template <typename V>
void fields(V& v, JobOrder& r) {
  v("name", r.name), v("kind", r.kind), v("queue", r.queue), v("priority", r.priority), v("roles", r.roles);
  v("require", r.require), v("spread", r.spread), v("restarts", r.restarts);
  v("time_limit_ms", r.time_limit_ms), v("epochs", r.epochs), v("output_dir", r.output_dir);
  v("checkpoint_dir", r.checkpoint_dir), v("yaml", r.yaml), v("replicas", r.replicas);
}
template <typename V>
void fields(V& v, Placed& r) {
  v("task", r.task), v("node", r.node), v("gpus", r.gpus);
}
template <typename V>
void fields(V& v, ClusterFounded& r) {
  v("identity", r.identity);
}
template <typename V>
void fields(V& v, IdsUsed& r) {
  v("next", r.next);
}
template <typename V>
void fields(V& v, JobAccepted& r) {
  v("job", r.job), v("order", r.order), v("secret", r.secret), v("at", r.at);
}
template <typename V>
void fields(V& v, GangPlaced& r) {
  v("job", r.job), v("incarnation", r.incarnation), v("tasks", r.tasks), v("at", r.at);
}
template <typename V>
void fields(V& v, GangComplete& r) {
  v("job", r.job), v("incarnation", r.incarnation), v("addresses", r.addresses), v("at", r.at);
}
template <typename V>
void fields(V& v, FirstStepDone& r) {
  v("job", r.job), v("at", r.at);
}
template <typename V>
void fields(V& v, EpochDone& r) {
  v("job", r.job), v("epoch", r.epoch), v("step", r.step), v("metrics", r.metrics);
}
template <typename V>
void fields(V& v, RecordsSkipped& r) {
  v("job", r.job), v("count", r.count), v("named", r.named), v("at", r.at);
}
template <typename V>
void fields(V& v, CheckpointCommitted& r) {
  v("job", r.job), v("step", r.step), v("epoch", r.epoch), v("directory", r.directory), v("at", r.at);
}
template <typename V>
void fields(V& v, CheckpointLost& r) {
  v("job", r.job), v("step", r.step), v("task", r.task), v("cause", r.cause), v("at", r.at);
}
template <typename V>
void fields(V& v, TrainerFinished& r) {
  v("key", r.key), v("metrics", r.metrics), v("stopped", r.stopped), v("at", r.at);
}
template <typename V>
void fields(V& v, StopDecided& r) {
  v("job", r.job), v("stop", r.stop), v("cause", r.cause), v("blamed", r.blamed), v("at", r.at);
}
template <typename V>
void fields(V& v, TaskEnded& r) {
  v("key", r.key), v("end", r.end), v("exit_code", r.exit_code), v("signal", r.signal);
  v("memory_peak", r.memory_peak), v("cause", r.cause);
  v("last_lines", r.last_lines), v("at", r.at), v("pid", r.pid);
}
template <typename V>
void fields(V& v, GangDissolved& r) {
  v("job", r.job), v("at", r.at);
}
template <typename V>
void fields(V& v, JobEnded& r) {
  v("job", r.job), v("end", r.end), v("cause", r.cause), v("at", r.at);
}
template <typename V>
void fields(V& v, ShardMoved& r) {
  v("job", r.job), v("lost", r.lost), v("owner", r.owner), v("epoch", r.epoch), v("at", r.at);
}
template <typename V>
void fields(V& v, JobForgotten& r) {
  v("job", r.job);
}

}  // namespace trainyard::master
