// What the families of inference share. Private to common/ops/infer.
#pragma once

#include "common/base/text.hpp"
#include "common/ops/operation.hpp"

namespace trainyard::ops {

using Signatures = std::vector<Signature>;
using Inferred = Result<Signatures>;

template <typename... Arguments>
Error shape_error(fmt::format_string<Arguments...> message, Arguments&&... arguments) {
  return {Errc::invalid, fmt::format(message, std::forward<Arguments>(arguments)...)};
}

/// Errc::invalid unless there are `count` operands.
Status operands(std::span<const Signature> inputs, std::size_t count);
/// Errc::invalid unless the elements are real numbers.
Status real_numbers(const Signature& x);

/// `axis` counted from the front; Errc::invalid unless -rank <= axis < rank.
Result<std::int64_t> front_axis(std::int64_t axis, std::size_t rank);
/// The same for a list, in its order; twice the same is refused. An empty list stays empty.
Status front_axes(std::vector<std::int64_t>& axes, std::size_t rank);

/// The extent of a window's result: (input + padding - reach) / stride + 1; below 1 it does not exist.
std::int64_t windows(std::int64_t input, std::int64_t kernel, std::int64_t stride, std::int64_t dilation,
                     std::int64_t padding);

Inferred infer_linear(Kind kind, Attributes& attributes, std::span<const Signature> inputs);
Inferred infer_norm(Kind kind, Attributes& attributes, std::span<const Signature> inputs);
Inferred infer_elementwise(Kind kind, Attributes& attributes, std::span<const Signature> inputs);
Inferred infer_along(Kind kind, Attributes& attributes, std::span<const Signature> inputs);
Inferred infer_movement(Kind kind, Attributes& attributes, std::span<const Signature> inputs);
Inferred infer_index(Kind kind, Attributes& attributes, std::span<const Signature> inputs);
Inferred infer_sequence(Kind kind, Attributes& attributes, std::span<const Signature> inputs);

}  // namespace trainyard::ops
