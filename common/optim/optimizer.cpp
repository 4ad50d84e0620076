#include "common/optim/optimizer.hpp"

#include <algorithm>
#include <cmath>

#include "common/base/check.hpp"
#include "common/optim/kernels.hpp"
#include "common/optim/rule.hpp"

namespace trainyard::optim {
namespace {

using Kind = config::OptimizerKind;
using kernels::Block;
using kernels::Kernels;
using kernels::Numbers;

static_assert(kernels::states_max == rule_arrays_max);

constexpr std::size_t contributors_max = 1024;

/// The gradient of a slice, a block at a time.
class Blocks {
 public:
  /// `value`: what the gradient moves; looked at where it is delayed.
  Blocks(const Gradient& gradient, std::span<const float> value, std::size_t length, const Kernels& set)
      : gradient_(gradient), value_(value), length_(length), set_(set) {
    check(!gradient.delay || (gradient.delay->seen.size() == length && value.size() == length),
          "what was seen has the size of the values");
    check(gradient.parts.size() <= contributors_max, "a gradient has a bounded number of contributions");
    for (std::size_t i = 0; i < gradient.parts.size(); ++i) {
      check(gradient.parts[i].size() == length, "a contribution has the size of the values");
      parts_[i] = gradient.parts[i].data();
    }
  }

  /// Calls use(begin, length, mean) for each block in order; the mean stays valid for the call.
  template <typename Use>
  void each_mean(Use use) {
    each(0, [&](std::size_t begin, std::size_t length) {
      set_.sum(parts_.data(), gradient_.parts.size(), begin, length, gradient_.scale, sum_.data());
      if (gradient_.bound) set_.clamp(sum_.data(), length, *gradient_.bound);
      if (gradient_.delay) set_.compensate(sum_.data(), value_.data() + begin, length, lag(begin));
      use(begin, length, sum_.data());
    });
  }

  /// The rule corrects the delay of a single part in its own pass, which reads everything only once:
  /// lag_left() says by what.
  void leave_delay() { delay_left_ = gradient_.delay && gradient_.parts.size() == 1 && !gradient_.bound; }
  kernels::Lag lag(std::size_t begin) const {
    const auto& delay = gradient_.delay;
    if (!delay) return {};
    return {delay->seen.data() + begin, delay->mean_square == nullptr ? nullptr : delay->mean_square + begin,
            delay->strength, delay->keep};
  }
  kernels::Lag lag_left(std::size_t begin) const { return delay_left_ ? lag(begin) : kernels::Lag{}; }

  /// As a rule takes it: what is left to scale and to add, it does in its own pass. Calls use(begin, length,
  /// gradient, other) with two parts of the sum, or one and null, still to be multiplied by scale().
  /// `lead`: length of the first block, where it is to be shorter than the others.
  template <typename Use>
  void each_part(std::size_t lead, Use use) {
    const std::size_t count = gradient_.parts.size();
    if (summed_first()) {
      each_mean([&](std::size_t begin, std::size_t length, const float* mean) {
        use(begin, length, mean, static_cast<const float*>(nullptr));
      });
      return;
    }
    each(lead, [&](std::size_t begin, std::size_t length) {
      if (count > 2) set_.sum(parts_.data(), count - 1, begin, length, 1.0F, sum_.data());
      use(begin, length, count > 2 ? sum_.data() : parts_[0] + begin,
          count > 1 ? parts_[count - 1] + begin : nullptr);
    });
  }
  float scale() const { return summed_first() ? 1.0F : gradient_.scale; }

 private:
  bool summed_first() const {
    return gradient_.bound || (gradient_.delay && !delay_left_) || gradient_.parts.empty();
  }
  template <typename Use>
  void each(std::size_t lead, Use use) const {
    std::size_t begin = std::min(lead, length_);
    if (begin > 0) use(std::size_t{0}, begin);
    for (; begin < length_; begin += kernels::block_floats)
      use(begin, std::min(kernels::block_floats, length_ - begin));
  }

