// Resizing of images, one axis at a time: a pixel of the result is a weighted sum of a few of the operand's.
// Formulas: ONNX, Resize; the cubic kernel is by Keys, 1981, equation 4.
#include <algorithm>
#include <array>
#include <cmath>

#include "common/ops/reference/map.hpp"

namespace trainyard::ops::reference {
namespace {

struct Tap {
  std::int64_t at = 0;
  double weight = 0;
};
/// Of one output coordinate; unused ones weigh nothing.
using Taps = std::array<Tap, 4>;

/// `reach` is the extent that a given scale makes, which need not be whole; else that of the result.
double source_of(Coordinates coordinates, double out, double extent_out, double extent_in, double scale,
                 double reach) {
  switch (coordinates) {
    case Coordinates::half_pixel:
      return (out + 0.5) / scale - 0.5;
    case Coordinates::pytorch_half_pixel:
      return extent_out > 1 ? (out + 0.5) / scale - 0.5 : 0;
    case Coordinates::align_corners:
      return reach > 1 ? out * (extent_in - 1) / (reach - 1) : 0;
    case Coordinates::asymmetric:
      return out / scale;
  }
  return 0;
}

double nearest_of(NearestMode mode, double source) {
  switch (mode) {
    case NearestMode::round_prefer_floor:
      return std::ceil(source - 0.5);
    case NearestMode::round_prefer_ceil:
      return std::floor(source + 0.5);
    case NearestMode::floor:
      return std::floor(source);
    case NearestMode::ceil:
      return std::ceil(source);
  }
  return 0;
}

/// The weight of a pixel at distance t >= 0.
double cubic(double t, double a) {
  if (t <= 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  if (t < 2) return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a;
  return 0;
}

std::vector<Taps> taps_of(const Attributes& a, std::int64_t in, std::int64_t out, double given_scale) {
  const double extent_in = static_cast<double>(in), extent_out = static_cast<double>(out);
  const double scale = given_scale > 0 ? given_scale : extent_out / extent_in;
  const double reach = given_scale > 0 ? given_scale * extent_in : extent_out;
  const auto border = [&](double at) {
    return static_cast<std::int64_t>(std::clamp(at, 0.0, extent_in - 1));
  };
  std::vector<Taps> all(static_cast<std::size_t>(out));
  for (std::int64_t i = 0; i < out; ++i) {
    Taps& taps = all[static_cast<std::size_t>(i)];
    const double source =
        source_of(a.coordinates, static_cast<double>(i), extent_out, extent_in, scale, reach);
    const double floor = std::floor(source), off = source - floor;
    switch (a.interpolation) {
      case Interpolation::nearest:
        taps[0] = {border(nearest_of(a.nearest_mode, source)), 1};
        break;
      case Interpolation::linear:
        taps[0] = {border(floor), 1 - off};
        taps[1] = {border(floor + 1), off};
        break;
      case Interpolation::cubic:
        for (int k = 0; k < 4; ++k)
          taps[static_cast<std::size_t>(k)] = {border(floor + k - 1),
                                               cubic(std::abs(off - (k - 1)), a.bias == 0 ? -0.75 : a.bias)};
        break;
    }
  }
  return all;
}

/// The taps of rows and columns between two images.
struct Grid {
  Grid(const Attributes& a, const Shape& x, const Shape& y)
      : images(x[0] * x[1]), height(x[2]), width(x[3]), out_height(y[2]), out_width(y[3]) {
    if (x.elements() == 0 || y.elements() == 0) return;
    rows = taps_of(a, height, out_height, a.alpha);
    columns = taps_of(a, width, out_width, a.beta);
  }
  /// visit(place in y, place in x, weight)
  template <typename Visit>
  void each(Visit&& visit) const {
    if (rows.empty()) return;
    for (std::int64_t image = 0; image < images; ++image)
      for (std::int64_t h = 0; h < out_height; ++h)
        for (std::int64_t w = 0; w < out_width; ++w)
          for (const Tap& row : rows[static_cast<std::size_t>(h)])
            for (const Tap& column : columns[static_cast<std::size_t>(w)])
              if (row.weight != 0 && column.weight != 0)
                visit((image * out_height + h) * out_width + w, (image * height + row.at) * width + column.at,
                      row.weight * column.weight);
  }
  std::int64_t images, height, width, out_height, out_width;
  std::vector<Taps> rows, columns;
};

}  // namespace

template <typename Real>
std::unique_ptr<Kernel> resize_kernel(const Operation& op) {
  const bool forward = op.kind == Kind::resize;
  if ((!forward && op.kind != Kind::resize_grad) || op.outputs[0].type != DType::f32) return nullptr;
  const Shape &from = op.inputs[0].shape, &to = op.outputs[0].shape;
  const Grid grid = forward ? Grid(op.attributes, from, to) : Grid(op.attributes, to, from);
  const std::int64_t count = to.elements();
  return loops<Real>(op, [=](const Operands& at) {
    const Real* const in = at.in<Real>(0);
    Real* const out = at.out<Real>(0);
    std::fill_n(out, count, Real{0});
    grid.each([&](std::int64_t y, std::int64_t x, double weight) {
      const std::int64_t source = forward ? x : y, target = forward ? y : x;
      out[target] += static_cast<Real>(weight * in[source]);
    });
  });
}

template std::unique_ptr<Kernel> resize_kernel<float>(const Operation&);
template std::unique_ptr<Kernel> resize_kernel<double>(const Operation&);

}  // namespace trainyard::ops::reference
