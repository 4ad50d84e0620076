// Look-ups of whole rows, and the sums that are their gradients.
#include <cstring>

#include "common/ops/cpu/arrangement.hpp"
#include "common/ops/cpu/parallel.hpp"
#include "common/ops/reference/map.hpp"

namespace trainyard::ops::cpu {
namespace {

std::int64_t row_of(const void* indices, DType type, std::int64_t at, std::int64_t extent) {
  const std::int64_t index = type == DType::i32 ? static_cast<const std::int32_t*>(indices)[at]
                                                : static_cast<const std::int64_t*>(indices)[at];
  check(index >= -extent && index < extent, "an index points into the tensor");
  return index < 0 ? index + extent : index;
}

/// y[o, k, :] = x[o, index[k], :]
class Gather final : public Kernel {
 public:
  explicit Gather(const Operation& op)
      : x_(op.inputs[0].shape, op.attributes.axis),
        indices_(op.inputs[1].shape.elements()),
        type_(op.inputs[1].type),
        bytes_(x_.inner * static_cast<std::int64_t>(tensor::size_of(op.outputs[0].type))) {
    outputs_ = {plain_layout(op.outputs[0].shape, op.outputs[0].type)};
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const auto* const x = static_cast<const std::byte*>(inputs[0]);
    auto* const y = static_cast<std::byte*>(outputs[0]);
    const std::int64_t rows = x_.outer * indices_;
    in_pieces(rows, 1, rows * x_.inner, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t from = row_of(inputs[1], type_, row % indices_, x_.extent);
        std::memcpy(y + row * bytes_, x + (row / indices_ * x_.extent + from) * bytes_,
                    static_cast<std::size_t>(bytes_));
      }
    });
  }

 private:
  const reference::Lines x_;
  const std::int64_t indices_;
  const DType type_;
  const std::int64_t bytes_;
};

/// dx[o, index[k], :] += dy[o, k, :]. Threads share the columns, so equal indices are added in their order.
class GatherGrad final : public Kernel {
 public:
  explicit GatherGrad(const Operation& op)
      : x_(op.outputs[0].shape, op.attributes.axis),
        indices_(op.inputs[1].shape.elements()),
        type_(op.inputs[1].type) {
    outputs_ = {plain_layout(op.outputs[0].shape, DType::f32)};
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const auto* const dy = static_cast<const float*>(inputs[0]);
    auto* const dx = static_cast<float*>(outputs[0]);
    const std::int64_t floats = x_.outer * x_.extent * x_.inner;
    in_pieces(floats, 64, floats,
              [&](std::int64_t begin, std::int64_t end) { std::fill(dx + begin, dx + end, 0.0f); });
    in_pieces(x_.inner, 64, x_.outer * indices_ * x_.inner, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t o = 0; o < x_.outer; ++o)
        for (std::int64_t k = 0; k < indices_; ++k) {
          const std::int64_t row = row_of(inputs[1], type_, k, x_.extent);
          float* const to = dx + (o * x_.extent + row) * x_.inner;
          const float* const from = dy + (o * indices_ + k) * x_.inner;
#pragma omp simd
          for (std::int64_t i = begin; i < end; ++i) to[i] += from[i];
        }
    });
  }

 private:
  const reference::Lines x_;
  const std::int64_t indices_;
  const DType type_;
};

}  // namespace

std::unique_ptr<Kernel> index_kernel(const Operation& op) {
  if (op.kind != Kind::gather && op.kind != Kind::gather_grad) return nullptr;
  if (op.outputs[0].shape.elements() == 0 || op.inputs[0].shape.elements() == 0) return nullptr;
  if (op.kind == Kind::gather) return over_arranged(op, std::make_unique<Gather>(op), {});
  if (op.outputs[0].type != DType::f32) return nullptr;
  return over_arranged(op, std::make_unique<GatherGrad>(op), {});
}

}  // namespace trainyard::ops::cpu
