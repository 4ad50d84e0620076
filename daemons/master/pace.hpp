// What steps of a running job are bound by, and who is slowest: from what its tasks tell of themselves. Pure.
#pragma once

#include <optional>
#include <string>

#include "common/base/json.hpp"
#include "daemons/master/state.hpp"

namespace trainyard::master {

struct Pace {
  std::string bound_by;             // input, compute or exchange
  std::optional<TaskId> straggler;  // reads and computes for more than 1.25 times as long as the others do
  double step_seconds = 0;          // of the straggler, else the mean
  std::string text;                 // one line that says so
};

/// None before trainers have told of a step.
std::optional<Pace> pace_of(const Job& job);

/// Of pace_of(), and what each task told: for trainers seconds a step, for shards counts.
Json pace_json(const Job& job);

/// What tasks of running jobs told, in the text format of Prometheus: seconds of a step by part, and of each
/// shard pushes, bytes and the histogram of staleness.
std::string pace_metrics(const State& state);

}  // namespace trainyard::master
