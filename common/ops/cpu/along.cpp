// Softmax and its kin: over the last axis row by row; the reference does other axes.
#include "common/ops/cpu/onednn.hpp"
#include "common/ops/cpu/parallel.hpp"
#include "common/ops/cpu/vector/vectors.hpp"

namespace trainyard::ops::cpu {
namespace {

constexpr int kX = 0, kDy = 1, kY = 2;

struct Rows {
  explicit Rows(const Shape& shape)
      : length(shape[shape.rank() - 1]), count(length == 0 ? 0 : shape.elements() / length) {}
  std::int64_t length, count;
};

class Softmax final : public ArrangedKernel {
 public:
  explicit Softmax(const Operation& op)
      : rows_(op.inputs[0].shape),
        row_(op.kind == Kind::softmax ? vectors().softmax : vectors().log_softmax) {
    const Desc plain = plain_desc(op.inputs[0].shape);
    outputs_ = {layout_of(plain)};
    input(kX, 0, desc_of(op.inputs[0]), plain);
    output(kY, 0, plain);
    if (is_plain(op.inputs[0])) in_place_ = 0;
  }

 private:
  void compute() override {
    const float* const x = data(kX);
    float* const y = data(kY);
    in_pieces(rows_.count, 1, rows_.count * rows_.length, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r)
        row_(x + r * rows_.length, y + r * rows_.length, rows_.length);
    });
  }
  const Rows rows_;
  void (*const row_)(const float*, float*, std::int64_t);
};

class SoftmaxGrad final : public ArrangedKernel {
 public:
  explicit SoftmaxGrad(const Operation& op)
      : rows_(op.inputs[0].shape),
        row_(op.kind == Kind::softmax_grad ? vectors().softmax_grad : vectors().log_softmax_grad) {
    const Desc plain = plain_desc(op.inputs[0].shape);
    outputs_ = {layout_of(plain)};
    input(kX, 0, desc_of(op.inputs[0]), plain);
    input(kDy, 1, desc_of(op.inputs[1]), plain);
    output(kY, 0, plain);
    if (is_plain(op.inputs[1])) in_place_ = 1;
  }

 private:
  void compute() override {
    const float *const y = data(kX), *const dy = data(kDy);
    float* const dx = data(kY);
    in_pieces(rows_.count, 1, rows_.count * rows_.length, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r)
        row_(y + r * rows_.length, dy + r * rows_.length, dx + r * rows_.length, rows_.length);
    });
  }
  const Rows rows_;
  void (*const row_)(const float*, const float*, float*, std::int64_t);
};

}  // namespace

std::unique_ptr<Kernel> softmax(const Operation& op) {
  const Shape& x = op.inputs[0].shape;
  const bool last = op.attributes.axis == static_cast<std::int64_t>(x.rank()) - 1 || op.attributes.axis == -1;
  if (op.inputs[0].type != DType::f32 || !last || x.elements() == 0) return nullptr;
  if (op.kind == Kind::softmax || op.kind == Kind::log_softmax) return std::make_unique<Softmax>(op);
  return std::make_unique<SoftmaxGrad>(op);
}

std::unique_ptr<Kernel> along_kernel(const Operation& op) {
  switch (op.kind) {
    case Kind::reduce:
      return reduce(op);
    case Kind::softmax:
    case Kind::log_softmax:
    case Kind::softmax_grad:
    case Kind::log_softmax_grad:
      return softmax(op);
    default:
      return nullptr;
  }
}

}  // namespace trainyard::ops::cpu
