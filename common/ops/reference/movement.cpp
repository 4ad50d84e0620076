// Operations that move elements: each element of the result is one of the operand's, found by a Map.
#include <algorithm>

#include "common/ops/reference/map.hpp"

namespace trainyard::ops::reference {
namespace {

/// y[i] = x[map(i)].
template <typename Real>
std::unique_ptr<Kernel> taken(const Operation& op, const Map& map) {
  const std::int64_t count = op.outputs[0].shape.elements();
  return by_size<Real>(op.outputs[0].type, [&]<typename T>(T) {
    return loops<Real>(op, [=](const Operands& at) {
      for (std::int64_t i = 0; i < count; ++i) at.out<T>(0)[i] = at.in<T>(0)[map(i)];
    });
  });
}

template <typename Real>
std::unique_ptr<Kernel> reshape(const Operation& op) {
  return taken<Real>(op, {op.outputs[0].shape.dims(), strides_of(op.outputs[0].shape), 0});
}

template <typename Real>
std::unique_ptr<Kernel> transpose(const Operation& op) {
  Map map{op.outputs[0].shape.dims(), {}, 0};
  const std::vector<std::int64_t> strides = strides_of(op.inputs[0].shape);
  for (const auto axis : op.attributes.axes) map.strides.push_back(strides[static_cast<std::size_t>(axis)]);
  return taken<Real>(op, map);
}

/// From the elements of the slice `y` to those of `x`.
Map slice_map(const Attributes& a, const Shape& x, const Shape& y) {
  Map map{y.dims(), strides_of(x), 0};
  for (std::size_t i = 0; i < a.axes.size(); ++i) {
    std::int64_t& stride = map.strides[static_cast<std::size_t>(a.axes[i])];
    map.base += a.starts[i] * stride;
    stride *= a.steps[i];
  }
  return map;
}

template <typename Real>
std::unique_ptr<Kernel> slice_grad(const Operation& op) {
  const Shape &dx = op.outputs[0].shape, &dy = op.inputs[0].shape;
  const Map map = slice_map(op.attributes, dx, dy);
  const std::int64_t zeros = dx.elements(), count = dy.elements();
  return by_size<Real>(op.outputs[0].type, [&]<typename T>(T) {
    return loops<Real>(op, [=](const Operands& at) {
      std::fill_n(at.out<T>(0), zeros, T{0});
      for (std::int64_t i = 0; i < count; ++i) at.out<T>(0)[map(i)] = at.in<T>(0)[i];
    });
  });
}

template <typename Real>
std::unique_ptr<Kernel> concat(const Operation& op) {
  const auto axis = static_cast<std::size_t>(op.attributes.axis);
  std::vector<Map> maps;  // from the elements of each operand to those of y
  std::vector<std::int64_t> counts;
  Map map{{}, strides_of(op.outputs[0].shape), 0};
  for (const Operand& x : op.inputs) {
    map.dims = x.shape.dims();
    maps.push_back(map);
    counts.push_back(x.shape.elements());
    map.base += x.shape[axis] * map.strides[axis];
  }
  return by_size<Real>(op.outputs[0].type, [&]<typename T>(T) {
    return loops<Real>(op, [=](const Operands& at) {
      for (std::size_t k = 0; k < maps.size(); ++k)
        for (std::int64_t i = 0; i < counts[k]; ++i) at.out<T>(0)[maps[k](i)] = at.in<T>(k)[i];
    });
  });
}

template <typename Real>
std::unique_ptr<Kernel> expand(const Operation& op) {
  const Shape &x = op.inputs[0].shape, &y = op.outputs[0].shape;
  const Map map = broadcast_map(x, y);
  if (op.attributes.reduction != Reduction::mean) return taken<Real>(op, map);
  if (op.outputs[0].type != DType::f32) return nullptr;
  const std::int64_t count = y.elements(), from = x.elements();
  return loops<Real>(op, [=](const Operands& at) {
    const Real copies = static_cast<Real>(from == 0 ? 1 : count / from);
    for (std::int64_t i = 0; i < count; ++i) at.out<Real>(0)[i] = at.in<Real>(0)[map(i)] / copies;
  });
}

/// From the elements of a padded tensor to those of `x`; -1 where there is none.
struct PadMap {
  PadMap(const Attributes& a, const Shape& from, const Shape& to)
      : mode(a.pad_mode), starts(a.starts), x(from.dims()), y(to.dims()), strides(strides_of(from)) {}

  std::int64_t operator()(std::int64_t element) const {
    std::int64_t at = 0;
    bool outside = false;
    for (std::size_t axis = y.size(); axis-- > 0;) {
      std::int64_t k = element % y[axis] - starts[axis];
      element /= y[axis];
      const std::int64_t last = x[axis] - 1;
      if (mode == PadMode::edge) k = std::clamp<std::int64_t>(k, 0, last);
      if (mode == PadMode::reflect) k = k < 0 ? -k : k > last ? 2 * last - k : k;
      outside = outside || k < 0 || k > last;
      at += k * strides[axis];
    }
    return outside ? -1 : at;
  }
  PadMode mode;
  std::vector<std::int64_t> starts, x, y, strides;
};

template <typename Real>
std::unique_ptr<Kernel> pad(const Operation& op) {
  const PadMap map(op.attributes, op.inputs[0].shape, op.outputs[0].shape);
  const std::int64_t count = op.outputs[0].shape.elements();
  const std::uint64_t constant = element_bits<Real>(op.outputs[0].type, op.attributes.alpha);
  return by_size<Real>(op.outputs[0].type, [&]<typename T>(T) {
    return loops<Real>(op, [=](const Operands& at) {
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t from = map(i);
        at.out<T>(0)[i] = from < 0 ? static_cast<T>(constant) : at.in<T>(0)[from];
      }
    });
  });
}

template <typename Real>
std::unique_ptr<Kernel> pad_grad(const Operation& op) {
  if (op.outputs[0].type != DType::f32) return nullptr;
  const PadMap map(op.attributes, op.outputs[0].shape, op.inputs[0].shape);
  const std::int64_t zeros = op.outputs[0].shape.elements(), count = op.inputs[0].shape.elements();
  return loops<Real>(op, [=](const Operands& at) {
    std::fill_n(at.out<Real>(0), zeros, Real{0});
    for (std::int64_t i = 0; i < count; ++i)
      if (const std::int64_t to = map(i); to >= 0) at.out<Real>(0)[to] += at.in<Real>(0)[i];
  });
}

}  // namespace

template <typename Real>
std::unique_ptr<Kernel> movement_kernel(const Operation& op) {
  switch (op.kind) {
    case Kind::reshape:
      return reshape<Real>(op);
    case Kind::transpose:
      return transpose<Real>(op);
    case Kind::slice:
      return taken<Real>(op, slice_map(op.attributes, op.inputs[0].shape, op.outputs[0].shape));
    case Kind::slice_grad:
      return slice_grad<Real>(op);
    case Kind::concat:
      return concat<Real>(op);
    case Kind::pad:
      return pad<Real>(op);
    case Kind::pad_grad:
      return pad_grad<Real>(op);
    case Kind::expand:
      return expand<Real>(op);
    default:
      return nullptr;
  }
}

template std::unique_ptr<Kernel> movement_kernel<float>(const Operation&);
template std::unique_ptr<Kernel> movement_kernel<double>(const Operation&);

}  // namespace trainyard::ops::reference
