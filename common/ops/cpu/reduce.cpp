// Reductions over any axes. A tensor is seen as pieces whose rows are reduced and whose columns are kept, or
// the other way about; what is left of the axes goes around them. Sums of long axes are cut into parts of a
// fixed size, so that the bits do not depend on the number of threads.
#include <algorithm>
#include <cmath>

#include "common/ops/cpu/arrangement.hpp"
#include "common/ops/cpu/parallel.hpp"
#include "common/ops/cpu/vector/vectors.hpp"

namespace trainyard::ops::cpu {
namespace {

constexpr int kX = 0, kY = 1, kPartial = 2;
constexpr std::int64_t kPartFloats = 1 << 14, kPartRows = 64;
constexpr std::int64_t kStripe = 512;  // columns that go together

struct Axis {
  std::int64_t extent = 1, stride = 0;
};

/// In memory order, neighbours of one fate being one.
struct Plan {
  Plan(const std::vector<std::int64_t>& extents, const std::vector<bool>& reduced) {
    std::int64_t stride = 1;
    for (std::size_t i = extents.size(); i-- > 0;) {
      const std::int64_t extent = extents[i];
      if (extent != 1) add({extent, stride}, reduced[i]);
      stride *= extent;
    }
  }
  void add(Axis axis, bool reduced) {
    std::vector<Axis>& axes = reduced ? gone : kept;
    if (!axes.empty() && axis.stride == axes.back().stride * axes.back().extent)
      axes.back().extent *= axis.extent;
    else
      axes.push_back(axis);
    if (kept.size() + gone.size() == 1) columns_kept = !reduced;
  }
  // Innermost first.
  std::vector<Axis> kept, gone;
  bool columns_kept = false;  // is the innermost axis one that stays?
};

/// Takes the innermost axis off; 1 when there is none.
Axis take(std::vector<Axis>& axes) {
  if (axes.empty()) return {};
  const Axis first = axes.front();
  axes.erase(axes.begin());
  return first;
}

std::int64_t volume(const std::vector<Axis>& axes) {
  std::int64_t count = 1;
  for (const Axis& axis : axes) count *= axis.extent;
  return count;
}

std::int64_t place(std::int64_t number, const std::vector<Axis>& axes) {
  std::int64_t at = 0;
  for (const Axis& axis : axes) {
    at += number % axis.extent * axis.stride;
    number /= axis.extent;
  }
  return at;
}

double combined(Reduction reduction, double a, double b) {
  switch (reduction) {
    case Reduction::maximum:
      return a > b || a != a ? a : b;
    case Reduction::minimum:
      return a < b || a != a ? a : b;
    case Reduction::product:
      return a * b;
    case Reduction::log_sum_exp: {
      const double top = combined(Reduction::maximum, a, b);
      return std::isfinite(top) ? top + std::log(std::exp(a - top) + std::exp(b - top)) : top;
    }
    default:
      return a + b;
  }
}

class Reduce final : public ArrangedKernel {
 public:
  Reduce(const Operation& op, const Arrangement& order, Plan plan)
      : reduction_(op.attributes.reduction), columns_kept_(plan.columns_kept) {
    const Shape &x = op.inputs[0].shape, &y = op.outputs[0].shape;
    terms_ = static_cast<double>(x.elements()) / static_cast<double>(y.elements());
    input(kX, 0, desc_of(op.inputs[0]), order.desc(x));
    result(op, order);
    if (columns_kept_) {
      columns_ = take(plan.kept).extent;
      rows_ = take(plan.gone);
    } else {
      columns_ = take(plan.gone).extent;
      rows_ = {1, 0};
    }
    kept_ = std::move(plan.kept);
    gone_ = std::move(plan.gone);
    groups_ = volume(kept_);
    around_ = volume(gone_);
    // What goes is cut into parts: rows, or a row's columns. Columns that stay are cut into stripes.
    const std::int64_t along = columns_kept_ ? rows_.extent : columns_;
    part_ = columns_kept_ ? std::max(kPartRows, kPartFloats / std::min(columns_, kStripe)) : kPartFloats;
    parts_ = (along + part_ - 1) / part_;
    width_ = columns_kept_ ? columns_ : 1;
    stripes_ = (width_ + kStripe - 1) / kStripe;
    scratch(kPartial,
            static_cast<std::size_t>(groups_ * around_ * parts_ * width_) * sizeof(double) / sizeof(float));
  }

