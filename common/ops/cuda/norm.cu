// y = (x - mean) / deviation * gamma + beta over groups of values: the rows of a layer normalization, the
// channels of a group; and responses across channels.
#include <cmath>

#include "common/ops/cuda/columns.hpp"
#include "common/ops/cuda/group.hpp"
#include "common/ops/cuda/kernel.hpp"
#include "common/ops/cuda/numbers.hpp"

namespace trainyard::ops::cuda {
namespace {

/// Value i of group r lies at r * width + i. Its coefficients: number i of a layer normalization, else those
/// of its channel.
struct Groups {
  std::int64_t count, width, split, channels, pixels;  // split 0: a layer normalization
  __device__ std::int64_t scale_at(std::int64_t r, std::int64_t i) const {
    return split == 0 ? i : r % split * channels + i / pixels;
  }
};

template <typename T>
struct Normalize {
  Groups groups;
  float epsilon;
  const T* x;
  const float *gamma, *beta;
  T* y;
  float *mean, *inverse;
  template <typename Group>
  __device__ void operator()(std::int64_t r, const Group& group) const {
    const auto add = [](float a, float b) { return a + b; };
    const T* const from = x + r * groups.width;
    const auto width = static_cast<float>(groups.width);
    // Taken off first, so that no digits of the sum are lost.
    const float base = widen(from[0]);
    float sum = 0, square = 0;
    group.over(groups.width, [&](std::int64_t i) { sum += widen(from[i]) - base; });
    const float center = base + group.reduce(sum, add) / width;
    group.over(groups.width, [&](std::int64_t i) {
      const float off = widen(from[i]) - center;
      square += off * off;
    });
    const float scale = 1.0f / std::sqrt(group.reduce(square, add) / width + epsilon);
    if (group.first()) {
      mean[r] = center;
      inverse[r] = scale;
    }
    group.over(groups.width, [&](std::int64_t i) {
      float value = (widen(from[i]) - center) * scale;
      if (gamma != nullptr) value *= gamma[groups.scale_at(r, i)];
      if (beta != nullptr) value += beta[groups.scale_at(r, i)];
      y[r * groups.width + i] = narrow<T>(value);
    });
  }
};

template <typename T>
struct NormalizeGrad {
  Groups groups;
  const T *x, *dy;
  const float *mean, *inverse, *gamma;
  T* dx;
  template <typename Group>
  __device__ void operator()(std::int64_t r, const Group& group) const {
    const auto add = [](float a, float b) { return a + b; };
    const std::int64_t first = r * groups.width;
    const float center = mean[r], scale = inverse[r];
    const auto normal = [&](std::int64_t i) { return (widen(x[first + i]) - center) * scale; };
    const auto g = [&](std::int64_t i) {
      const float gradient = widen(dy[first + i]);
      return gamma != nullptr ? gradient * gamma[groups.scale_at(r, i)] : gradient;
    };
    float sum = 0, sum_normal = 0;
    group.over(groups.width, [&](std::int64_t i) {
      const float value = g(i);
      sum += value;
      sum_normal += value * normal(i);
    });
    sum = group.reduce(sum, add);
    sum_normal = group.reduce(sum_normal, add);
    const auto width = static_cast<float>(groups.width);
    group.over(groups.width, [&](std::int64_t i) {
      dx[first + i] = narrow<T>(scale * (g(i) - (sum + normal(i) * sum_normal) / width));
    });
  }
};

/// Gradients of gamma and beta of a layer normalization: rows are groups, columns the values of one.
template <typename T>
struct LayerValue {
  std::int64_t width;
  const T *x, *dy;
  const float *mean, *inverse;
  __device__ ColumnSums operator()(std::int64_t r, std::int64_t i) const {
    const float gradient = widen(dy[r * width + i]);
    return {gradient * ((widen(x[r * width + i]) - mean[r]) * inverse[r]), gradient};
  }
};
struct StoreBoth {
  float *dgamma, *dbeta;
  __device__ void operator()(std::int64_t c, double gamma, double beta) const {
    if (dgamma != nullptr) dgamma[c] = static_cast<float>(gamma);
    if (dbeta != nullptr) dbeta[c] = static_cast<float>(beta);
  }
};

/// The same of a group normalization: one team a channel.
template <typename T>
struct ChannelTeam {
  Groups groups;
  std::int64_t n, c;
  const T *x, *dy;
  const float *mean, *inverse;
  float *dgamma, *dbeta;
  __device__ void operator()(const Team& team) const {
    const std::int64_t channel = team.index(), group = channel / groups.channels;
    double gamma = 0, beta = 0;
    for (std::int64_t k = team.thread(); k < n * groups.pixels; k += team.threads()) {
      const std::int64_t sample = k / groups.pixels, r = sample * groups.split + group;
      const std::int64_t at = (sample * c + channel) * groups.pixels + k % groups.pixels;
      const float gradient = widen(dy[at]);
      gamma += gradient * ((widen(x[at]) - mean[r]) * inverse[r]);
      beta += gradient;
    }
    const auto add = [](double a, double b) { return a + b; };
    gamma = team.reduce(gamma, add);
    beta = team.reduce(beta, add);
    if (team.thread() != 0) return;
    dgamma[channel] = static_cast<float>(gamma);
    dbeta[channel] = static_cast<float>(beta);
  }
};

Groups groups_of(const Operation& op) {
  const Shape& x = op.inputs[0].shape;
  if (op.kind == Kind::layer_norm || op.kind == Kind::layer_norm_grad) {
    const auto axis = static_cast<std::size_t>(op.attributes.axis);
    return {x.volume(0, axis), x.volume(axis), 0, 1, 1};
  }
  const Image image(x, false);
  const std::int64_t split = op.attributes.groups, channels = image.c / split;
  return {image.n * split, channels * image.pixels(), split, channels, image.pixels()};
}

KernelPtr normalize(const Operation& op, Queue& queue) {
  const Groups groups = groups_of(op);
  const auto epsilon = static_cast<float>(op.attributes.epsilon);
  return by_real(op.inputs[0].type, [&]<typename T>(T) -> KernelPtr {
    return closure(op, [=, &queue](const At& at) {
      each_group(queue, groups.width == 0 ? 0 : groups.count, groups.width, false,
                 Normalize<T>{groups, epsilon, at.in<T>(0), at.in<float>(1), at.in<float>(2), at.out<T>(0),
                              at.out<float>(1), at.out<float>(2)});
    });
  });
}

KernelPtr normalize_grad(const Operation& op, Queue& queue) {
  const Groups groups = groups_of(op);
  const bool layer = op.kind == Kind::layer_norm_grad;
  const std::size_t results = op.outputs.size();
  const Shape& x = op.inputs[0].shape;
  return by_real(op.inputs[0].type, [&]<typename T>(T) -> KernelPtr {
    auto kernel = closure(op, [=, &queue, n = x[0], c = layer ? 0 : x[1]](const At& at) {
      const auto *const mean = at.in<float>(2), *const inverse = at.in<float>(3);
      each_group(
          queue, groups.count, groups.width, false,
          NormalizeGrad<T>{groups, at.in<T>(0), at.in<T>(1), mean, inverse, at.in<float>(4), at.out<T>(0)});
      float* const dgamma = results > 1 ? at.out<float>(1) : nullptr;
      float* const dbeta = results > 2 ? at.out<float>(2) : nullptr;
      if (!layer)
        teams(queue, c, 256,
              ChannelTeam<T>{groups, n, c, at.in<T>(0), at.in<T>(1), mean, inverse, dgamma, dbeta});
      else if (dgamma != nullptr)
        sum_columns(queue, groups.count, groups.width, at.scratch(),
                    LayerValue<T>{groups.width, at.in<T>(0), at.in<T>(1), mean, inverse},
                    StoreBoth{dgamma, dbeta});
    });
    if (layer && results > 1) kernel->needs(column_bytes(groups.count, groups.width));
    return kernel;
  });
}

/// What channel c divides by, before the power: bias + alpha / size * the sum of squares of its neighbours.
template <typename T>
struct Response {
  std::int64_t channels, pixels, size;
  float alpha, beta, bias;
  const T* x;
  __device__ std::int64_t place(std::int64_t n, std::int64_t c, std::int64_t pixel) const {
    return (n * channels + c) * pixels + pixel;
  }
  __device__ float at(std::int64_t n, std::int64_t c, std::int64_t pixel) const {
    float sum = 0;
    const std::int64_t first = c - (size - 1) / 2, last = c + size / 2;
    for (std::int64_t j = first < 0 ? 0 : first; j <= last && j < channels; ++j) {
      const float value = widen(x[place(n, j, pixel)]);
      sum += value * value;
    }
    return bias + alpha / static_cast<float>(size) * sum;
  }
};

template <typename T>
struct LrnEach {
  Response<T> response;
  T* y;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t pixel = i % response.pixels, c = i / response.pixels % response.channels,
                       n = i / response.pixels / response.channels;
    y[i] = narrow<T>(widen(response.x[i]) * std::pow(response.at(n, c, pixel), -response.beta));
  }
};

/// dx of i is dy / response^beta, less what x of i adds to the responses of those whose neighbour it is.
template <typename T>
struct LrnGradEach {
  Response<T> response;
  const T* dy;
  T* dx;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t pixel = i % response.pixels, c = i / response.pixels % response.channels,
                       n = i / response.pixels / response.channels;
    float sum = 0;
    const std::int64_t first = c - response.size / 2, last = c + (response.size - 1) / 2;
    for (std::int64_t j = first < 0 ? 0 : first; j <= last && j < response.channels; ++j) {
      const std::int64_t at = response.place(n, j, pixel);
      sum +=
          widen(dy[at]) * widen(response.x[at]) * std::pow(response.at(n, j, pixel), -response.beta - 1.0f);
    }
    const float own = widen(dy[i]) * std::pow(response.at(n, c, pixel), -response.beta);
    dx[i] = narrow<T>(own - 2 * response.alpha * response.beta / static_cast<float>(response.size) *
                                widen(response.x[i]) * sum);
  }
};

