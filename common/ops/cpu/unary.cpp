// Functions of one operand and their gradients. They run over the floats of a layout as they lie; where a
// layout pads channels, the padding is zero again afterwards: consumers rely on it.
#include "common/ops/cpu/arrangement.hpp"
#include "common/ops/cpu/parallel.hpp"
#include "common/ops/cpu/vector/vectors.hpp"
#include "common/ops/functions.hpp"

namespace trainyard::ops::cpu {
namespace {

constexpr int kX = 0, kY = 1, kDy = 2;
constexpr std::int64_t kGrain = 64;

/// The layout in which an operand is worked on: its own, or row major where it is padded in an unknown way.
struct Bytes {
  explicit Bytes(const Operand& x) : desc(desc_of(x)) {
    const auto arrangement = arrangement_of(x);
    if (arrangement)
      padding = Padding(*arrangement, x.shape);
    else if (!is_dense(desc))
      desc = plain_desc(x.shape);
    floats = static_cast<std::int64_t>(desc.get_size() / sizeof(float));
  }
  Desc desc;
  Padding padding;
  std::int64_t floats = 0;
};

bool vectorized(const Attributes& a) {
  return vectors().map(a.function) != nullptr && !(a.function == Function::celu && a.alpha <= 0);
}

class Unary final : public ArrangedKernel {
 public:
  explicit Unary(const Operation& op)
      : attributes_(op.attributes),
        map_(vectorized(op.attributes) ? vectors().map(op.attributes.function) : nullptr),
        bytes_(op.inputs[0]) {
    const Desc& have = desc_of(op.inputs[0]);
    outputs_ = {layout_of(bytes_.desc)};
    input(kX, 0, have, bytes_.desc);
    output(kY, 0, bytes_.desc);
    if (have == bytes_.desc) in_place_ = 0;
  }

 private:
  void compute() override {
    const float* const x = data(kX);
    float* const y = data(kY);
    const auto alpha = static_cast<float>(attributes_.alpha), beta = static_cast<float>(attributes_.beta);
    in_pieces(bytes_.floats, kGrain, bytes_.floats, [&](std::int64_t begin, std::int64_t end) {
      if (map_ != nullptr) return map_(x + begin, y + begin, end - begin, alpha, beta);
      for (std::int64_t i = begin; i < end; ++i) y[i] = value_of(attributes_.function, attributes_, x[i]);
    });
    bytes_.padding.clear(y);
  }
  const Attributes attributes_;
  const Vectors::Map map_;
  const Bytes bytes_;
};

class UnaryGrad final : public ArrangedKernel {
 public:
  explicit UnaryGrad(const Operation& op)
      : attributes_(op.attributes),
        slope_(vectorized(op.attributes) ? vectors().slope(op.attributes.function) : nullptr),
        from_(grad_needs(op.attributes.function).x ? 0 : 1),
        bytes_(op.inputs[from_]) {
    outputs_ = {layout_of(bytes_.desc)};
    input(kX, from_, desc_of(op.inputs[from_]), bytes_.desc);
    input(kDy, 2, desc_of(op.inputs[2]), bytes_.desc);
    output(kY, 0, bytes_.desc);
    if (desc_of(op.inputs[2]) == bytes_.desc) in_place_ = 2;
  }

 private:
  void compute() override {
    const float *const from = data(kX), *const dy = data(kDy);
    float* const dx = data(kY);
    const auto alpha = static_cast<float>(attributes_.alpha), beta = static_cast<float>(attributes_.beta);
    in_pieces(bytes_.floats, kGrain, bytes_.floats, [&](std::int64_t begin, std::int64_t end) {
      if (slope_ != nullptr) return slope_(from + begin, dy + begin, dx + begin, end - begin, alpha, beta);
      for (std::int64_t i = begin; i < end; ++i)
        dx[i] = slope_of(attributes_.function, attributes_, from[i], from[i]) * dy[i];
    });
    bytes_.padding.clear(dx);
  }
  const Attributes attributes_;
  const Vectors::Slope slope_;
  const std::size_t from_;
  const Bytes bytes_;
};

bool of_floats(const Operation& op) {
  return op.outputs[0].type == DType::f32 && op.outputs[0].shape.elements() > 0;
}

}  // namespace

std::unique_ptr<Kernel> unary(const Operation& op) {
  if (!of_floats(op)) return nullptr;
  return std::make_unique<Unary>(op);
}

std::unique_ptr<Kernel> unary_grad(const Operation& op) {
  const GradNeeds needs = grad_needs(op.attributes.function);
  if (!of_floats(op) || (!needs.x && !needs.y)) return nullptr;
  return std::make_unique<UnaryGrad>(op);
}

std::unique_ptr<Kernel> elementwise_kernel(const Operation& op) {
  switch (op.kind) {
    case Kind::unary:
      return unary(op);
    case Kind::unary_grad:
      return unary_grad(op);
    case Kind::binary:
      return binary(op);
    case Kind::where:
      return where(op);
    case Kind::cast:
      return cast(op);
    default:
      return nullptr;
  }
}

}  // namespace trainyard::ops::cpu
