// The update rules; the same code on a trainer and on a parameter-server shard. One pass over the gradients,
// the values and the rule's own arrays, in blocks that stay in the cache: sum, mean, clip, decay, step.
// Deterministic: the order of the sum is the order of the contributions, and the instruction set changes no
// bit. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "common/config/job_spec.hpp"

namespace trainyard::optim {

/// As graph::TensorKind and protocol::SliceKind number them.
enum class ValueKind : std::uint8_t { weight = 0, bias = 1, buffer = 2 };

inline constexpr std::size_t rule_arrays_max = 3;

/// An array that a rule keeps, one float for each value.
struct RuleArray {
  std::string_view name;  // in checkpoints
  std::size_t place = 0;  // below rule_arrays_max: where update() wants it
  float first = 0;        // what it begins with
};
std::vector<RuleArray> rule_arrays(const config::OptimizerSection& optimizer);

/// The rule looks at the norms of whole tensors (lars, lamb): a tensor must then not be cut.
bool needs_whole_tensors(config::OptimizerKind kind);

/// The gradient was computed where the values were `seen`; they are elsewhere by now. First-order correction
/// of Zheng and others 2017, eq. 10: g + lambda g^2 (w - seen); adaptive: the mean square
/// s = keep s + (1 - keep) g^2, lambda = strength / sqrt(s + 1e-7), value by value. g: the mean gradient,
/// after clipping and before decay. A strength of 0 changes nothing but s.
struct Delay {
  std::span<const float> seen;   // of the slice
  float* mean_square = nullptr;  // of the slice; null: lambda is the strength
  float strength = 0, keep = 0;
};

/// What one trainer or several know of the gradient of a slice.
struct Gradient {
  std::span<const std::span<const float>> parts;  // summed in this order
  float scale = 1;                                // times this is the mean (and what the norm is clipped to)
  std::optional<float> bound;                     // of each value, after the scale
  std::optional<Delay> delay;
};

/// A slice's own settings.
struct SliceRule {
  ValueKind kind = ValueKind::weight;
  double rate = 1;   // times the step's rate
  double decay = 0;  // weight decay; ftrl: share of l1 and l2 that holds
};

/// One step of one slice; everything has its length. `next` overlaps nothing else.
struct Target {
  std::span<const float> value;
  std::span<float> next;
  std::array<float*, rule_arrays_max> arrays{};  // by RuleArray::place
};

/// next = the value after update number `update` (from 1) with the step's `rate`:
///   g = mean gradient (+ decay w, except adamw, ftrl, lamb); eta = rate times the slice's
///   sgd      v = mu v + g; w -= eta v, or eta (g + mu v) with nesterov       Sutskever and others 2013
///   adam     m = b1 m + (1 - b1) g; s = b2 s + (1 - b2) g^2;
///            w -= eta (m / (1 - b1^t)) / (sqrt(s / (1 - b2^t)) + eps)        Kingma, Ba 2015, algorithm 1
///   adamw    as adam, and w -= eta decay w                                   Loshchilov, Hutter 2019, alg. 2
///   adagrad  s += g^2; w -= eta g / (sqrt(s) + eps)                          Duchi and others 2011
///   rmsprop  s = rho s + (1 - rho) g^2; centered: a = rho a + (1 - rho) g, s - a^2 in place of s;
///            v = mu v + g / (sqrt(s) + eps); w -= eta v       Tieleman, Hinton 2012; Graves 2013, eq. 38-45
///   ftrl     z += g - (sqrt(n + g^2) - sqrt(n)) / eta w; n += g^2; w = 0 where abs(z) <= l1, else
///            -(z - sign(z) l1) / ((beta + sqrt(n)) / eta + l2)    McMahan and others 2013, alg. 1
///   lars     v = mu v + eta trust norm(w) / (norm(g) + decay norm(w)) (g + decay w); w -= v
///                                                                            You and others 2017, alg. 1
///   lamb     r = adam's direction + decay w; w -= eta norm(w) / norm(r) r    You and others 2020, alg. 2
/// lars and lamb take the ratio as 1 for biases and norms, and where a norm is 0. PyTorch's conventions: eta
/// stands outside v, except lars. A slice of kind buffer becomes the mean of its parts.
void update(const config::OptimizerSection& optimizer, double rate, std::uint64_t update,
            const SliceRule& slice, const Target& target, const Gradient& gradient);

/// Sum of the squares of the mean gradient, in double precision; the clip of single values comes before.
double square_sum(const Gradient& gradient, std::size_t length);

/// What a gradient of this global norm is multiplied by, so that its norm is at most `bound`; PyTorch's
/// clip_grad_norm_: bound / (norm + 1e-6), at most 1.
double clip_factor(double norm, double bound);

/// average = decay * average + (1 - decay) * values; the first update (number 1) copies, as PyTorch's
/// AveragedModel does.
void average(std::span<const float> values, std::span<float> average, double decay, std::uint64_t update);

}  // namespace trainyard::optim
