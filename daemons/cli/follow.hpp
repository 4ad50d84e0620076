// Watching one job until it ends: a progress bar on a terminal, a line an epoch elsewhere, the events that
// matter.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/json.hpp"
#include "daemons/cli/client.hpp"

namespace trainyard::cli {

struct Outcome {
  Json job;                  // as last seen
  bool interrupted = false;  // Ctrl-C before it ended
};

/// Polls until the job has ended. A master that is away is waited for, at most 60 s; then Errc::unavailable.
Result<Outcome> follow_job(const Client& client, std::int64_t id);

bool has_ended(const Json& job);
/// 0 when it succeeded, 1 otherwise.
int outcome_code(const Json& job);
/// State, cause, time, test metrics, and where the bundle and its report are; with the last lines of failed
/// tasks.
std::string summary_text(const Json& job);

/// One line of history: "epoch 3/20  step 120  train/loss 0.91  ...".
std::string epoch_text(const Json& entry, std::int64_t epochs);
/// "flowers  [#####.....] epoch 3/20  step 61/126  loss 0.91  accuracy 0.66  eta 1m20s", at most `width`
/// columns.
std::string progress_text(const Json& job, std::int64_t now_ms, std::size_t width);

}  // namespace trainyard::cli
