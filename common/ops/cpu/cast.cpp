// Casts: one loop a pair of types, over the elements as they lie. Between f32 and bf16 oneDNN has the better
// one.
#include "common/ops/arithmetic.hpp"
#include "common/ops/cpu/onednn.hpp"
#include "common/ops/cpu/parallel.hpp"
#include "common/ops/cpu/reorder.hpp"
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
  Cast(const Operation& op, std::int64_t count, LayoutPtr output)
      : loop_(loop_of(op.inputs[0].type, op.outputs[0].type)), count_(count) {
    outputs_ = {std::move(output)};
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
  const Operand& x = op.inputs[0];
  const DType from = x.type, to = op.outputs[0].type;
  std::int64_t count = op.outputs[0].shape.elements();
  LayoutPtr output = plain_layout(op.outputs[0].shape, to);
  if (!is_plain(x)) {
    const auto* blocked = dynamic_cast<const BlockedLayout*>(x.layout.get());
    if (blocked == nullptr || !tensor::is_real(to)) return nullptr;
    count = static_cast<std::int64_t>(x.layout->bytes / tensor::size_of(from));
    output = layout_of(with_type(blocked->desc, to));
    if (output->bytes != static_cast<std::size_t>(count) * tensor::size_of(to)) return nullptr;  // has gaps
    if (to == DType::f32 && output->same(*plain_layout(x.shape, to))) output = plain_layout(x.shape, to);
  }
  const bool short_way =
      (from == DType::f32 && to == DType::bf16) || (from == DType::bf16 && to == DType::f32);
  if (short_way && count > 0) {
    const Desc flat({count}, dnnl::memory::data_type::f32, Tag::a);
    return std::make_unique<Reorder>(with_type(flat, from), with_type(flat, to), std::move(output));
  }
  return std::make_unique<Cast>(op, count, std::move(output));
}

}  // namespace trainyard::ops::cpu