 private:
  /// Row major; or in the order of x, when the axes stay and channels do.
  void result(const Operation& op, const Arrangement& order) {
    const Shape& y = op.outputs[0].shape;
    Desc made = plain_desc(y);
    if (order.kind != Arrangement::Kind::plain) {
      Shape kept = op.inputs[0].shape;
      for (const auto axis : op.attributes.axes) kept[static_cast<std::size_t>(axis)] = 1;
      made = order.desc(kept);
      padding_ = Padding(order, kept);
      if (kept != y) {
        output(kY, 0, made, plain_desc(kept));
        outputs_ = {layout_of(plain_desc(y))};
        return;
      }
    }
    output(kY, 0, made);
    outputs_ = {layout_of(made)};
  }

  void compute() override {
    const float* const x = data(kX);
    double* const partial = data<double>(kPartial);
    const std::int64_t tasks = groups_ * around_ * parts_ * stripes_;
    const std::int64_t floats = groups_ * around_ * rows_.extent * columns_;
    in_pieces(tasks, 1, floats, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) part(x, task, partial);
    });
    float* const y = data(kY);
    in_pieces(groups_ * width_, 16, groups_ * width_ * around_ * parts_,
              [&](std::int64_t begin, std::int64_t end) {
                for (std::int64_t i = begin; i < end; ++i) y[i] = finished(partial, i / width_, i % width_);
              });
    padding_.clear(y);
  }

  /// Parts of a group follow each other: (group, around, part), and so do their results.
  void part(const float* x, std::int64_t task, double* partial) const {
    const std::int64_t stripe = task % stripes_ * kStripe, number = task / stripes_;
    const std::int64_t first = number % parts_ * part_, group = number / parts_ / around_;
    const float* const from = x + place(group, kept_) + place(number / parts_ % around_, gone_);
    double* const to = partial + number * width_ + stripe;
    if (columns_kept_)
      vectors().reduce_columns(reduction_, from + first * rows_.stride + stripe, rows_.stride,
                               std::min(part_, rows_.extent - first), std::min(kStripe, width_ - stripe), to);
    else
      *to = vectors().reduce(reduction_, from + first, std::min(part_, columns_ - first));
  }

  float finished(const double* partial, std::int64_t group, std::int64_t column) const {
    const std::int64_t count = around_ * parts_;
    const double* const from = partial + group * count * width_ + column;
    double value = from[0];
    for (std::int64_t i = 1; i < count; ++i) value = combined(reduction_, value, from[i * width_]);
    switch (reduction_) {
      case Reduction::mean:
        return static_cast<float>(value / terms_);
      case Reduction::l2:
        return static_cast<float>(std::sqrt(value));
      case Reduction::log_sum:
        return static_cast<float>(std::log(value));
      default:
        return static_cast<float>(value);
    }
  }

  const Reduction reduction_;
  const bool columns_kept_;
  double terms_ = 1;
  std::int64_t columns_ = 1, groups_ = 1, around_ = 1, part_ = 1, parts_ = 1, width_ = 1, stripes_ = 1;
  Axis rows_;
  std::vector<Axis> kept_, gone_;  // around the rows and columns
  Padding padding_;
};

}  // namespace

std::unique_ptr<Kernel> reduce(const Operation& op) {
  const Shape& x = op.inputs[0].shape;
  if (op.inputs[0].type != DType::f32 || x.elements() == 0 || x.rank() > 6) return nullptr;
  const auto reduced = [&](std::size_t axis) {
    const auto& axes = op.attributes.axes;
    return std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(axis)) != axes.end();
  };
  Arrangement order = arrangement_of(op.inputs[0]).value_or(Arrangement{});
  if (order.kind != Arrangement::Kind::plain && (reduced(1) || x[1] == 1)) order = {};
  std::vector<bool> gone;
  if (order.kind == Arrangement::Kind::plain)
    for (std::size_t axis = 0; axis < x.rank(); ++axis) gone.push_back(reduced(axis));
  else if (order.kind == Arrangement::Kind::channels_last)
    gone = {reduced(0), reduced(2), reduced(3), false};
  else
    gone = {reduced(0), false, reduced(2), reduced(3), false};
  Plan plan(order.extents(x), gone);
  // Its columns would need two passes.
  if (op.attributes.reduction == Reduction::log_sum_exp && plan.columns_kept) return nullptr;
  return std::make_unique<Reduce>(op, order, std::move(plan));
}

}  // namespace trainyard::ops::cpu
