// What rank 0 decides for all: when a checkpoint is due, which one is still hoped for, and with which step
// training ends. Pure; the time is an argument. The marks travel with rank 0's push, so that every trainer
// and shard acts at the same step.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/time.hpp"
#include "common/config/job_spec.hpp"
#include "common/protocol/data.hpp"

namespace trainyard::trainer {

/// One epoch as it goes into the history: "train/loss", "validation/accuracy", "learning_rate", ...
struct EpochRow {
  std::uint64_t epoch = 0;  // from 1
  std::uint64_t step = 0;   // its last one
  std::map<std::string, double> metrics;
  friend bool operator==(const EpochRow&, const EpochRow&) = default;
};

struct Marks {
  bool checkpoint = false;
  protocol::Ending ending = protocol::Ending::none;
  friend bool operator==(const Marks&, const Marks&) = default;
};

/// The metric did not get better for `patience` epochs. Of losses ("…/loss") and of times ("wait/…",
/// "seconds") less is better, of all others more. An epoch without the metric counts for nothing.
bool should_stop_early(const config::EarlyStop& rule, std::span<const EpochRow> history);

class Chief {
 public:
  /// `steps` of the whole training; checkpoints are counted from `now` on.
  Chief(Duration checkpoint_every, std::uint64_t steps, Time now);

  /// For the push of `step`; a checkpoint that is marked counts as made. The last step is always saved, so
  /// that what comes after the training can be done again.
  Marks mark(std::uint64_t step, Time now);
  /// The next push is the last one, and is saved. `how`: done or stopped; what was stopped once stays so.
  void stop(protocol::Ending how) { stopping_ = std::max(stopping_, how); }
  bool stopping() const { return stopping_ != protocol::Ending::none; }

  // A marked checkpoint is awaited until it is committed, given up, or a newer one begins.
  /// Its parts are being written.
  void begin(std::uint64_t step);
  /// The step that is awaited; 0: none.
  std::uint64_t awaited() const { return awaited_; }
  /// All parts are there: shall the manifest be written? Asked twice after a reconnect; not of one that is
  /// older than the newest, which may be pruned already, nor of one that was given up.
  bool may_commit(std::uint64_t step) const;
  void committed(std::uint64_t step);
  /// A part is missing for good. True when this ends a hope: to be told once, however many parts fail.
  bool give_up(std::uint64_t step);

 private:
  Duration checkpoint_every_;
  std::uint64_t steps_;
  Time checkpoint_due_;
  protocol::Ending stopping_ = protocol::Ending::none;
  std::uint64_t awaited_ = 0, committed_ = 0, given_up_ = 0;  // steps; 0: none
};

}  // namespace trainyard::trainer
