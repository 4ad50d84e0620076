// Batch normalization of images as they lie. Sums are taken in two stages: teams sum parts of a channel's
// values, from which a first value is taken off so that no digits are lost; one thread a channel adds up the
// parts in double precision, always in the same order.
#include "common/ops/cuda/kernel.hpp"
#include "common/ops/cuda/numbers.hpp"
#include "common/ops/functions.hpp"

namespace trainyard::ops::cuda {
namespace {

constexpr int kLanes = 32;  // channels of a team, where they lie beside each other
constexpr int kThreads = 256;
constexpr std::int64_t kPartValues = 8192;  // of a channel, at least, for a team of its own
constexpr std::int64_t kPartsMax = 256;

/// Which values a thread of a team sums: those of one channel, in `parts` parts.
struct Split {
  explicit Split(const Image& x) : channels(x.c), pixels(x.pixels()), rows(x.n * x.pixels()), last(x.last) {
    const std::int64_t room = last ? kPartValues / 8 : kPartValues;
    parts = rows / room + 1 < kPartsMax ? rows / room + 1 : kPartsMax;
    tiles = last ? (channels + kLanes - 1) / kLanes : channels;
  }
  std::int64_t teams() const { return tiles * parts; }
  /// Of the value in row `row` (sample and pixel) and channel `c`.
  __device__ std::int64_t at(std::int64_t row, std::int64_t c) const {
    if (last) return row * channels + c;
    return (row / pixels * channels + c) * pixels + row % pixels;
  }
  std::int64_t channels, pixels, rows, parts, tiles;
  bool last;
};

struct Sums {
  float a, b;
};

/// Calls value(at, channel) for each value, and writes the sums of what it gives: [parts, channels].
template <typename Value>
__device__ void sum_parts(const Team& team, const Split& split, Sums* sums, const Value& value) {
  const std::int64_t tile = team.index() % split.tiles, part = team.index() / split.tiles;
  const auto add = [](Sums left, Sums right) { return Sums{left.a + right.a, left.b + right.b}; };
  Sums sum{0, 0};
  if (split.last) {
    const std::int64_t c = tile * kLanes + team.thread() % kLanes;
    const int height = team.threads() / kLanes, row = team.thread() / kLanes;
    if (c < split.channels)
      for (std::int64_t r = part * height + row; r < split.rows; r += split.parts * height)
        sum = add(sum, value(split.at(r, c), c));
    Sums* const shared = team.shared<Sums>();
    shared[team.thread()] = sum;
    team.sync();
    if (row == 0 && c < split.channels) {
      for (int k = 1; k < height; ++k) sum = add(sum, shared[k * kLanes + team.thread()]);
      sums[part * split.channels + c] = sum;
    }
    return;
  }
  for (std::int64_t r = part * team.threads() + team.thread(); r < split.rows;
       r += split.parts * team.threads())
    sum = add(sum, value(split.at(r, tile), tile));
  sum = team.reduce(sum, add);
  if (team.thread() == 0) sums[part * split.channels + tile] = sum;
}

/// Sums of what lies beyond the channel's first value, and of its square.
template <typename T>
struct StatisticsTeam {
  Split split;
  const T* x;
  Sums* sums;
  __device__ void operator()(const Team& team) const {
    sum_parts(team, split, sums, [this](std::int64_t at, std::int64_t c) {
      const float off = widen(x[at]) - widen(x[split.at(0, c)]);
      return Sums{off, off * off};
    });
  }
};

template <typename T>
struct StatisticsEnd {
  Split split;
  const T* x;
  const Sums* sums;
  double momentum, batch, epsilon;
  const float *gamma, *running_mean, *running_variance;
  float *mean, *variance, *next_mean, *next_variance, *scale;
  __device__ void operator()(std::int64_t c) const {
    double off = 0, square = 0;
    for (std::int64_t part = 0; part < split.parts; ++part) {
      off += sums[part * split.channels + c].a;
      square += sums[part * split.channels + c].b;
    }
    const auto count = static_cast<double>(split.rows);
    off /= count;
    const double spread = square / count - off * off, of = spread > 0         ? spread
                                                           : spread == spread ? 0
                                                                              : spread;
    const double center = static_cast<double>(widen(x[split.at(0, c)])) + off;
    mean[c] = static_cast<float>(center);
    variance[c] = static_cast<float>(of);
    scale[c] = static_cast<float>(gamma[c] / std::sqrt(of + epsilon));
    const double unbiased = count > 1 ? of * count / (count - 1) : of;
    next_mean[c] = static_cast<float>(batch * ((1 - momentum) * running_mean[c] + momentum * center));
    next_variance[c] =
        static_cast<float>(batch * ((1 - momentum) * running_variance[c] + momentum * unbiased));
  }
};

/// The channel of an element by its place in memory.
struct Channels {
  explicit Channels(const Image& x) : channels(x.c), pixels(x.pixels()), last(x.last) {
    narrow = x.n * x.c * x.pixels() < (std::int64_t{1} << 31);
  }
  __device__ std::int64_t operator()(std::int64_t at) const {
    if (narrow) {
      const auto i = static_cast<std::uint32_t>(at), c = static_cast<std::uint32_t>(channels);
      return last ? i % c : i / static_cast<std::uint32_t>(pixels) % c;
    }
    return last ? at % channels : at / pixels % channels;
  }
  std::int64_t channels, pixels;
  bool last, narrow;
};

struct ScaleEach {
  double epsilon;
  const float *gamma, *variance;
  float* scale;
  __device__ void operator()(std::int64_t c) const {
    scale[c] = static_cast<float>(gamma[c] / std::sqrt(variance[c] + epsilon));
  }
};

/// y = function((x - mean) * scale + beta + addend).
template <typename T, int N>
struct Apply {
  Channels channels;
  Function function;
  const T *x, *addend;
  const float *scale, *beta, *mean;
  T* y;
  std::uint8_t* mask;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t first = i * N;
    const auto from = *reinterpret_cast<const Pack<T, N>*>(x + first);
    auto sum = from;
    if (addend != nullptr) sum = *reinterpret_cast<const Pack<T, N>*>(addend + first);
    Pack<T, N> out;
    Pack<std::uint8_t, N> kept;
    const std::int64_t channel = channels(first);
    for (int k = 0; k < N; ++k) {
      const std::int64_t c = channels.last ? channel + k : channel;
      float value = (widen(from.at[k]) - mean[c]) * scale[c] + beta[c];
      if (addend != nullptr) value += widen(sum.at[k]);
      kept.at[k] = function == Function::identity || (value > 0 && (function == Function::relu || value < 6));
      if (function != Function::identity) value = value < 0 ? 0 : value;
      if (function == Function::relu6) value = value > 6 ? 6 : value;
      out.at[k] = narrow<T>(value);
    }
    *reinterpret_cast<Pack<T, N>*>(y + first) = out;
    if (mask != nullptr) *reinterpret_cast<Pack<std::uint8_t, N>*>(mask + first) = kept;
  }
};

/// Whether packs of N never meet two samples, nor two channels where pixels lie beside each other.
bool fits(const Image& x, int n) { return x.last ? x.c % n == 0 : x.pixels() % n == 0; }

/// make(integral_constant) with the elements that a thread may take at once.
template <typename T, typename Make>
KernelPtr by_pack(const Image& x, const Make& make) {
  constexpr int n = static_cast<int>(16 / sizeof(T));
  if (fits(x, n)) return make(std::integral_constant<int, n>{});
  return make(std::integral_constant<int, 1>{});
}

KernelPtr batch_norm(const Operation& op, Queue& queue) {
  const Image image(op.inputs[0]);
  const std::int64_t count = op.inputs[0].shape.elements();
  const Function function = op.attributes.function;
  const double epsilon = op.attributes.epsilon;
  const std::vector<LayoutPtr> outputs{layout_like(op.inputs[0], op.outputs[0].type)};
  return by_real(op.inputs[0].type, [&]<typename T>(T) -> KernelPtr {
    return by_pack<T>(image, [&]<int N>(std::integral_constant<int, N>) -> KernelPtr {
      auto kernel = std::make_unique<Closure>(outputs, [=, &queue](const At& at) {
        float* const scale = at.scratch<float>();
        each(queue, image.c, ScaleEach{epsilon, at.in<float>(1), at.in<float>(4), scale});
        each(queue, count / N,
             Apply<T, N>{Channels(image), function, at.in<T>(0), at.in<T>(5), scale, at.in<float>(2),
                         at.in<float>(3), at.out<T>(0), nullptr});
      });
      kernel->over(0);
      kernel->needs(static_cast<std::size_t>(image.c) * sizeof(float));
      return kernel;
    });
  });
}

KernelPtr batch_norm_training(const Operation& op, Queue& queue) {
  const Image image(op.inputs[0]);
  const Split split(image);
  const std::int64_t count = op.inputs[0].shape.elements();
  const Attributes& a = op.attributes;
  const bool masked = a.function != Function::identity;
  std::vector<LayoutPtr> outputs{layout_like(op.inputs[0], op.outputs[0].type)};
  const LayoutPtr vector = plain_layout({image.c}, DType::f32);
  outputs.insert(outputs.end(), {vector, vector});
  if (masked) outputs.push_back(raw_layout(static_cast<std::size_t>(count)));
  const std::size_t next = outputs.size();
  Area area;
  area.add<Sums>(split.parts * image.c);
  const std::size_t scale_at = area.add<float>(image.c);
  outputs.insert(outputs.end(), {vector, vector});
  return by_real(op.inputs[0].type, [&]<typename T>(T) -> KernelPtr {
    return by_pack<T>(image, [&]<int N>(std::integral_constant<int, N>) -> KernelPtr {
      auto kernel = std::make_unique<Closure>(outputs, [=, &queue, function = a.function, epsilon = a.epsilon,
                                                        momentum = a.momentum](const At& at) {
        Sums* const sums = at.scratch<Sums>();
        float* const scale = at.scratch<float>(scale_at);
        teams(queue, split.teams(), kThreads, StatisticsTeam<T>{split, at.in<T>(0), sums});
        each(queue, image.c,
             StatisticsEnd<T>{split, at.in<T>(0), sums, momentum, static_cast<double>(image.n), epsilon,
                              at.in<float>(1), at.in<float>(3), at.in<float>(4), at.out<float>(1),
                              at.out<float>(2), at.out<float>(next), at.out<float>(next + 1), scale});
        each(queue, count / N,
             Apply<T, N>{Channels(image), function, at.in<T>(0), at.in<T>(5), scale, at.in<float>(2),
                         at.out<float>(1), at.out<T>(0), masked ? at.out<std::uint8_t>(3) : nullptr});
      });
      kernel->needs(area.bytes());
      return kernel;
    });
  });
}

/// Sums of dy, and of dy times what lies beyond the mean.
template <typename T>
struct GradTeam {
  Split split;
  const T *x, *dy;
  const std::uint8_t* mask;
  const float* mean;
  Sums* sums;
  __device__ void operator()(const Team& team) const {
    sum_parts(team, split, sums, [this](std::int64_t at, std::int64_t c) {
      const float g = mask != nullptr && mask[at] == 0 ? 0.0f : widen(dy[at]);
      return Sums{g, g * (widen(x[at]) - mean[c])};
    });
  }
};

/// What GradApply wants of a channel.
struct Slopes {
  float outer, base, slope;
};

struct GradEnd {
  Split split;
  double epsilon;
  const Sums* sums;
  const float *variance, *gamma;
  float *dgamma, *dbeta;
  Slopes* slopes;
  __device__ void operator()(std::int64_t c) const {
    double scaled = 0, beta = 0;
    for (std::int64_t part = 0; part < split.parts; ++part) {
      beta += sums[part * split.channels + c].a;
      scaled += sums[part * split.channels + c].b;
    }
    const double inverse = 1 / std::sqrt(variance[c] + epsilon), count = static_cast<double>(split.rows);
    dgamma[c] = static_cast<float>(scaled * inverse);
    dbeta[c] = static_cast<float>(beta);
    slopes[c] = {static_cast<float>(gamma[c] * inverse), static_cast<float>(beta / count),
                 static_cast<float>(scaled * inverse * inverse / count)};
  }
};

/// dx = gamma / deviation * (dy - mean of dy - normalized x * mean of dy times it).
template <typename T, int N>
struct GradApply {
  Channels channels;
  const T *x, *dy;
  const std::uint8_t* mask;
  const float* mean;
  const Slopes* slopes;
  T *dx, *daddend;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t first = i * N;
    const auto from = *reinterpret_cast<const Pack<T, N>*>(x + first);
    const auto gradient = *reinterpret_cast<const Pack<T, N>*>(dy + first);
    Pack<std::uint8_t, N> kept;
    if (mask != nullptr) kept = *reinterpret_cast<const Pack<std::uint8_t, N>*>(mask + first);
    Pack<T, N> out, sum;
    const std::int64_t channel = channels(first);
    for (int k = 0; k < N; ++k) {
      const std::int64_t c = channels.last ? channel + k : channel;
      const float g = mask != nullptr && kept.at[k] == 0 ? 0.0f : widen(gradient.at[k]);
      const Slopes of = slopes[c];
      sum.at[k] = narrow<T>(g);
      out.at[k] = narrow<T>(of.outer * (g - of.base - (widen(from.at[k]) - mean[c]) * of.slope));
    }
    *reinterpret_cast<Pack<T, N>*>(dx + first) = out;
    if (daddend != nullptr) *reinterpret_cast<Pack<T, N>*>(daddend + first) = sum;
  }
};

