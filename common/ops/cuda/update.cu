// A step of an update rule over all values at once: the norm of the gradient, then one pass in which each
// value, its gradient and what the rule keeps are read and written once. Formulas: optim/optimizer.hpp.
#include <cmath>

#include "common/ops/cuda/kernel.hpp"
#include "common/ops/cuda/numbers.hpp"
#include "common/ops/cuda/update.hpp"

namespace trainyard::ops::cuda {
namespace {

using tensor::UpdateNumbers;
using tensor::UpdateRule;
using tensor::UpdateStep;

constexpr std::int64_t kPack = 4;  // floats that a thread reads at once; divides a stretch
using Floats = Pack<float, kPack>;

/// Sums of the squares of kUpdateNormValues values, by one team.
struct NormTeam {
  std::int64_t length;
  const std::uint8_t* groups;
  const float* gradients;
  double* parts;  // [teams, 2]: of what is updated, of buffers
  __device__ void operator()(const Team& team) const {
    double sums[2] = {0, 0};
    const std::int64_t begin = team.index() * kUpdateNormValues;
    const std::int64_t end = begin + kUpdateNormValues < length ? begin + kUpdateNormValues : length;
    for (std::int64_t i = begin + team.thread() * kPack; i < end; i += team.threads() * kPack) {
      const std::uint8_t group = groups[i / kUpdateStretch];
      if (group == tensor::kUpdateFrozen) continue;
      const Floats of = *reinterpret_cast<const Floats*>(gradients + i);
      double sum = 0;
      for (const float x : of.at) sum += static_cast<double>(x) * x;
      sums[group == tensor::kUpdateBuffer ? 1 : 0] += sum;
    }
    for (int k = 0; k < 2; ++k) {
      const double all = team.reduce(sums[k], [](double a, double b) { return a + b; });
      if (team.thread() == 0) parts[team.index() * 2 + k] = all;
    }
  }
};

/// The parts in an order that does not change, and what clipping makes of them.
struct NormFinish {
  std::int64_t parts;
  double bound;  // 0: none
  const double* sums;
  const UpdateStep* step;
  UpdateNorm* norm;
  __device__ void operator()(const Team& team) const {
    double all[2];
    for (int k = 0; k < 2; ++k) {
      double sum = 0;
      for (std::int64_t i = team.thread(); i < parts; i += team.threads()) sum += sums[i * 2 + k];
      all[k] = team.reduce(sum, [](double a, double b) { return a + b; });
    }
    if (team.thread() != 0) return;
    double factor = 1;
    if (bound > 0) {
      const double of_mean = bound / (step->scale * std::sqrt(all[0]) + 1e-6);
      if (of_mean < 1) factor = of_mean;
    }
    *norm = {all[0], all[1], factor};
  }
};

/// What a rule makes of a value; `kept` are its arrays at this place.
template <UpdateRule rule>
__device__ float next_of(const UpdateNumbers& n, float value, float g, float (&kept)[tensor::kUpdateArrays],
                         bool moving, bool centered) {
  if constexpr (rule == UpdateRule::ftrl) {
    const float squares = kept[1] + g * g, root = std::sqrt(squares);
    kept[0] += g - (root - std::sqrt(kept[1])) * n.inverse_rate * value;
    kept[1] = squares;
    const float beyond = kept[0] - std::copysign(n.l1, kept[0]);
    return std::fabs(kept[0]) <= n.l1 ? 0.0f : -beyond / ((n.beta + root) * n.inverse_rate + n.l2);
  } else {
    g += n.decay * value;
    float step = g;
    if constexpr (rule == UpdateRule::momentum || rule == UpdateRule::nesterov) {
      kept[0] = n.momentum * kept[0] + g;
      step = rule == UpdateRule::nesterov ? g + n.momentum * kept[0] : kept[0];
    } else if constexpr (rule == UpdateRule::adam) {
      kept[0] = n.keep[0] * kept[0] + n.add[0] * g;
      kept[1] = n.keep[1] * kept[1] + n.add[1] * (g * g);
      step = kept[0] / (std::sqrt(kept[1]) * n.second_root + n.epsilon);
    } else if constexpr (rule == UpdateRule::adagrad) {
      kept[0] += g * g;
      step = g / (std::sqrt(kept[0]) + n.epsilon);
    } else if constexpr (rule == UpdateRule::rmsprop) {
      kept[0] = n.keep[1] * kept[0] + n.add[1] * (g * g);
      float variance = kept[0];
      if (centered) {
        kept[2] = n.keep[1] * kept[2] + n.add[1] * g;
        variance -= kept[2] * kept[2];
        variance = variance < 0 ? 0.0f : variance;  // rounding can take it there
      }
      step = g / (std::sqrt(variance) + n.epsilon);
      if (moving) kept[1] = step = n.momentum * kept[1] + step;
    }
    return value - (n.loss * value + n.rate * step);
  }
}

template <UpdateRule rule>
struct UpdateEach {
  UpdateMemory at;
  float value_bound;  // 0: none
  __device__ void operator()(std::int64_t pack) const {
    const std::int64_t i = pack * kPack;
    const std::uint8_t group = at.groups[i / kUpdateStretch];
    const UpdateNorm& norm = *at.norm;
    // A number that is not finite is less than no other, and its difference with itself is not 0.
    const double whole = at.outcome->loss_sum + norm.square_sum + norm.buffers;
    if (group == tensor::kUpdateFrozen || whole - whole != 0) return;
    const UpdateStep& step = *at.step;
    const Floats gradients = *reinterpret_cast<const Floats*>(at.gradients + i);
    Floats values = *reinterpret_cast<const Floats*>(at.values + i);
    if (group == tensor::kUpdateBuffer) {
      const auto scale = static_cast<float>(step.scale);
      for (int k = 0; k < kPack; ++k) values.at[k] = gradients.at[k] * scale;
    } else {
      const UpdateNumbers numbers = step.groups[group];
      const auto scale = static_cast<float>(step.scale * norm.factor);
      Floats arrays[tensor::kUpdateArrays];
      for (std::size_t a = 0; a < tensor::kUpdateArrays; ++a)
        if (at.arrays[a] != nullptr) arrays[a] = *reinterpret_cast<const Floats*>(at.arrays[a] + i);
      for (int k = 0; k < kPack; ++k) {
        float g = gradients.at[k] * scale;
        if (value_bound > 0) {
          g = g < -value_bound ? -value_bound : g;
          g = g > value_bound ? value_bound : g;
        }
        float kept[tensor::kUpdateArrays];
        for (std::size_t a = 0; a < tensor::kUpdateArrays; ++a)
          kept[a] = at.arrays[a] != nullptr ? arrays[a].at[k] : 0.0f;
        values.at[k] =
            next_of<rule>(numbers, values.at[k], g, kept, at.arrays[1] != nullptr, at.arrays[2] != nullptr);
        for (std::size_t a = 0; a < tensor::kUpdateArrays; ++a) arrays[a].at[k] = kept[a];
      }
      for (std::size_t a = 0; a < tensor::kUpdateArrays; ++a)
        if (at.arrays[a] != nullptr) *reinterpret_cast<Floats*>(at.arrays[a] + i) = arrays[a];
    }
    *reinterpret_cast<Floats*>(at.values + i) = values;
    if (at.arrays[tensor::kUpdateAverage] == nullptr) return;
    auto& average = *reinterpret_cast<Floats*>(at.arrays[tensor::kUpdateAverage] + i);
    for (int k = 0; k < kPack; ++k)
      average.at[k] = step.average_add == 1.0f
                          ? values.at[k]
                          : average.at[k] + step.average_add * (values.at[k] - average.at[k]);
  }
};

template <UpdateRule rule>
void apply(Queue& queue, const UpdateMemory& at, float value_bound) {
  each(queue, at.length / kPack, UpdateEach<rule>{at, value_bound});
}

}  // namespace

void enqueue_update(Queue& queue, const tensor::UpdatePlan& plan, const UpdateMemory& at) {
  const std::int64_t parts = update_norm_parts(at.length);
  auto* const sums = static_cast<double*>(at.scratch);
  teams(queue, parts, kTeamMax, NormTeam{at.length, at.groups, at.gradients, sums});
  teams(queue, 1, kTeamMax, NormFinish{parts, plan.norm_bound.value_or(0), sums, at.step, at.norm});
  const float bound = plan.value_bound.value_or(0);
  switch (plan.rule) {
    case UpdateRule::sgd:
      return apply<UpdateRule::sgd>(queue, at, bound);
    case UpdateRule::momentum:
      return apply<UpdateRule::momentum>(queue, at, bound);
    case UpdateRule::nesterov:
      return apply<UpdateRule::nesterov>(queue, at, bound);
    case UpdateRule::adam:
      return apply<UpdateRule::adam>(queue, at, bound);
    case UpdateRule::adagrad:
      return apply<UpdateRule::adagrad>(queue, at, bound);
    case UpdateRule::rmsprop:
      return apply<UpdateRule::rmsprop>(queue, at, bound);
    case UpdateRule::ftrl:
      return apply<UpdateRule::ftrl>(queue, at, bound);
  }
}

}  // namespace trainyard::ops::cuda
