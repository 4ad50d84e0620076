// The state as JSON, for people and their tools: shapes of docs/http_api.md. Pure. Secrets stay inside.
#pragma once

#include <string>

#include "common/base/json.hpp"
#include "daemons/master/state.hpp"

namespace trainyard::master {

/// `full`: with events, history and cluster spec.
Json job_view(JobId id, const Job& job, bool full);
/// Newest first; without `all` only those that have not ended; `queue` empty: of every queue.
Json jobs_view(const State& state, bool all, const std::string& queue);
Json node_view(const State& state, const NodeName& name, const Node& node);
Json nodes_view(const State& state);
/// Gauges of jobs, nodes and tasks in Prometheus' text format 0.0.4.
std::string metrics_view(const State& state);

}  // namespace trainyard::master