/// Operands x, dy, mean, variance, gamma, mask?; dy lies as x does.
KernelPtr batch_norm_grad(const Operation& op, Queue& queue) {
  const Image image(op.inputs[0]);
  const Split split(image);
  const std::int64_t count = op.inputs[0].shape.elements();
  const double epsilon = op.attributes.epsilon;
  Area area;
  area.add<Sums>(split.parts * image.c);
  const std::size_t slopes_at = area.add<Slopes>(image.c);
  const bool masked = op.attributes.function != Function::identity, addend = op.outputs.size() > 3;
  const LayoutPtr vector = plain_layout({image.c}, DType::f32);
  std::vector<LayoutPtr> outputs{layout_like(op.inputs[0], op.outputs[0].type), vector, vector};
  if (addend) outputs.push_back(layout_like(op.inputs[0], op.outputs[3].type));
  return by_real(op.inputs[0].type, [&]<typename T>(T) -> KernelPtr {
    return by_pack<T>(image, [&]<int N>(std::integral_constant<int, N>) -> KernelPtr {
      auto kernel = std::make_unique<Closure>(outputs, [=, &queue](const At& at) {
        Sums* const sums = at.scratch<Sums>();
        auto* const slopes = at.scratch<Slopes>(slopes_at);
        const auto* const mask = masked ? at.in<std::uint8_t>(5) : nullptr;
        teams(queue, split.teams(), kThreads,
              GradTeam<T>{split, at.in<T>(0), at.in<T>(1), mask, at.in<float>(2), sums});
        each(queue, image.c,
             GradEnd{split, epsilon, sums, at.in<float>(3), at.in<float>(4), at.out<float>(1),
                     at.out<float>(2), slopes});
        each(queue, count / N,
             GradApply<T, N>{Channels(image), at.in<T>(0), at.in<T>(1), mask, at.in<float>(2), slopes,
                             at.out<T>(0), addend ? at.out<T>(3) : nullptr});
      });
      kernel->needs(area.bytes());
      return kernel;
    });
  });
}

}  // namespace

KernelPtr batch_norm_kernel(const Operation& op, Queue& queue) {
  switch (op.kind) {
    case Kind::batch_norm:
      return batch_norm(op, queue);
    case Kind::batch_norm_training:
      return batch_norm_training(op, queue);
    case Kind::batch_norm_grad:
      return batch_norm_grad(op, queue);
    default:
      return nullptr;
  }
}

}  // namespace trainyard::ops::cuda