KernelPtr lrn(const Operation& op, Queue& queue) {
  const Image image(op.inputs[0].shape, false);
  const std::int64_t count = op.inputs[0].shape.elements();
  const Attributes& a = op.attributes;
  return by_real(op.inputs[0].type, [&]<typename T>(T) -> KernelPtr {
    const Response<T> shape{image.c,
                            image.pixels(),
                            a.size,
                            static_cast<float>(a.alpha),
                            static_cast<float>(a.beta),
                            static_cast<float>(a.bias),
                            nullptr};
    return closure(op, [=, &queue, gradient = op.kind == Kind::lrn_grad](const At& at) {
      Response<T> response = shape;
      response.x = at.in<T>(0);
      if (gradient)
        each(queue, count, LrnGradEach<T>{response, at.in<T>(1), at.out<T>(0)});
      else
        each(queue, count, LrnEach<T>{response, at.out<T>(0)});
    });
  });
}

}  // namespace

KernelPtr norm_kernel(const Operation& op, Queue& queue) {
  switch (op.kind) {
    case Kind::layer_norm:
    case Kind::group_norm:
      return normalize(op, queue);
    case Kind::layer_norm_grad:
    case Kind::group_norm_grad:
      return normalize_grad(op, queue);
    case Kind::lrn:
    case Kind::lrn_grad:
      return lrn(op, queue);
    default:
      return nullptr;
  }
}

}  // namespace trainyard::ops::cuda
