// Normalizations and pools.
#include <algorithm>

#include "common/base/text.hpp"
#include "common/graph/compose/composer.hpp"

namespace trainyard::graph {

ValueId Composer::batch_norm(ValueId x, const std::string& name, const BatchNorm& b) {
  part(name, "batch_norm");
  if (failed()) return kAbsent;
  if (shape(x).rank() != 4 && shape(x).rank() != 2) {
    fail(format("batch_norm needs an image or flat features, and gets the sequence {}; layer_norm takes it",
                shape(x).text()));
    return kAbsent;
  }
  const std::int64_t channels = extent(x, 1);
  Attributes a;
  a.epsilon = b.epsilon;
  a.momentum = b.momentum;
  return apply(Kind::batch_norm, a,
               {x, parameter(name + ".weight", {channels}, TensorKind::bias, b.scale),
                parameter(name + ".bias", {channels}, TensorKind::bias, Init::zero),
                parameter(name + ".running_mean", {channels}, TensorKind::buffer, Init::zero),
                parameter(name + ".running_var", {channels}, TensorKind::buffer, Init::one)});
}

ValueId Composer::layer_norm(ValueId x, const std::string& name, double epsilon, bool affine) {
  part(name, "layer_norm");
  if (failed()) return kAbsent;
  Attributes a;
  a.epsilon = epsilon;
  a.axis = shape(x).rank() == 4 ? 1 : static_cast<std::int64_t>(shape(x).rank()) - 1;
  std::vector<ValueId> inputs{x};
  if (affine) {
    const std::vector<std::int64_t> dims(shape(x).dims().begin() + a.axis, shape(x).dims().end());
    inputs.push_back(parameter(name + ".weight", dims, TensorKind::bias, Init::one));
    inputs.push_back(parameter(name + ".bias", dims, TensorKind::bias, Init::zero));
  }
  return apply(Kind::layer_norm, a, std::move(inputs));
}

ValueId Composer::group_norm(ValueId x, const std::string& name, std::int64_t groups, double epsilon) {
  part(name, "group_norm");
  if (failed()) return kAbsent;
  if (shape(x).rank() == 3) {
    fail(format("needs an image or flat features, and gets the sequence {}; layer_norm takes it",
                shape(x).text()));
    return kAbsent;
  }
  const std::int64_t channels = extent(x, 1);
  if (groups < 1 || channels % groups != 0) {
    fail(format("{} groups do not divide {} channels", groups, channels));
    return kAbsent;
  }
  Attributes a;
  a.epsilon = epsilon;
  a.groups = groups;
  return apply(Kind::group_norm, a,
               {x, parameter(name + ".weight", {channels}, TensorKind::bias, Init::one),
                parameter(name + ".bias", {channels}, TensorKind::bias, Init::zero)});
}

ValueId Composer::lrn(ValueId x, std::int64_t channels, double alpha, double beta, double k) {
  Attributes a;
  a.size = channels;
  a.alpha = alpha;
  a.beta = beta;
  a.bias = k;
  return apply(Kind::lrn, a, {x});
}

ValueId Composer::l2_normalize(ValueId x, double epsilon) {
  if (failed()) return kAbsent;
  std::vector<std::int64_t> axes{2};
  if (shape(x).rank() != 3) {
    axes.clear();
    for (std::size_t axis = 1; axis < shape(x).rank(); ++axis)
      axes.push_back(static_cast<std::int64_t>(axis));
  }
  const ValueId squares = reduce(ops::Reduction::sum_square, x, axes, true);
  const ValueId length = unary(ops::Function::sqrt, add(squares, scalar(static_cast<float>(epsilon))));
  return binary(ops::Arithmetic::divide, x, length);
}

ValueId Composer::prelu(ValueId x, const std::string& name) {
  part(name, "prelu");
  if (failed()) return kAbsent;
  const bool image = shape(x).rank() == 4;
  const std::int64_t channels = image ? extent(x, 1) : extent(x, shape(x).rank() - 1);
  ValueId slope = parameter(name + ".weight", {channels}, TensorKind::bias, Init::quarter);
  if (image) {
    Attributes column;
    column.dims = {channels, 1, 1};
    slope = apply(Kind::reshape, column, {slope});
  }
  const ValueId below = relu(unary(ops::Function::negate, x));
  return binary(ops::Arithmetic::subtract, relu(x), multiply(slope, below));
}

ValueId Composer::pool(Kind kind, ValueId x, const Window& window) {
  const char* const name = kind == Kind::max_pool ? "max_pool" : "avg_pool";
  if (!needs_image(x, name)) return kAbsent;
  if (window.ceil && window.count_padding) {
    fail("ceil and count_padding do not go together");
    return kAbsent;
  }
  Attributes a;
  a.kernel_height = window.size.height;
  a.kernel_width = window.size.width;
  a.stride_height = window.stride.height == 0 ? window.size.height : window.stride.height;
  a.stride_width = window.stride.width == 0 ? window.size.width : window.stride.width;
  a.count_padding = window.count_padding;
  const auto pad = [&](std::int64_t input, std::int64_t kernel, std::int64_t stride, std::uint32_t given,
                       std::int64_t& before, std::int64_t& after) {
    if (window.padding.mode == Padding::Mode::given) before = after = given;
    if (window.padding.mode == Padding::Mode::same) {
      const std::int64_t output = (input + stride - 1) / stride;
      const std::int64_t padding = std::max<std::int64_t>(0, (output - 1) * stride + kernel - input);
      before = padding / 2;
      after = padding - padding / 2;
    }
    const std::int64_t room = input + before + after - kernel;
    if (!window.ceil || room < 0 || room % stride == 0) return;
    // The last window has to begin inside the input or its front padding, as in PyTorch.
    const std::int64_t steps = room / stride + 1;
    if (steps * stride < input + before) after += stride - room % stride;
  };
  pad(extent(x, 2), a.kernel_height, a.stride_height, window.padding.sides.height, a.pad_top, a.pad_bottom);
  pad(extent(x, 3), a.kernel_width, a.stride_width, window.padding.sides.width, a.pad_left, a.pad_right);
  if (!fits(x, name, false, window.size, 1, a)) return kAbsent;
  if (window.padding.mode == Padding::Mode::given && (window.padding.sides.height >= window.size.height ||
                                                      window.padding.sides.width >= window.size.width)) {
    fail(format("{}: padding as wide as the window leaves windows without input; at most {}x{} fits", name,
                window.size.height - 1, window.size.width - 1));
    return kAbsent;
  }
  return apply(kind, a, {x});
}

ValueId Composer::global_pool(Kind kind, ValueId x) {
  if (failed()) return kAbsent;
  if (shape(x).rank() == 3)
    return reduce(kind == Kind::max_pool ? ops::Reduction::maximum : ops::Reduction::mean, x, {1});
  if (!needs_image(x, kind == Kind::max_pool ? "global_max_pool" : "global_avg_pool")) return kAbsent;
  Attributes a;
  a.kernel_height = extent(x, 2);
  a.kernel_width = extent(x, 3);
  return apply(kind, a, {x});
}

ValueId Composer::adaptive_avg_pool(ValueId x, Sides size) {
  if (!needs_image(x, "adaptive_avg_pool")) return kAbsent;
  const std::int64_t height = extent(x, 2), width = extent(x, 3), down = size.height, right = size.width;
  if (height == down && width == right) return x;
  if (height % down == 0 && width % right == 0) {
    const Sides window(static_cast<std::uint32_t>(height / down), static_cast<std::uint32_t>(width / right));
    return avg_pool(x, {.size = window, .stride = window});
  }
  // Windows of unequal size are products with matrices of weights, [h, H] from the left, [W, w] from the
  // right.
  const auto weights = [&](std::int64_t input, std::int64_t output, bool left) {
    std::vector<float> values(static_cast<std::size_t>(input * output), 0.0f);
    for (std::int64_t i = 0; i < output; ++i) {
      const std::int64_t begin = i * input / output, end = ((i + 1) * input + output - 1) / output;
      for (std::int64_t k = begin; k < end; ++k)
        values[static_cast<std::size_t>(left ? i * input + k : k * output + i)] =
            1.0f / static_cast<float>(end - begin);
    }
    return numbers(left ? Shape{output, input} : Shape{input, output}, values);
  };
  const ValueId columns = apply(Kind::matmul, {}, {x, weights(width, right, false)});
  return apply(Kind::matmul, {}, {weights(height, down, true), columns});
}

}  // namespace trainyard::graph
