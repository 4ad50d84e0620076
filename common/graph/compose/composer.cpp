#include "common/graph/compose/composer.hpp"

#include <algorithm>
#include <cstring>

#include "common/base/text.hpp"

namespace trainyard::graph {

using config::Activation;
using ops::Function;

Function function_of(Activation activation) {
  switch (activation) {
    case Activation::none:
      return Function::identity;
    case Activation::relu:
      return Function::relu;
    case Activation::relu6:
      return Function::relu6;
    case Activation::gelu:
      return Function::gelu;
    case Activation::silu:
      return Function::silu;
    case Activation::elu:
      return Function::elu;
    case Activation::leaky_relu:
      return Function::leaky_relu;
    case Activation::sigmoid:
      return Function::sigmoid;
    case Activation::tanh:
      return Function::tanh;
  }
  return Function::identity;
}

double usual_alpha(Function function) {
  if (function == Function::leaky_relu) return 0.01;
  return function == Function::elu || function == Function::celu ? 1.0 : 0.0;
}

void Composer::begin(std::string name, std::string kind, std::string place) {
  origin_place_ = place;
  builder_.origin(std::move(name), std::move(place), std::move(kind));
}

void Composer::part(const std::string& name, const std::string& kind) {
  if (!place_.empty()) begin(name, kind, place_ + ", " + name);
}

void Composer::fail(const std::string& message) {
  if (failed()) return;
  const Error error{Errc::invalid, message};
  status_ = origin_place_.empty() ? error : error.with(origin_place_);
}

Result<Model> Composer::finish(std::vector<ValueId> results) && {
  if (failed()) return status_.error();
  return std::move(builder_).finish(std::move(results));
}

const Signature& Composer::signature(ValueId x) const {
  static const Signature nothing;
  return failed() || x == kAbsent ? nothing : builder_.signature(x);
}

std::int64_t Composer::extent(ValueId x, std::size_t axis) const {
  return axis < shape(x).rank() ? shape(x)[axis] : 0;
}

ValueId Composer::apply(Kind kind, Attributes attributes, std::vector<ValueId> inputs) {
  if (failed()) return kAbsent;
  const auto made = builder_.add(kind, std::move(attributes), std::move(inputs));
  if (made) return *made;
  fail(made.error().message);
  return kAbsent;
}

ValueId Composer::parameter(const std::string& name, std::vector<std::int64_t> shape, TensorKind kind,
                            Init init) {
  if (failed()) return kAbsent;
  const auto made = builder_.parameter(name, std::move(shape), kind, init);
  if (made) return *made;
  fail(made.error().message);
  return kAbsent;
}

ValueId Composer::numbers(Shape shape, const std::vector<float>& values) {
  Constant constant{Signature(std::move(shape)), std::vector<std::byte>(values.size() * sizeof(float))};
  std::memcpy(constant.bytes.data(), values.data(), constant.bytes.size());
  return builder_.constant(std::move(constant));
}

ValueId Composer::whole_numbers(Shape shape, const std::vector<std::int32_t>& values) {
  Constant constant{Signature(std::move(shape), DType::i32),
                    std::vector<std::byte>(values.size() * sizeof(std::int32_t))};
  std::memcpy(constant.bytes.data(), values.data(), constant.bytes.size());
  return builder_.constant(std::move(constant));
}

ValueId Composer::unary(Function function, ValueId x, double alpha, double beta) {
  if (function == Function::identity) return x;
  Attributes a;
  a.function = function;
  a.alpha = alpha;
  a.beta = beta;
  return apply(Kind::unary, a, {x});
}

ValueId Composer::activate(Activation activation, ValueId x) {
  const Function function = function_of(activation);
  return unary(function, x, usual_alpha(function));
}

ValueId Composer::binary(ops::Arithmetic arithmetic, ValueId a, ValueId b) {
  Attributes attributes;
  attributes.arithmetic = arithmetic;
  return apply(Kind::binary, attributes, {a, b});
}

ValueId Composer::reduce(ops::Reduction reduction, ValueId x, std::vector<std::int64_t> axes, bool keep) {
  Attributes a;
  a.reduction = reduction;
  a.axes = std::move(axes);
  a.keep_dims = keep;
  return apply(Kind::reduce, a, {x});
}

ValueId Composer::cast(ValueId x, DType type) {
  Attributes a;
  a.type = type;
  return apply(Kind::cast, a, {x});
}

ValueId Composer::dropout(ValueId x, double rate) {
  Attributes a;
  a.rate = rate;
  a.seed = ++dropouts_;
  return apply(Kind::dropout, a, {x});
}

ValueId Composer::flatten(ValueId x) {
  if (failed() || shape(x).rank() == 2) return x;
  return reshape(x, {shape(x).volume(1)});
}

ValueId Composer::reshape(ValueId x, std::vector<std::int64_t> dims) {
  if (failed()) return kAbsent;
  Attributes a;
  a.dims = std::move(dims);
  a.dims.insert(a.dims.begin(), tensor::kBatch);
  return apply(Kind::reshape, a, {x});
}

ValueId Composer::transpose(ValueId x, std::vector<std::int64_t> axes) {
  Attributes a;
  a.axes = std::move(axes);
  return apply(Kind::transpose, a, {x});
}

ValueId Composer::concat(std::vector<ValueId> parts, std::int64_t axis) {
  Attributes a;
  a.axis = axis;
  return apply(Kind::concat, a, std::move(parts));
}

ValueId Composer::slice(ValueId x, std::int64_t axis, std::int64_t begin, std::int64_t end) {
  Attributes a;
  a.axes = {axis};
  a.starts = {begin};
  a.ends = {end};
  return apply(Kind::slice, a, {x});
}

ValueId Composer::zero_pad(ValueId x, const std::array<std::uint32_t, 4>& edges) {
  if (!needs_image(x, "zero_pad")) return kAbsent;
  Attributes a;
  a.starts = {0, 0, edges[0], edges[2]};
  a.ends = {0, 0, edges[1], edges[3]};
  return apply(Kind::pad, a, {x});
}

ValueId Composer::resize(ValueId x, Sides size, config::ResizeMode mode, bool align_corners) {
  if (!needs_image(x, "resize")) return kAbsent;
  Attributes a;
  a.dims = {size.height, size.width};
  a.interpolation =
      mode == config::ResizeMode::nearest ? ops::Interpolation::nearest : ops::Interpolation::linear;
  a.coordinates = mode == config::ResizeMode::nearest ? ops::Coordinates::asymmetric
                  : align_corners                     ? ops::Coordinates::align_corners
                                                      : ops::Coordinates::half_pixel;
  a.nearest_mode = ops::NearestMode::floor;
  return apply(Kind::resize, a, {x});
}

bool Composer::needs_image(ValueId x, const char* what) {
  if (failed()) return false;
  if (shape(x).rank() == 4) return true;
  if (shape(x).rank() == 3)
    fail(
        format("{} needs an image [N, C, H, W], and gets the sequence {}; reshape it, or use a layer for "
               "sequences such as conv1d",
               what, shape(x).text()));
  else
    fail(format("{} needs an image, and gets the flat {}; put it before flatten and dense", what,
                shape(x).text()));
  return false;
}

bool Composer::needs_sequence(ValueId x, const char* what) {
  if (failed()) return false;
  if (shape(x).rank() == 3 && tensor::is_real(signature(x).type)) return true;
  fail(format("{} needs a sequence [N, steps, features], and gets {}{}", what, shape(x).text(),
              shape(x).rank() == 4   ? "; reshape: {shape: [steps, features]} makes one of an image"
              : shape(x).rank() == 2 ? "; an embedding makes one of whole numbers"
                                     : ""));
  return false;
}

}  // namespace trainyard::graph