  const Gradient& gradient_;
  const std::span<const float> value_;
  const std::size_t length_;
  const Kernels& set_;
  bool delay_left_ = false;
  alignas(64) std::array<float, kernels::block_floats> sum_;
  std::array<const float*, contributors_max> parts_;
};

Block block_of(const Target& target, std::size_t begin, std::size_t length, const float* gradient,
               const float* other) {
  Block block{.gradient = gradient,
              .other = other,
              .value = target.value.data() + begin,
              .next = target.next.data() + begin,
              .length = length};
  for (std::size_t i = 0; i < rule_arrays_max; ++i)
    block.state[i] = target.arrays[i] == nullptr ? nullptr : target.arrays[i] + begin;
  return block;
}

/// How many floats lie before the first whole cache line: stores that touch two lines cost twice. Not for
/// sums, whose order must not depend on where memory happens to lie.
std::size_t lead_of(const float* values) {
  constexpr std::size_t line = 64;
  return (line - reinterpret_cast<std::uintptr_t>(values) % line) % line / sizeof(float);
}

double ratio_or_one(double above, double below) { return above > 0 && below > 0 ? above / below : 1.0; }

/// Times the rate of a lars slice. The norms cost a pass of their own.
double lars_ratio(const config::OptimizerSection& optimizer, const SliceRule& slice, const Target& target,
                  Blocks& blocks, const Kernels& set) {
  if (slice.kind != ValueKind::weight) return 1.0;
  double values = 0, gradients = 0;
  blocks.each_mean([&](std::size_t begin, std::size_t length, const float* gradient) {
    gradients += set.square_sum(gradient, length);
    values += set.square_sum(target.value.data() + begin, length);
  });
  const double norm = std::sqrt(values);
  if (norm == 0 || gradients == 0) return 1.0;
  return optimizer.trust_coefficient * norm / (std::sqrt(gradients) + slice.decay * norm);
}

/// The directions lie in `next` already.
void finish_lamb(const SliceRule& slice, double rate, double values, double directions, const Target& target,
                 const Kernels& set) {
  const double ratio =
      slice.kind == ValueKind::weight ? ratio_or_one(std::sqrt(values), std::sqrt(directions)) : 1.0;
  set.step(target.value.data(), target.next.data(), target.value.size(), static_cast<float>(rate * ratio));
}

}  // namespace

Numbers numbers_of(const config::OptimizerSection& optimizer, double rate, std::uint64_t update,
                   const SliceRule& slice) {
  Numbers numbers{.rate = static_cast<float>(rate),
                  .decay = static_cast<float>(slice.decay),
                  .momentum = static_cast<float>(optimizer.momentum),
                  .epsilon = static_cast<float>(optimizer.epsilon)};
  const auto moment = [&](std::size_t i, double keep) {
    numbers.keep[i] = static_cast<float>(keep);
    numbers.add[i] = static_cast<float>(1.0 - keep);
  };
  const auto t = static_cast<double>(update);
  switch (optimizer.kind) {
    case Kind::sgd:
    case Kind::adagrad:
    case Kind::lars:
      break;
    case Kind::adam:
    case Kind::adamw:
    case Kind::lamb: {
      const double first = 1.0 - std::pow(optimizer.betas[0], t);
      const double second = 1.0 - std::pow(optimizer.betas[1], t);
      moment(0, optimizer.betas[0]);
      moment(1, optimizer.betas[1]);
      numbers.second_root = static_cast<float>(1.0 / std::sqrt(second));
      if (optimizer.kind == Kind::lamb) {
        numbers.first_root = static_cast<float>(1.0 / first);
        break;
      }
      numbers.rate = static_cast<float>(rate / first);
      if (optimizer.kind == Kind::adamw) {
        numbers.loss = static_cast<float>(rate * slice.decay);
        numbers.decay = 0;
      }
      break;
    }
    case Kind::rmsprop:
      moment(1, optimizer.rho);
      break;
    case Kind::ftrl:
      numbers.l1 = static_cast<float>(optimizer.l1 * slice.decay);
      numbers.l2 = static_cast<float>(optimizer.l2 * slice.decay);
      numbers.beta = static_cast<float>(optimizer.beta);
      numbers.inverse_rate = static_cast<float>(1.0 / rate);
      break;
  }
  return numbers;
}

Rule rule_of(const config::OptimizerSection& optimizer, const Kernels& set) {
  switch (optimizer.kind) {
    case Kind::sgd:
      if (optimizer.momentum == 0) return set.sgd;
      return optimizer.nesterov ? set.nesterov : set.momentum;
    case Kind::adam:
    case Kind::adamw:
      return set.adam;
    case Kind::adagrad:
      return set.adagrad;
    case Kind::rmsprop:
      return set.rmsprop;
    case Kind::ftrl:
      return set.ftrl;
    case Kind::lars:
      return set.lars;
    case Kind::lamb:
      return set.lamb_direction;
  }
  return set.sgd;
}

std::vector<RuleArray> rule_arrays(const config::OptimizerSection& optimizer) {
  const auto accumulator = static_cast<float>(optimizer.initial_accumulator);
  switch (optimizer.kind) {
    case Kind::sgd:
      if (optimizer.momentum == 0) return {};
      return {{"velocity", 0}};
    case Kind::adam:
    case Kind::adamw:
    case Kind::lamb:
      return {{"first_moment", 0}, {"second_moment", 1}};
    case Kind::adagrad:
      return {{"square_sum", 0, accumulator}};
    case Kind::rmsprop: {
      std::vector<RuleArray> arrays{{"square_mean", 0}};
      if (optimizer.momentum != 0) arrays.push_back({"velocity", 1});
      if (optimizer.centered) arrays.push_back({"gradient_mean", 2});
      return arrays;
    }
    case Kind::ftrl:
      return {{"linear", 0}, {"square_sum", 1, accumulator}};
    case Kind::lars:
      return {{"velocity", 0}};
  }
  return {};
}

bool needs_whole_tensors(config::OptimizerKind kind) { return kind == Kind::lars || kind == Kind::lamb; }

void update(const config::OptimizerSection& optimizer, double rate, std::uint64_t update,
            const SliceRule& slice, const Target& target, const Gradient& gradient) {
  check(target.next.size() == target.value.size(), "as many values come out as go in");
  const Kernels& set = kernels::best();
  const kernels::DenormalsAsZero denormals;
  if (slice.kind == ValueKind::buffer) {
    const Gradient means{gradient.parts, gradient.scale, std::nullopt, std::nullopt};
    Blocks(means, target.value, target.value.size(), set)
        .each_mean([&](std::size_t begin, std::size_t length, const float* mean) {
          std::copy_n(mean, length, target.next.data() + begin);
        });
    return;
  }
  Blocks blocks(gradient, target.value, target.value.size(), set);
  for (const RuleArray& array : rule_arrays(optimizer))
    check(target.arrays[array.place] != nullptr, "a rule has its arrays");
  rate *= slice.rate;
  if (optimizer.kind == Kind::lars) rate *= lars_ratio(optimizer, slice, target, blocks, set);
  Numbers numbers = numbers_of(optimizer, rate, update, slice);
  const Rule rule = rule_of(optimizer, set);
  const bool lamb = optimizer.kind == Kind::lamb;
  if (optimizer.kind == Kind::sgd) blocks.leave_delay();
  numbers.scale = blocks.scale();
  double values = 0, directions = 0;
  blocks.each_part(lamb ? 0 : lead_of(target.next.data()),
                   [&](std::size_t begin, std::size_t length, const float* part, const float* other) {
                     Block block = block_of(target, begin, length, part, other);
                     block.lag = blocks.lag_left(begin);
                     rule(block, numbers);
                     if (lamb) {
                       values += set.square_sum(block.value, length);
                       directions += set.square_sum(block.next, length);
                     }
                   });
  if (lamb) finish_lamb(slice, rate, values, directions, target, set);
}

double square_sum(const Gradient& gradient, std::size_t length) {
  const Kernels& set = kernels::best();
  const kernels::DenormalsAsZero denormals;
  const Gradient undelayed{gradient.parts, gradient.scale, gradient.bound, std::nullopt};
  Blocks blocks(undelayed, {}, length, set);
  double sum = 0;
  blocks.each_mean(
      [&](std::size_t, std::size_t count, const float* mean) { sum += set.square_sum(mean, count); });
  return sum;
}

double clip_factor(double norm, double bound) { return std::min(1.0, bound / (norm + 1e-6)); }

void average(std::span<const float> values, std::span<float> average, double decay, std::uint64_t update) {
  check(values.size() == average.size(), "an average has the size of the values");
  if (update <= 1) {
    std::copy(values.begin(), values.end(), average.begin());
    return;
  }
  const kernels::DenormalsAsZero denormals;
  kernels::best().average(values.data(), average.data(), values.size(), static_cast<float>(1.0 - decay));
}

}  // namespace trainyard::optim
