#include "common/ops/infer/infer.hpp"

#include <algorithm>

namespace trainyard::ops {

Status operands(std::span<const Signature> inputs, std::size_t count) {
  if (inputs.size() == count) return {};
  static constexpr const char* kNumbers[] = {"no operands", "one operand", "two operands", "three operands"};
  return shape_error("takes {}, and gets {}", kNumbers[count], inputs.size());
}

Status real_numbers(const Signature& x) {
  if (tensor::is_real(x.type)) return {};
  return shape_error("needs real numbers, and gets {}; cast them to fp32", name_of(x.type));
}

Result<std::int64_t> front_axis(std::int64_t axis, std::size_t rank) {
  const auto count = static_cast<std::int64_t>(rank);
  if (axis < -count || axis >= count)
    return shape_error("axis {} of a tensor with {} axes; it has to be in {}..{}", axis, count, -count,
                       count - 1);
  return axis < 0 ? axis + count : axis;
}

Status front_axes(std::vector<std::int64_t>& axes, std::size_t rank) {
  for (std::int64_t& axis : axes) {
    const auto front = front_axis(axis, rank);
    if (!front) return front.error();
    axis = *front;
  }
  std::vector<std::int64_t> sorted = axes;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
    return shape_error("an axis is named twice");
  return {};
}

std::int64_t windows(std::int64_t input, std::int64_t kernel, std::int64_t stride, std::int64_t dilation,
                     std::int64_t padding) {
  const std::int64_t room = input + padding - ((kernel - 1) * dilation + 1);
  return room < 0 ? 0 : room / stride + 1;
}

Result<std::vector<Signature>> infer(Kind kind, Attributes& attributes, std::span<const Signature> inputs) {
  const auto name = std::string(name_of(kind));
  if (inputs.empty()) return shape_error("{} without an operand", name);
  const auto family = [&]() -> Inferred {
    switch (kind) {
      case Kind::conv2d:
      case Kind::conv2d_grad_data:
      case Kind::dense:
      case Kind::matmul:
      case Kind::max_pool:
      case Kind::avg_pool:
        return infer_linear(kind, attributes, inputs);
      case Kind::batch_norm:
      case Kind::batch_norm_training:
      case Kind::layer_norm:
      case Kind::group_norm:
      case Kind::lrn:
        return infer_norm(kind, attributes, inputs);
      case Kind::unary:
      case Kind::binary:
      case Kind::where:
      case Kind::cast:
      case Kind::dropout:
        return infer_elementwise(kind, attributes, inputs);
      case Kind::reduce:
      case Kind::arg_extreme:
      case Kind::top_k:
      case Kind::cumulative_sum:
      case Kind::softmax:
      case Kind::log_softmax:
        return infer_along(kind, attributes, inputs);
      case Kind::reshape:
      case Kind::transpose:
      case Kind::slice:
      case Kind::concat:
      case Kind::pad:
      case Kind::expand:
        return infer_movement(kind, attributes, inputs);
      case Kind::gather:
      case Kind::gather_elements:
      case Kind::scatter_elements:
      case Kind::one_hot:
      case Kind::resize:
        return infer_index(kind, attributes, inputs);
      case Kind::embedding_bag:
      case Kind::recurrent:
      case Kind::attention:
      case Kind::viterbi:
        return infer_sequence(kind, attributes, inputs);
      default:
        return shape_error("only a training adds it");
    }
  };
  auto inferred = family();
  if (!inferred) return inferred.error().with(name);
  return inferred;
}

}  // namespace trainyard::ops
