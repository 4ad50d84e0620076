// Looks into the steps of a training: times a window of them when the job asks for it, and finds out where a
// loss or a gradient that is not finite comes from. Belongs to the compute thread.
#pragma once

#include <optional>
#include <string>

#include "common/base/time.hpp"
#include "common/config/job_spec.hpp"
#include "common/graph/network.hpp"
#include "common/graph/profile.hpp"
#include "common/runtime/member.hpp"

namespace trainyard::trainer {

class Watch {
 public:
  Watch(graph::Network& network, const config::JobSpec& job, const runtime::TaskEnvironment& environment);

  /// For the next batch, of `count` samples; null when nothing looks at it. Full batches are timed, the first
  /// ones left out.
  graph::Observer* observer(std::uint32_t count);
  /// A part of a step, for the trace.
  void spent(const char* what, Time from, Time to);
  /// Behind each step: reports once the window is over.
  void step_ends();
  /// Reports what was seen of a window that did not end.
  void finish();

  /// Errc::invalid with the place that the first number that is not finite comes from.
  Status check_finite(const graph::StepResult& result, const graph::Feed& feed);

 private:
  void report();

  graph::Network& network_;
  const std::vector<std::uint64_t> row_widths_;  // of tensors
  const std::uint32_t batch_;
  const int rank_;
  const std::string directory_;
  std::uint32_t seen_ = 0;  // full batches
  bool wanted_ = false;
  std::optional<graph::Profiler> profiler_;
};

}  // namespace trainyard::trainer
