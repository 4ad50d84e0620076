// Resizing of images: a pixel of the result is a weighted sum of a few of the operand's. The gradient asks
// every pixel of the result near enough for its share, in their order. Formulas: ONNX, Resize; the cubic
// kernel is by Keys, 1981, equation 4.
#include <cmath>

#include "common/ops/cuda/kernel.hpp"
#include "common/ops/cuda/numbers.hpp"

namespace trainyard::ops::cuda {
namespace {

struct Tap {
  std::int64_t at;
  float weight;
};

/// One axis.
struct Axis {
  Coordinates coordinates;
  Interpolation interpolation;
  NearestMode nearest_mode;
  double a;  // the coefficient of cubic interpolation
  std::int64_t in, out;
  double scale, reach;

  __device__ double source(std::int64_t i) const {
    const auto at = static_cast<double>(i);
    switch (coordinates) {
      case Coordinates::half_pixel:
        return (at + 0.5) / scale - 0.5;
      case Coordinates::pytorch_half_pixel:
        return out > 1 ? (at + 0.5) / scale - 0.5 : 0;
      case Coordinates::align_corners:
        return reach > 1 ? at * static_cast<double>(in - 1) / (reach - 1) : 0;
      default:
        return at / scale;
    }
  }
  __device__ double nearest(double source) const {
    switch (nearest_mode) {
      case NearestMode::round_prefer_floor:
        return std::ceil(source - 0.5);
      case NearestMode::round_prefer_ceil:
        return std::floor(source + 0.5);
      case NearestMode::floor:
        return std::floor(source);
      default:
        return std::ceil(source);
    }
  }
  __device__ double cubic(double t) const {
    if (t <= 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
    if (t < 2) return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a;
    return 0;
  }
  __device__ std::int64_t border(double at) const {
    const auto last = static_cast<double>(in - 1);
    return static_cast<std::int64_t>(at < 0 ? 0 : at > last ? last : at);
  }
  /// Calls use(tap) for each place of the operand that output i takes from.
  template <typename Use>
  __device__ void taps(std::int64_t i, const Use& use) const {
    const double from = source(i), floor = std::floor(from), off = from - floor;
    if (interpolation == Interpolation::nearest) {
      use(Tap{border(nearest(from)), 1});
    } else if (interpolation == Interpolation::linear) {
      use(Tap{border(floor), static_cast<float>(1 - off)});
      use(Tap{border(floor + 1), static_cast<float>(off)});
    } else {
      for (int k = 0; k < 4; ++k) {
        const double distance = off - (k - 1);
        use(Tap{border(floor + k - 1), static_cast<float>(cubic(distance < 0 ? -distance : distance))});
      }
    }
  }
  /// What output i takes from place `at`.
  __device__ float weight(std::int64_t i, std::int64_t at) const {
    float sum = 0;
    taps(i, [&](const Tap& tap) { sum += tap.at == at ? tap.weight : 0.0f; });
    return sum;
  }
  /// Outputs that may take from place `at`: first and last.
  __device__ std::int64_t first(std::int64_t at) const { return at == 0 ? 0 : bound(at - 3); }
  __device__ std::int64_t last(std::int64_t at) const { return at == in - 1 ? out - 1 : bound(at + 4); }
  /// An output near the source coordinate `at`, with room on both sides for rounding.
  __device__ std::int64_t bound(std::int64_t at) const {
    const double step = coordinates == Coordinates::align_corners
                            ? (in > 1 ? (reach - 1) / static_cast<double>(in - 1) : static_cast<double>(out))
                            : scale;
    const double near = (static_cast<double>(at) + 0.5) * step;
    const double place = std::floor(near);
    return place < 0 ? 0 : place > static_cast<double>(out - 1) ? out - 1 : static_cast<std::int64_t>(place);
  }
};

Axis axis_of(const Attributes& a, std::int64_t in, std::int64_t out, double given) {
  const double scale = given > 0 ? given : static_cast<double>(out) / static_cast<double>(in);
  const double reach = given > 0 ? given * static_cast<double>(in) : static_cast<double>(out);
  return {a.coordinates, a.interpolation, a.nearest_mode, a.bias == 0 ? -0.75 : a.bias, in,
          out,           scale,           reach};
}

template <typename T>
struct ResizeEach {
  Axis rows, columns;
  const T* x;
  T* y;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t w = i % columns.out, h = i / columns.out % rows.out,
                       image = i / columns.out / rows.out;
    float sum = 0;
    rows.taps(h, [&](const Tap& row) {
      columns.taps(w, [&](const Tap& column) {
        if (row.weight != 0 && column.weight != 0)
          sum += row.weight * column.weight * widen(x[(image * rows.in + row.at) * columns.in + column.at]);
      });
    });
    y[i] = narrow<T>(sum);
  }
};

template <typename T>
struct ResizeGradEach {
  Axis rows, columns;
  const T* dy;
  T* dx;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t w = i % columns.in, h = i / columns.in % rows.in, image = i / columns.in / rows.in;
    float sum = 0;
    for (std::int64_t p = rows.first(h); p <= rows.last(h); ++p) {
      const float row = rows.weight(p, h);
      if (row == 0) continue;
      for (std::int64_t q = columns.first(w); q <= columns.last(w); ++q) {
        const float column = columns.weight(q, w);
        if (column != 0) sum += row * column * widen(dy[(image * rows.out + p) * columns.out + q]);
      }
    }
    dx[i] = narrow<T>(sum);
  }
};

}  // namespace

KernelPtr resize_kernel(const Operation& op, Queue& queue) {
  const bool forward = op.kind == Kind::resize;
  if (!forward && op.kind != Kind::resize_grad) return nullptr;
  const Shape &x = forward ? op.inputs[0].shape : op.outputs[0].shape,
              &y = forward ? op.outputs[0].shape : op.inputs[0].shape;
  const std::int64_t count = op.outputs[0].shape.elements();
  if (x.elements() == 0 || y.elements() == 0) {
    const std::size_t bytes = static_cast<std::size_t>(count) * tensor::size_of(op.outputs[0].type);
    return closure(op, [=, &queue](const At& at) { zero(queue, at.out(0), bytes); });
  }
  const Axis rows = axis_of(op.attributes, x[2], y[2], op.attributes.alpha),
             columns = axis_of(op.attributes, x[3], y[3], op.attributes.beta);
  return by_real(op.outputs[0].type, [&]<typename T>(T) -> KernelPtr {
    return closure(op, [=, &queue](const At& at) {
      if (forward)
        each(queue, count, ResizeEach<T>{rows, columns, at.in<T>(0), at.out<T>(0)});
      else
        each(queue, count, ResizeGradEach<T>{rows, columns, at.in<T>(0), at.out<T>(0)});
    });
  });
}

}  // namespace trainyard::ops::cuda
