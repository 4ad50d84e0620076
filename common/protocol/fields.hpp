// The fields of the plain values that messages are made of, for JSON; see base/fields.hpp. Whole messages
// travel as bytes, through codec.hpp.
#pragma once

#include "common/base/fields.hpp"
#include "common/protocol/messages.hpp"

namespace trainyard {

constexpr Role last_value(Role) { return Role::predictor; }
template <typename V>
void fields(V& v, TaskId& r) {
  v("job", r.job), v("role", r.role), v("index", r.index);
}

}  // namespace trainyard

namespace trainyard::protocol {

constexpr ProcessState last_value(ProcessState) { return ProcessState::exited; }
template <typename V>
void fields(V& v, ResourceSet& r) {
  v("cpu_millis", r.cpu_millis), v("memory", r.memory), v("gpus", r.gpus);
}
template <typename V>
void fields(V& v, TaskKey& r) {
  v("task", r.task), v("incarnation", r.incarnation);
}
template <typename V>
void fields(V& v, TaskReport& r) {
  v("key", r.key), v("state", r.state), v("pid", r.pid), v("exit_code", r.exit_code), v("signal", r.signal);
  v("memory_peak", r.memory_peak), v("error", r.error), v("last_lines", r.last_lines);
}

}  // namespace trainyard::protocol
