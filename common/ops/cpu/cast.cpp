// Casts between row-major tensors: one loop a pair of types.
#include "common/ops/arithmetic.hpp"
#include "common/ops/cpu/onednn.hpp"
#include "common/ops/cpu/parallel.hpp"
#include "common/tensor/half.hpp"

namespace trainyard::ops::cpu {
namespace {

struct Bf16 {
  std::uint16_t bits;
  float widened() const { return tensor::float_from_bf16(bits); }
  static Bf16 narrowed(float x) { return {tensor::bf16_from_float(x)}; }
};
struct F16 {
  std::uint16_t bits;
  float widened() const { return tensor::float_from_f16(bits); }
  static F16 narrowed(float x) { return {tensor::f16_from_float(x)}; }
};

template <typename To, typename From>
To converted(From x) {
  if constexpr (std::is_class_v<From>)
    return converted<To>(x.widened());
  else if constexpr (std::is_class_v<To>)
    return To::narrowed(static_cast<float>(x));
  else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>)
    return whole_from<To>(x);
  else
    return static_cast<To>(x);
}

using Loop = void (*)(const void* from, void* to, std::int64_t count);

template <typename From, typename To>
void loop(const void* from, void* to, std::int64_t count) {
  const auto* const x = static_cast<const From*>(from);
  auto* const y = static_cast<To*>(to);
  in_pieces(count, 64, count, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) y[i] = converted<To>(x[i]);
  });
}

template <typename From>
Loop loop_to(DType type) {
  switch (type) {
    case DType::f32:
      return loop<From, float>;
    case DType::bf16:
      return loop<From, Bf16>;
    case DType::f16:
      return loop<From, F16>;
    case DType::i32:
      return loop<From, std::int32_t>;
    case DType::i64:
      return loop<From, std::int64_t>;
    case DType::u8:
      return loop<From, std::uint8_t>;
  }
  return nullptr;
}

Loop loop_of(DType from, DType to) {
  switch (from) {
    case DType::f32:
      return loop_to<float>(to);
    case DType::bf16:
      return loop_to<Bf16>(to);
    case DType::f16:
      return loop_to<F16>(to);
    case DType::i32:
      return loop_to<std::int32_t>(to);
    case DType::i64:
      return loop_to<std::int64_t>(to);
    case DType::u8:
      return loop_to<std::uint8_t>(to);
  }
  return nullptr;
}

class Cast final : public Kernel {
 public:
  explicit Cast(const Operation& op)
      : loop_(loop_of(op.inputs[0].type, op.outputs[0].type)), count_(op.outputs[0].shape.elements()) {
    outputs_ = {plain_layout(op.outputs[0].shape, op.outputs[0].type)};
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    loop_(inputs[0], outputs[0], count_);
  }

 private:
  Loop loop_;
  std::int64_t count_;
};

}  // namespace

std::unique_ptr<Kernel> cast(const Operation& op) {
  if (!is_plain(op.inputs[0])) return nullptr;
  return std::make_unique<Cast>(op);
}

}  // namespace trainyard::ops::cpu
