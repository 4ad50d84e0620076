// From one type of numbers to another. Storage types are read and written as floats.
#include "common/ops/arithmetic.hpp"
#include "common/ops/reference/map.hpp"
#include "common/tensor/half.hpp"

namespace trainyard::ops::reference {
namespace {

struct Bf16 {
  std::uint16_t bits;
};
struct F16 {
  std::uint16_t bits;
};

template <typename T>
T widened(T x) {
  return x;
}
float widened(Bf16 x) { return tensor::float_from_bf16(x.bits); }
float widened(F16 x) { return tensor::float_from_f16(x.bits); }

template <typename To, typename From>
To narrowed(From x) {
  if constexpr (std::is_same_v<To, Bf16>)
    return {tensor::bf16_from_float(static_cast<float>(x))};
  else if constexpr (std::is_same_v<To, F16>)
    return {tensor::f16_from_float(static_cast<float>(x))};
  else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>)
    return whole_from<To>(x);
  else
    return static_cast<To>(x);
}

template <typename Real, typename Make>
std::unique_ptr<Kernel> by_storage(DType type, Make&& make) {
  if (type == DType::bf16) return make(Bf16{});
  if (type == DType::f16) return make(F16{});
  return by_type<Real>(type, std::forward<Make>(make));
}

}  // namespace

template <typename Real>
std::unique_ptr<Kernel> cast(const Operation& op) {
  const std::int64_t count = op.outputs[0].shape.elements();
  return by_storage<Real>(op.inputs[0].type, [&]<typename From>(From) {
    return by_storage<Real>(op.outputs[0].type, [&]<typename To>(To) {
      return loops<Real>(op, [=](const Operands& at) {
        for (std::int64_t i = 0; i < count; ++i) at.out<To>(0)[i] = narrowed<To>(widened(at.in<From>(0)[i]));
      });
    });
  });
}

template std::unique_ptr<Kernel> cast<float>(const Operation&);
template std::unique_ptr<Kernel> cast<double>(const Operation&);

}  // namespace trainyard::ops::reference
