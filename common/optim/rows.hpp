// Steps of the update rules for the rows of a tensor that have a gradient: the others, and what a rule keeps
// for them, stay as they are and cost nothing. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/optim/optimizer.hpp"
#include "common/tensor/row_gradient.hpp"

namespace trainyard::optim {

/// A whole tensor, changed in place.
struct RowTarget {
  float* values = nullptr;
  std::array<float*, rule_arrays_max> arrays{};  // by RuleArray::place
};

/// What update() does to a tensor, to the rows of `gradient` alone; `scale` times it is the mean, of which
/// each value is bounded. Not for rules that need whole tensors. Rows are apart, so that several threads may
/// share their list. With sgd without momentum and with adagrad, without decay, the tensor becomes what
/// update() makes of it with zeros for the other rows. The other rules are lazy: velocity and moments of a
/// row stand still while it has no gradient, the correction of adam's bias counts all updates (as PyTorch's
/// SparseAdam), and a row decays when it has a gradient.
void update_rows(const config::OptimizerSection& optimizer, double rate, std::uint64_t update,
                 const SliceRule& slice, const RowTarget& target, const tensor::RowGradient& gradient,
                 float scale, std::optional<float> bound);

/// As square_sum() of the mean of these rows.
double square_sum(const tensor::RowGradient& gradient, float scale);

/// The sum of several gradients of one tensor, in the order in which they come. Keeps its memory.
class RowSum {
 public:
  void clear() { ids_.clear(); }
  /// All of one tensor, between two calls of clear().
  void add(const tensor::RowGradient& part);
  /// Until the next call of add() or clear().
  tensor::RowGradient view() const { return {offset_, width_, ids_, rows_}; }

 private:
  std::uint64_t offset_ = 0, width_ = 0;
  std::vector<std::int32_t> ids_, next_ids_;
  std::vector<float> rows_, next_rows_;
};

/// values += the rows in their places; `values` begin with the tensor.
void add_rows(const tensor::RowGradient& gradient, float* values);

}  // namespace trainyard::optim
