// The loops themselves: included by one source file for each instruction set, which names the resulting
// constant. All is local to that file and calls nothing from a header, so that the linker can not mix code
// for one processor into what runs on another.
#include "common/optim/kernels.hpp"

// Before a loop whose arrays do not overlap: with six of them g++ gives up checking that at run time.
#if defined(__GNUC__) && !defined(__clang__)
#define TRAINYARD_APART _Pragma("GCC ivdep")
#else
#define TRAINYARD_APART
#endif

namespace trainyard::optim::kernels {
namespace {

void sum(const float* const* parts, std::size_t count, std::size_t begin, std::size_t length, float scale,
         float* __restrict out) {
  if (count == 0) {
    for (std::size_t i = 0; i < length; ++i) out[i] = 0.0F;
    return;
  }
  const float* __restrict first = parts[0] + begin;
  if (count == 1) {
    for (std::size_t i = 0; i < length; ++i) out[i] = first[i] * scale;
    return;
  }
  const float* __restrict second = parts[1] + begin;
  if (count == 2) {
    for (std::size_t i = 0; i < length; ++i) out[i] = (first[i] + second[i]) * scale;
    return;
  }
  for (std::size_t i = 0; i < length; ++i) out[i] = first[i] + second[i];
  for (std::size_t part = 2; part + 1 < count; ++part) {
    const float* __restrict more = parts[part] + begin;
    for (std::size_t i = 0; i < length; ++i) out[i] += more[i];
  }
  const float* __restrict last = parts[count - 1] + begin;
  for (std::size_t i = 0; i < length; ++i) out[i] = (out[i] + last[i]) * scale;
}

void clamp(float* __restrict values, std::size_t length, float bound) {
  for (std::size_t i = 0; i < length; ++i) {
    const float x = values[i];
    const float low = x < -bound ? -bound : x;
    values[i] = low > bound ? bound : low;
  }
}

enum class Delay { none, constant, adaptive };

/// Zheng and others 2017, eq. 10.
template <Delay delay>
inline float corrected(float g, float moved, float* __restrict mean_square, std::size_t i, float strength,
                       float keep, float add) {
  constexpr float epsilon = 1e-7F;  // of the paper
  const float square = g * g;
  if (delay == Delay::none) return g;
  if (delay == Delay::constant) return g + strength * square * moved;
  const float mean = keep * mean_square[i] + add * square;
  mean_square[i] = mean;
  return g + strength / __builtin_sqrtf(mean + epsilon) * square * moved;
}

template <Delay delay>
void compensate_by(float* __restrict gradient, const float* __restrict value, std::size_t length,
                   const Lag& lag) {
  const float* __restrict seen = lag.seen;
  float* __restrict mean_square = lag.mean_square;
  const float strength = lag.strength, keep = lag.keep, add = 1.0F - keep;
  TRAINYARD_APART
  for (std::size_t i = 0; i < length; ++i)
    gradient[i] = corrected<delay>(gradient[i], value[i] - seen[i], mean_square, i, strength, keep, add);
}

void compensate(float* gradient, const float* value, std::size_t length, const Lag& lag) {
  lag.mean_square == nullptr ? compensate_by<Delay::constant>(gradient, value, length, lag)
                             : compensate_by<Delay::adaptive>(gradient, value, length, lag);
}

double square_sum(const float* __restrict values, std::size_t length) {
  constexpr std::size_t lanes = 16;
  double sums[lanes] = {};
  std::size_t i = 0;
  for (; i + lanes <= length; i += lanes) {
    for (std::size_t k = 0; k < lanes; ++k) {
      const double x = static_cast<double>(values[i + k]);
      sums[k] += x * x;
    }
  }
  for (; i < length; ++i) sums[i % lanes] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  for (std::size_t width = lanes / 2; width > 0; width /= 2) {
    for (std::size_t k = 0; k < width; ++k) sums[k] += sums[k + width];
  }
  return sums[0];
}

void average(const float* __restrict values, float* __restrict average, std::size_t length, float add) {
  TRAINYARD_APART
  for (std::size_t i = 0; i < length; ++i) average[i] += add * (values[i] - average[i]);
}

template <bool two, Delay delay>
void sgd(const Block& block, const Numbers& numbers) {
  const float* __restrict gradient = block.gradient;
  const float* __restrict other = block.other;
  const float* __restrict value = block.value;
  const float* __restrict seen = block.lag.seen;
  float* __restrict mean_square = block.lag.mean_square;
  float* __restrict next = block.next;
  const float scale = numbers.scale, rate = numbers.rate, decay = numbers.decay;
  const float strength = block.lag.strength, keep = block.lag.keep, add = 1.0F - keep;
  TRAINYARD_APART
  for (std::size_t i = 0; i < block.length; ++i) {
    const float mean = scale * (two ? gradient[i] + other[i] : gradient[i]);
    const float moved = delay == Delay::none ? 0.0F : value[i] - seen[i];
    const float g = corrected<delay>(mean, moved, mean_square, i, strength, keep, add);
    next[i] = value[i] - rate * (g + decay * value[i]);
  }
}

template <bool two, bool ahead, Delay delay>
void with_velocity(const Block& block, const Numbers& numbers) {
  const float* __restrict gradient = block.gradient;
  const float* __restrict other = block.other;
  const float* __restrict value = block.value;
  const float* __restrict seen = block.lag.seen;
  float* __restrict mean_square = block.lag.mean_square;
  float* __restrict next = block.next;
  float* __restrict velocity = block.state[0];
  const float scale = numbers.scale, rate = numbers.rate, decay = numbers.decay, momentum = numbers.momentum;
  const float strength = block.lag.strength, keep = block.lag.keep, add = 1.0F - keep;
  TRAINYARD_APART
  for (std::size_t i = 0; i < block.length; ++i) {
    const float mean = scale * (two ? gradient[i] + other[i] : gradient[i]);
    const float moved = delay == Delay::none ? 0.0F : value[i] - seen[i];
    const float g = corrected<delay>(mean, moved, mean_square, i, strength, keep, add) + decay * value[i];
    const float v = momentum * velocity[i] + g;
    velocity[i] = v;
    next[i] = value[i] - rate * (ahead ? g + momentum * v : v);
  }
}

template <bool two>
void adam(const Block& block, const Numbers& numbers) {
  const float* __restrict gradient = block.gradient;
  const float* __restrict other = block.other;
  const float* __restrict value = block.value;
  float* __restrict next = block.next;
  float* __restrict first = block.state[0];
  float* __restrict second = block.state[1];
  const float scale = numbers.scale, rate = numbers.rate, decay = numbers.decay, loss = numbers.loss;
  const float keep_first = numbers.keep[0], add_first = numbers.add[0];
  const float keep_second = numbers.keep[1], add_second = numbers.add[1];
  const float epsilon = numbers.epsilon, root = numbers.second_root;
  TRAINYARD_APART
  for (std::size_t i = 0; i < block.length; ++i) {
    const float g = scale * (two ? gradient[i] + other[i] : gradient[i]) + decay * value[i];
    const float m = keep_first * first[i] + add_first * g;
    const float s = keep_second * second[i] + add_second * (g * g);
    first[i] = m;
    second[i] = s;
    next[i] = value[i] - (loss * value[i] + rate * m / (__builtin_sqrtf(s) * root + epsilon));
  }
}

template <bool two>
void adagrad(const Block& block, const Numbers& numbers) {
  const float* __restrict gradient = block.gradient;
  const float* __restrict other = block.other;
  const float* __restrict value = block.value;
  float* __restrict next = block.next;
  float* __restrict squares = block.state[0];
  const float scale = numbers.scale, rate = numbers.rate, decay = numbers.decay, epsilon = numbers.epsilon;
  TRAINYARD_APART
  for (std::size_t i = 0; i < block.length; ++i) {
    const float g = scale * (two ? gradient[i] + other[i] : gradient[i]) + decay * value[i];
    const float s = squares[i] + g * g;
    squares[i] = s;
    next[i] = value[i] - rate * g / (__builtin_sqrtf(s) + epsilon);
  }
}

template <bool two, bool centered, bool moving>
void root_mean_square(const Block& block, const Numbers& numbers) {
  const float* __restrict gradient = block.gradient;
  const float* __restrict other = block.other;
  const float* __restrict value = block.value;
  float* __restrict next = block.next;
  float* __restrict squares = block.state[0];
  float* __restrict velocity = block.state[1];
  float* __restrict mean = block.state[2];
  const float scale = numbers.scale, rate = numbers.rate, decay = numbers.decay, momentum = numbers.momentum;
  const float keep = numbers.keep[1], add = numbers.add[1], epsilon = numbers.epsilon;
  TRAINYARD_APART
  for (std::size_t i = 0; i < block.length; ++i) {
    const float g = scale * (two ? gradient[i] + other[i] : gradient[i]) + decay * value[i];
    const float s = keep * squares[i] + add * (g * g);
    squares[i] = s;
    float variance = s;
    if (centered) {
      const float a = keep * mean[i] + add * g;
      mean[i] = a;
      variance = s - a * a;
      variance = variance < 0.0F ? 0.0F : variance;  // rounding can take it there
    }
    float step = g / (__builtin_sqrtf(variance) + epsilon);
    if (moving) {
      step = momentum * velocity[i] + step;
      velocity[i] = step;
    }
    next[i] = value[i] - rate * step;
  }
}

template <bool two>
void rmsprop(const Block& block, const Numbers& numbers) {
  const bool moving = block.state[1] != nullptr, centered = block.state[2] != nullptr;
  if (centered) {
    moving ? root_mean_square<two, true, true>(block, numbers)
           : root_mean_square<two, true, false>(block, numbers);
  } else {
    moving ? root_mean_square<two, false, true>(block, numbers)
           : root_mean_square<two, false, false>(block, numbers);
  }
}

template <bool two>
void ftrl(const Block& block, const Numbers& numbers) {
  const float* __restrict gradient = block.gradient;
  const float* __restrict other = block.other;
  const float* __restrict value = block.value;
  float* __restrict next = block.next;
  float* __restrict linear = block.state[0];
  float* __restrict squares = block.state[1];
  const float scale = numbers.scale, l1 = numbers.l1, l2 = numbers.l2, beta = numbers.beta,
              inverse = numbers.inverse_rate;
  TRAINYARD_APART
  for (std::size_t i = 0; i < block.length; ++i) {
    const float g = scale * (two ? gradient[i] + other[i] : gradient[i]);
    const float n = squares[i] + g * g;
    const float root = __builtin_sqrtf(n);
    const float z = linear[i] + (g - (root - __builtin_sqrtf(squares[i])) * inverse * value[i]);
    linear[i] = z;
    squares[i] = n;
    const float beyond = z - __builtin_copysignf(l1, z);
    const float moved = -beyond / ((beta + root) * inverse + l2);
    next[i] = __builtin_fabsf(z) <= l1 ? 0.0F : moved;
  }
}

template <bool two>
void lars(const Block& block, const Numbers& numbers) {
  const float* __restrict gradient = block.gradient;
  const float* __restrict other = block.other;
  const float* __restrict value = block.value;
  float* __restrict next = block.next;
  float* __restrict velocity = block.state[0];
  const float scale = numbers.scale, rate = numbers.rate, decay = numbers.decay, momentum = numbers.momentum;
  TRAINYARD_APART
  for (std::size_t i = 0; i < block.length; ++i) {
    const float v = momentum * velocity[i] +
                    rate * (scale * (two ? gradient[i] + other[i] : gradient[i]) + decay * value[i]);
    velocity[i] = v;
    next[i] = value[i] - v;
  }
}

template <bool two>
void lamb_direction(const Block& block, const Numbers& numbers) {
  const float* __restrict gradient = block.gradient;
  const float* __restrict other = block.other;
  const float* __restrict value = block.value;
  float* __restrict next = block.next;
  float* __restrict first = block.state[0];
  float* __restrict second = block.state[1];
  const float scale = numbers.scale, decay = numbers.decay, epsilon = numbers.epsilon;
  const float keep_first = numbers.keep[0], add_first = numbers.add[0], first_root = numbers.first_root;
  const float keep_second = numbers.keep[1], add_second = numbers.add[1], root = numbers.second_root;
  TRAINYARD_APART
  for (std::size_t i = 0; i < block.length; ++i) {
    const float g = scale * (two ? gradient[i] + other[i] : gradient[i]);
    const float m = keep_first * first[i] + add_first * g;
    const float s = keep_second * second[i] + add_second * (g * g);
    first[i] = m;
    second[i] = s;
    next[i] = first_root * m / (__builtin_sqrtf(s) * root + epsilon) + decay * value[i];
  }
}

void step(const float* __restrict value, float* __restrict next, std::size_t length, float rate) {
  TRAINYARD_APART
  for (std::size_t i = 0; i < length; ++i) next[i] = value[i] - rate * next[i];
}

using Rule = void (*)(const Block&, const Numbers&);

template <Rule one, Rule two>
void by_parts(const Block& block, const Numbers& numbers) {
  block.other == nullptr ? one(block, numbers) : two(block, numbers);
}

template <Rule one, Rule two, Rule constant, Rule adaptive>
void by_delay(const Block& block, const Numbers& numbers) {
  if (block.lag.seen == nullptr) return by_parts<one, two>(block, numbers);
  block.lag.mean_square == nullptr ? constant(block, numbers) : adaptive(block, numbers);
}

template <bool ahead>
constexpr Rule velocity_rule =
    by_delay<with_velocity<false, ahead, Delay::none>, with_velocity<true, ahead, Delay::none>,
             with_velocity<false, ahead, Delay::constant>, with_velocity<false, ahead, Delay::adaptive>>;

constexpr Kernels named(const char* name) {
  return {name,
          sum,
          clamp,
          compensate,
          square_sum,
          average,
          by_delay<sgd<false, Delay::none>, sgd<true, Delay::none>, sgd<false, Delay::constant>,
                   sgd<false, Delay::adaptive>>,
          velocity_rule<false>,
          velocity_rule<true>,
          by_parts<adam<false>, adam<true>>,
          by_parts<adagrad<false>, adagrad<true>>,
          by_parts<rmsprop<false>, rmsprop<true>>,
          by_parts<ftrl<false>, ftrl<true>>,
          by_parts<lars<false>, lars<true>>,
          by_parts<lamb_direction<false>, lamb_direction<true>>,
          step};
}

}  // namespace
}  // namespace trainyard::optim::kernels

#undef TRAINYARD_APART
