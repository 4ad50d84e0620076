// What an operation is beyond its kind: attributes, and the shapes and types of its operands and results.
// Plain values.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/base/result.hpp"
#include "common/ops/kind.hpp"
#include "common/tensor/dtype.hpp"
#include "common/tensor/shape.hpp"

namespace trainyard::ops {

using tensor::DType;
using tensor::Shape;

/// A kind uses the fields that its contract names; the others keep their defaults.
struct Attributes {
  // Windows.
  std::int64_t kernel_height = 1, kernel_width = 1;
  std::int64_t stride_height = 1, stride_width = 1;
  std::int64_t dilation_height = 1, dilation_width = 1;
  std::int64_t pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
  std::int64_t groups = 1;
  bool count_padding = false;
  bool workspace = true;  // pools, recurrent: keep what the gradient needs
  // Numbers.
  double alpha = 0, beta = 0, bias = 0;
  double epsilon = 1e-5, momentum = 0.1;  // batch norm: running = (1 - momentum) running + momentum batch
  double rate = 0;                        // dropout
  double smoothing = 0;
  std::uint64_t seed = 0;  // dropout: of the job and the layer
  std::int64_t ignore = INT64_MIN;
  // Axes; negative ones count from the end until the shapes are inferred.
  std::int64_t axis = -1, size = 0;
  std::vector<std::int64_t> axes, starts, ends, steps;
  std::vector<std::int64_t> dims;  // reshape and expand: the target, k times the batch as -k
  // Choices.
  Function function = Function::identity;
  Function activation = Function::identity;  // conv2d, dense: of the sum, with alpha and beta
  Arithmetic arithmetic = Arithmetic::add;
  Reduction reduction = Reduction::sum;
  PadMode pad_mode = PadMode::constant;
  Cell cell = Cell::lstm;
  Direction direction = Direction::forward;
  Coordinates coordinates = Coordinates::half_pixel;
  Interpolation interpolation = Interpolation::nearest;
  NearestMode nearest_mode = NearestMode::round_prefer_floor;
  DType type = DType::f32;
  bool keep_dims = true, largest = true, exclusive = false, reverse = false;
  bool accumulate = false;  // scatter_elements
  bool transpose_a = false, transpose_b = false;
  bool frozen = false;  // batch_norm in a model: keeps its running statistics in training too
};

/// Shape and type of an operand or result; the shape may leave the batch open.
struct Signature {
  Signature() = default;
  Signature(Shape of, DType element = DType::f32) : shape(std::move(of)), type(element) {}
  /// A result whose bytes are the backend's affair: masks, workspaces.
  static Signature opaque_bytes() {
    Signature signature;
    signature.opaque = true;
    return signature;
  }
  Signature with_batch(std::int64_t count) const {
    Signature out = *this;
    out.shape = shape.with_batch(count);
    return out;
  }

  Shape shape;
  DType type = DType::f32;
  bool opaque = false;
  friend bool operator==(const Signature&, const Signature&) = default;
};

/// What an operation of a model gives; axes of `attributes` that count from the end are made to count from
/// the front. Errors (Errc::invalid) name the operands by their shapes and say what would fit. Kinds that
/// only the training adds (gradients, losses) are not inferred: their results have the shapes of what they
/// belong to.
Result<std::vector<Signature>> infer(Kind kind, Attributes& attributes, std::span<const Signature> inputs);

}  // namespace trainyard::ops
