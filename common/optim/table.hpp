// The values that one owner updates: a parameter-server shard its slices, a trainer without shards all of
// them. Values, velocity and the step they belong to; one update a step, and the same bits back after a
// restart. Pure; belongs to one thread. Published values never change, so that they can be on the wire
// meanwhile.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.hpp"
#include "common/config/job_spec.hpp"
#include "common/optim/slices.hpp"

namespace trainyard::optim {

/// As graph::TensorKind and protocol::SliceKind number them.
enum class ValueKind : std::uint8_t { weight = 0, bias = 1, buffer = 2 };

struct Contribution {
  std::uint32_t samples = 0;         // 0: counts for nothing, `gradients` is not looked at
  std::span<const float> gradients;  // sums over the samples, in the layout of the table
};

class Table {
 public:
  using Values = std::shared_ptr<const std::vector<float>>;

  /// `slices` in the order in which values lie, one after the other; only length and kind matter here.
  /// steps_per_epoch > 0. Errors: lengths that do not add up to the values, kinds that do not exist.
  static Result<Table> make(const config::TrainSection& train, std::vector<Slice> slices,
                            std::uint64_t steps_per_epoch, std::vector<float> values);

  /// The next step: sums the contributions in their order, divides by all samples, updates. Without a single
  /// sample the step passes and nothing changes.
  void apply(std::span<const Contribution> contributions);

  std::uint64_t step() const { return step_; }  // updates so far
  std::uint64_t steps_per_epoch() const { return steps_per_epoch_; }
  const std::vector<Slice>& slices() const { return slices_; }
  std::size_t size() const { return values_->size(); }
  Values values() const { return values_; }
  double rate(std::uint64_t step) const;

  /// The whole state at this step, independent of what the table does next.
  struct Saved {
    std::uint64_t step = 0;
    std::string header;
    Values values;
    std::vector<float> velocity;
    /// What to write, in order; valid as long as this is.
    std::array<std::span<const std::byte>, 3> pieces() const;
  };
  Saved save() const;
  /// The opposite of writing pieces(). Errors: Errc::corrupt.
  static Result<Table> load(const config::TrainSection& train, std::string_view bytes);

 private:
  Table(const config::TrainSection& train, std::vector<Slice> slices, std::uint64_t steps_per_epoch);

  config::TrainSection train_;
  std::vector<Slice> slices_;
  std::uint64_t steps_per_epoch_ = 1;
  std::uint64_t step_ = 0;
  Values values_;
  std::vector<float> velocity_;  // empty without momentum
};

}  // namespace trainyard::optim
