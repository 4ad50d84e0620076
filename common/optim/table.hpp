// The values that one owner updates: a parameter-server shard its slices, a trainer without shards all of
// them. Values, what the update rule keeps, the moving average and the step they belong to; one update a
// step, and the same bits back after a restart. Pure; belongs to one thread. Published values never change,
// so that they can be on the wire meanwhile.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.hpp"
#include "common/config/job_spec.hpp"
#include "common/optim/optimizer.hpp"
#include "common/optim/rows.hpp"
#include "common/optim/slices.hpp"

namespace trainyard::optim {

struct Contribution {
  std::uint32_t samples = 0;                  // 0: counts for nothing, `gradients` is not looked at
  std::span<const float> gradients;           // sums over the samples, in the layout of the table
  std::span<const tensor::RowGradient> rows;  // of slices with rows, found by their offsets; what `gradients`
                                              // hold in their places is not looked at
};

/// How a step differs from the plain one.
struct Circumstances {
  std::optional<double> norm;   // of the mean gradient of all tables together, needed where the job clips by
                                // norm and this is not the only table
  std::span<const float> seen;  // the values that the gradients were computed with: corrects the delay, in a
                                // table that was made for it. Empty: the present ones
  double slowness = 1;          // divides the rate
};

class Table {
 public:
  using Values = std::shared_ptr<const std::vector<float>>;
  using Delayed = std::optional<config::DelaySection>;

  /// `slices` in the order in which values lie, one after the other; shard and offset do not matter here.
  /// steps_per_epoch > 0. `delayed`: contributions may be late, and how that is corrected.
  /// Errors: lengths that do not add up to the values, kinds that do not exist.
  static Result<Table> make(const config::TrainSection& train, std::vector<Slice> slices,
                            std::uint64_t steps_per_epoch, std::vector<float> values,
                            const Delayed& delayed = std::nullopt);

  /// The next step: sums the contributions in their order, divides by all samples, updates. Without a single
  /// sample the step passes and nothing changes.
  /// The threads of OpenMP share the slices; no number depends on how many there are.
  void apply(std::span<const Contribution> contributions, const Circumstances& circumstances = {});

  /// Earlier values that others may hold on to while new ones are made, without fresh memory each time.
  void keep_spare(std::size_t count) { spare_max_ = count; }

  /// For each slice the sum of the squares of its mean gradient, 0 for buffers: what a global norm is made
  /// of. Changes nothing.
  std::vector<double> square_sums(std::span<const Contribution> contributions) const;

  /// Slices with rows change in those rows alone. Not with rules that need whole tensors: there they are
  /// filled up with zeros.
  bool by_rows() const { return by_rows_; }

  /// For values that somebody else updates, who takes the first ones from here: the number of the next
  /// update, and that its step is done.
  std::uint64_t next_update() const { return updates_ + 1; }
  void pass(bool updated) {
    ++step_;
    updates_ += updated ? 1 : 0;
  }

  /// Before the first step: `step` is counted as done. The rule begins anew.
  void begin_at(std::uint64_t step) { step_ = step; }
  /// The values from now on, size() of them; what the rule keeps stays.
  void replace(std::span<const float> values);

  std::uint64_t step() const { return step_; }  // updates so far
  std::uint64_t steps_per_epoch() const { return steps_per_epoch_; }
  const std::vector<Slice>& slices() const { return slices_; }
  std::size_t size() const { return values_->size(); }
  Values values() const { return values_; }
  /// The moving average, copied; the values before the first update. Null unless the job has train.ema.
  Values averages() const;
  double rate(std::uint64_t step) const;

  /// The whole state at this step, independent of what the table does next.
  struct Saved {
    std::uint64_t step = 0;
    std::string header;
    Values values;
    std::vector<std::vector<float>> arrays;
    /// What to write, in order; valid as long as this is.
    std::vector<std::span<const std::byte>> pieces() const;
  };
  Saved save() const;
  /// The opposite of writing pieces(). Errors: corrupt; invalid when another optimizer wrote it.
  static Result<Table> load(const config::TrainSection& train, std::string_view bytes,
                            const Delayed& delayed = std::nullopt);
  /// The same values and state cut otherwise: every float of `slices` is found in `parts` by its offset in
  /// the flat array. The parts are of one step. Errors: corrupt when they are not, or lack something.
  static Result<Table> regroup(const config::TrainSection& train, std::vector<Slice> slices,
                               std::span<const Table> parts, const Delayed& delayed = std::nullopt);

 private:
  struct Array {
    std::string_view name;
    std::size_t place = 0;
    std::vector<float> floats;
  };
  struct Sum {
    std::uint64_t samples = 0;
    std::vector<std::span<const float>> parts;
    std::vector<std::span<const tensor::RowGradient>> rows;
  };
  struct Step {
    double rate = 0, scale = 1, clipped = 1;  // of buffers, of gradients
    std::optional<float> bound;               // of a gradient, after scaling
    std::span<const float> seen;              // or empty
  };
  Table(const config::TrainSection& train, std::vector<Slice> slices, std::uint64_t steps_per_epoch);
  Sum sum_of(std::span<const Contribution> contributions) const;
  std::shared_ptr<std::vector<float>> take_spare();
  std::shared_ptr<std::vector<float>> take_next();
  tensor::RowGradient rows_of(const Slice& slice, const Sum& sum) const;
  std::vector<float> filled(const Contribution& contribution) const;
  bool goes_by_rows(const Slice& slice) const { return by_rows_ && slice.row > 0; }
  void apply_slice(std::size_t index, const Sum& sum, const Step& step, std::vector<float>& next);
  void apply_rows(std::size_t index, const Sum& sum, const Step& step, std::vector<float>& next);
  std::vector<std::string> array_names() const;
  /// Everything that is as long as the values, in a fixed order: values, arrays of the rule, the rest.
  template <typename Self>
  static auto columns_of(Self& table);

  config::TrainSection train_;
  std::vector<Slice> slices_;
  std::uint64_t steps_per_epoch_ = 1;
  std::uint64_t step_ = 0;
  std::uint64_t updates_ = 0;  // steps that had samples
  std::shared_ptr<std::vector<float>> values_;
  std::vector<std::shared_ptr<std::vector<float>>> spare_;  // earlier values, still to be let go by others
  std::size_t spare_max_ = 2;                               // which may be on their way to trainers
  std::vector<Array> arrays_;                               // of the rule
  Delayed delayed_;
  std::optional<std::vector<float>> mean_square_;  // of gradients, where delay is corrected by it
  std::optional<std::vector<float>> average_;
  bool by_rows_ = false;
  mutable RowSum row_sum_;
  std::vector<std::size_t> begins_;  // of slices: their place in the values
};

/// The norm that square sums of slices stand for; in their order, so that it does not depend on who owns
/// which slice.
double norm_of(std::span<const double> square_sums);

}  // namespace trainyard::optim
