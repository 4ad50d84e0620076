// Convolutions, dense layers and tables of rows.
#include <algorithm>

#include "common/base/text.hpp"
#include "common/graph/compose/composer.hpp"

namespace trainyard::graph {
namespace {

/// Padding before and after one side; of a transposed convolution also its result.
struct Side {
  std::int64_t before = 0, after = 0, result = 0;
};

Side window(std::int64_t input, std::uint32_t kernel, std::uint32_t stride, std::uint32_t dilation,
            Padding::Mode mode, std::uint32_t given) {
  if (mode == Padding::Mode::valid) return {};
  if (mode == Padding::Mode::given) return {given, given};
  const std::int64_t reach = std::int64_t{kernel - 1} * dilation + 1;
  const std::int64_t output = (input + stride - 1) / stride;
  const std::int64_t padding = std::max<std::int64_t>(0, (output - 1) * stride + reach - input);
  return {padding / 2, padding - padding / 2};
}

Side transposed(std::int64_t input, std::uint32_t kernel, std::uint32_t stride, std::uint32_t dilation,
                Padding::Mode mode, std::uint32_t given, std::uint32_t more) {
  const std::int64_t full = (input - 1) * stride + std::int64_t{kernel - 1} * dilation + 1 + more;
  if (mode == Padding::Mode::valid) return {0, 0, full};
  if (mode == Padding::Mode::given) return {given, given, full - 2 * std::int64_t{given}};
  const std::int64_t result = input * stride, padding = std::max<std::int64_t>(0, full - result);
  return {padding / 2, padding - padding / 2, result};
}

Attributes attributes_of(const Convolution& c, const Side& height, const Side& width) {
  Attributes a;
  a.stride_height = c.stride.height;
  a.stride_width = c.stride.width;
  a.dilation_height = c.dilation.height;
  a.dilation_width = c.dilation.width;
  a.groups = c.groups;
  a.pad_top = height.before;
  a.pad_bottom = height.after;
  a.pad_left = width.before;
  a.pad_right = width.after;
  return a;
}

/// "1, 2, 4": what divides all of them.
std::string divisors(std::int64_t a, std::int64_t b) {
  std::string out;
  for (std::int64_t d = 1; d <= std::min(a, b); ++d)
    if (a % d == 0 && b % d == 0) out += (out.empty() ? "" : ", ") + std::to_string(d);
  return out;
}

}  // namespace

/// Whether a window fits into the image with its padding; what would fit, unless it does.
bool Composer::fits(ValueId x, const char* what, bool kernel, Sides size, Sides dilation,
                    const Attributes& a) {
  const std::int64_t height = extent(x, 2) + a.pad_top + a.pad_bottom,
                     width = extent(x, 3) + a.pad_left + a.pad_right;
  const std::int64_t down = std::int64_t{size.height - 1} * dilation.height + 1,
                     right = std::int64_t{size.width - 1} * dilation.width + 1;
  if (down <= height && right <= width) return true;
  const std::string sides =
      size.height == size.width ? format("{}", size.height) : format("{}x{}", size.height, size.width);
  const bool bare = kernel && a.pad_top + a.pad_bottom + a.pad_left + a.pad_right == 0;
  const bool spread = dilation.height > 1 || dilation.width > 1;
  const std::int64_t most = std::min((height - 1) / dilation.height, (width - 1) / dilation.width) + 1;
  const std::string advice =
      place_.empty() ? format("at most {} fits, or padding: same", most) : "a larger image fits";
  fail(format("{} of {} {}{}{} on a {}x{} input; {}", what, kernel ? "kernel" : "size", sides,
              spread ? " with dilation" : "", bare ? " without padding" : "", extent(x, 2), extent(x, 3),
              advice));
  return false;
}

ValueId Composer::conv2d(ValueId x, const std::string& name, const Convolution& c) {
  part(name, "conv2d");
  if (!needs_image(x, "conv2d")) return kAbsent;
  const std::int64_t channels = extent(x, 1);
  if (c.groups < 1 || channels % c.groups != 0 || c.filters % c.groups != 0) {
    fail(format("{} groups do not divide {} input channels and {} filters; {} do", c.groups, channels,
                c.filters, divisors(channels, c.filters)));
    return kAbsent;
  }
  const Side height = window(extent(x, 2), c.kernel.height, c.stride.height, c.dilation.height,
                             c.padding.mode, c.padding.sides.height);
  const Side width = window(extent(x, 3), c.kernel.width, c.stride.width, c.dilation.width, c.padding.mode,
                            c.padding.sides.width);
  const Attributes a = attributes_of(c, height, width);
  if (!fits(x, "conv2d", true, c.kernel, c.dilation, a)) return kAbsent;
  std::vector<ValueId> inputs{
      x, parameter(name + ".weight", {c.filters, channels / c.groups, c.kernel.height, c.kernel.width},
                   TensorKind::weight, c.init)};
  if (c.bias) inputs.push_back(parameter(name + ".bias", {c.filters}, TensorKind::bias, Init::zero));
  return apply(Kind::conv2d, a, std::move(inputs));
}

ValueId Composer::conv2d_transpose(ValueId x, const std::string& name, const Convolution& c) {
  part(name, "conv2d_transpose");
  if (!needs_image(x, "conv2d_transpose")) return kAbsent;
  const std::int64_t channels = extent(x, 1);
  if (c.groups < 1 || channels % c.groups != 0 || c.filters % c.groups != 0) {
    fail(format("{} groups do not divide {} input channels and {} filters; {} do", c.groups, channels,
                c.filters, divisors(channels, c.filters)));
    return kAbsent;
  }
  if (c.output_padding.height >= c.stride.height || c.output_padding.width >= c.stride.width) {
    fail("output_padding has to be below the stride");
    return kAbsent;
  }
  const Side height = transposed(extent(x, 2), c.kernel.height, c.stride.height, c.dilation.height,
                                 c.padding.mode, c.padding.sides.height, c.output_padding.height);
  const Side width = transposed(extent(x, 3), c.kernel.width, c.stride.width, c.dilation.width,
                                c.padding.mode, c.padding.sides.width, c.output_padding.width);
  Attributes a = attributes_of(c, height, width);
  a.dims = {height.result, width.result};
  const ValueId weight =
      parameter(name + ".weight", {channels, c.filters / c.groups, c.kernel.height, c.kernel.width},
                TensorKind::weight, c.init);
  const ValueId y = apply(Kind::conv2d_grad_data, a, {x, weight});
  if (!c.bias || failed()) return y;
  const ValueId bias = parameter(name + ".bias", {c.filters}, TensorKind::bias, Init::zero);
  Attributes column;
  column.dims = {c.filters, 1, 1};
  return add(y, apply(Kind::reshape, column, {bias}));
}

ValueId Composer::conv1d(ValueId x, const std::string& name, const Convolution& c) {
  part(name, "conv1d");
  if (!needs_sequence(x, "conv1d")) return kAbsent;
  const std::int64_t steps = extent(x, 1), features = extent(x, 2);
  const std::int64_t padding = c.padding.mode == Padding::Mode::given ? 2 * c.padding.sides.width : 0;
  const std::int64_t reach = std::int64_t{c.kernel.width - 1} * c.dilation.width + 1;
  if (c.padding.mode != Padding::Mode::same && reach > steps + padding) {
    fail(format("conv1d of kernel {} on {} steps; more steps fit, or padding: same", c.kernel.width, steps));
    return kAbsent;
  }
  const ValueId image = reshape(transpose(x, {0, 2, 1}), {features, 1, steps});
  Convolution row = c;
  row.kernel.height = row.stride.height = row.dilation.height = 1;
  row.padding.sides.height = 0;
  const std::string place = std::move(place_);  // one part, not two
  place_.clear();
  const ValueId y = conv2d(image, name, row);
  place_ = place;
  return transpose(reshape(y, {extent(y, 1), extent(y, 3)}), {0, 2, 1});
}

ValueId Composer::dense(ValueId x, const std::string& name, const Dense& d) {
  part(name, "dense");
  if (failed()) return kAbsent;
  if (!tensor::is_real(signature(x).type)) {
    fail(format("dense of whole numbers {}; put an embedding in front", shape(x).text()));
    return kAbsent;
  }
  const bool whole = shape(x).rank() != 3;
  const std::int64_t features = whole ? shape(x).volume(1) : extent(x, 2);
  std::vector<ValueId> inputs{x,
                              parameter(name + ".weight", {d.units, features}, TensorKind::weight, d.init)};
  if (d.bias) inputs.push_back(parameter(name + ".bias", {d.units}, TensorKind::bias, Init::zero));
  Attributes a;
  a.axis = whole ? 1 : -1;
  return apply(Kind::dense, a, std::move(inputs));
}

ValueId Composer::embedding(ValueId index, const std::string& name, std::int64_t rows, std::int64_t columns,
                            Init init) {
  part(name, "embedding");
  if (failed()) return kAbsent;
  if (tensor::is_real(signature(index).type)) {
    fail(format("embedding needs whole numbers, such as the numbers of words, and gets the real numbers {}",
                shape(index).text()));
    return kAbsent;
  }
  const ValueId table = parameter(name + ".weight", {rows, columns}, TensorKind::weight, init);
  Attributes a;
  a.axis = 0;
  return apply(Kind::gather, a, {table, index});
}

}  // namespace trainyard::graph
