// One element of the result from one element of each operand.
#include <algorithm>

#include "common/ops/arithmetic.hpp"
#include "common/ops/dropout_mask.hpp"
#include "common/ops/functions.hpp"
#include "common/ops/reference/map.hpp"

namespace trainyard::ops::reference {
namespace {

template <typename Real>
std::unique_ptr<Kernel> unary(const Operation& op) {
  const std::int64_t count = op.inputs[0].shape.elements();
  const Attributes a = op.attributes;
  return by_type<Real>(op.inputs[0].type, [&]<typename T>(T) -> std::unique_ptr<Kernel> {
    const auto f = [a](T x) {
      if constexpr (std::is_integral_v<T>)
        return whole_value_of(a.function, a, x);
      else
        return value_of(a.function, a, x);
    };
    if (std::is_integral_v<T> && !takes_whole_numbers(a.function)) return nullptr;
    if (op.outputs[0].type == DType::u8 && op.inputs[0].type != DType::u8)
      return loops<Real>(op, [=](const Operands& at) {
        for (std::int64_t i = 0; i < count; ++i) at.out<std::uint8_t>(0)[i] = f(at.in<T>(0)[i]) != 0;
      });
    return loops<Real>(op, [=](const Operands& at) {
      for (std::int64_t i = 0; i < count; ++i) at.out<T>(0)[i] = f(at.in<T>(0)[i]);
    });
  });
}

template <typename Real>
std::unique_ptr<Kernel> unary_grad(const Operation& op) {
  if (op.outputs[0].type != DType::f32) return nullptr;
  const std::int64_t count = op.outputs[0].shape.elements();
  const Attributes a = op.attributes;
  const GradNeeds needs = grad_needs(a.function);
  return loops<Real>(op, [=](const Operands& at) {
    for (std::int64_t i = 0; i < count; ++i) {
      const Real x = needs.x ? at.in<Real>(0)[i] : 0, y = needs.y ? at.in<Real>(1)[i] : 0;
      at.out<Real>(0)[i] = slope_of(a.function, a, x, y) * at.in<Real>(2)[i];
    }
  });
}

template <typename Real>
std::unique_ptr<Kernel> binary(const Operation& op) {
  const Shape& y = op.outputs[0].shape;
  const std::int64_t count = y.elements();
  const Map a = broadcast_map(op.inputs[0].shape, y), b = broadcast_map(op.inputs[1].shape, y);
  const Arithmetic arithmetic = op.attributes.arithmetic;
  return by_type<Real>(op.inputs[0].type, [&]<typename T>(T) {
    return loops<Real>(op, [=](const Operands& at) {
      const T *left = at.in<T>(0), *right = at.in<T>(1);
      for (std::int64_t i = 0; i < count; ++i) {
        if (is_comparison(arithmetic))
          at.out<std::uint8_t>(0)[i] = holds(arithmetic, left[a(i)], right[b(i)]);
        else
          at.out<T>(0)[i] = combine(arithmetic, left[a(i)], right[b(i)]);
      }
    });
  });
}

template <typename Real>
std::unique_ptr<Kernel> where(const Operation& op) {
  const Shape& y = op.outputs[0].shape;
  const std::int64_t count = y.elements();
  const Map condition = broadcast_map(op.inputs[0].shape, y);
  const Map a = broadcast_map(op.inputs[1].shape, y), b = broadcast_map(op.inputs[2].shape, y);
  return by_size<Real>(op.outputs[0].type, [&]<typename T>(T) {
    return loops<Real>(op, [=](const Operands& at) {
      for (std::int64_t i = 0; i < count; ++i)
        at.out<T>(0)[i] = at.in<std::uint8_t>(0)[condition(i)] != 0 ? at.in<T>(1)[a(i)] : at.in<T>(2)[b(i)];
    });
  });
}

/// Srivastava and others, Dropout, 2014, section 10: scaled in training, so that inference does nothing.
template <typename Real>
std::unique_ptr<Kernel> dropout(const Operation& op) {
  const Attributes a = op.attributes;
  const Shape& shape = op.outputs[0].shape;
  const std::int64_t batch = shape[0], values = shape.volume(1);
  return loops<Real>(op, [=](const Operands& at) {
    for (std::int64_t n = 0; n < batch; ++n) {
      const DropoutMask mask(a.seed, *at.in<std::uint64_t>(2), at.in<std::uint64_t>(1)[n], a.rate);
      for (std::int64_t i = 0; i < values; ++i) {
        const double x = at.in<Real>(0)[n * values + i];
        at.out<Real>(0)[n * values + i] =
            static_cast<Real>(mask.keeps(static_cast<std::uint64_t>(i)) ? x / (1 - a.rate) : 0);
      }
    }
  });
}

}  // namespace

template <typename Real>
std::unique_ptr<Kernel> elementwise_kernel(const Operation& op) {
  switch (op.kind) {
    case Kind::unary:
      return unary<Real>(op);
    case Kind::unary_grad:
      return unary_grad<Real>(op);
    case Kind::binary:
      return binary<Real>(op);
    case Kind::where:
      return where<Real>(op);
    case Kind::cast:
      return cast<Real>(op);
    case Kind::dropout:
    case Kind::dropout_grad:
      return dropout<Real>(op);
    default:
      return nullptr;
  }
}

template std::unique_ptr<Kernel> elementwise_kernel<float>(const Operation&);
template std::unique_ptr<Kernel> elementwise_kernel<double>(const Operation&);

}  // namespace trainyard::ops::reference
