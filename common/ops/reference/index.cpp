// Operations that look elements up.
#include <algorithm>

#include "common/ops/reference/map.hpp"

namespace trainyard::ops::reference {
namespace {

/// An index into `extent` elements; a negative one counts from the end.
std::int64_t inside(std::int64_t index, std::int64_t extent) {
  check(index >= -extent && index < extent, "an index points into the tensor");
  return index < 0 ? index + extent : index;
}

/// Element (o, k, i) of y is element (o, index[k], i) of x.
template <typename Real>
std::unique_ptr<Kernel> gather(const Operation& op) {
  const Lines x(op.inputs[0].shape, op.attributes.axis);
  const std::int64_t indices = op.inputs[1].shape.elements();
  return by_size<Real>(op.outputs[0].type, [&]<typename T>(T) {
    return by_index(op.inputs[1].type, [&]<typename I>(I) {
      return loops<Real>(op, [=](const Operands& at) {
        for (std::int64_t o = 0; o < x.outer; ++o)
          for (std::int64_t k = 0; k < indices; ++k) {
            const std::int64_t from = inside(at.in<I>(1)[k], x.extent);
            for (std::int64_t i = 0; i < x.inner; ++i)
              at.out<T>(0)[(o * indices + k) * x.inner + i] =
                  at.in<T>(0)[(o * x.extent + from) * x.inner + i];
          }
      });
    });
  });
}

template <typename Real>
std::unique_ptr<Kernel> gather_grad(const Operation& op) {
  if (op.outputs[0].type != DType::f32) return nullptr;
  const Lines x(op.outputs[0].shape, op.attributes.axis);
  const std::int64_t indices = op.inputs[1].shape.elements(), zeros = op.outputs[0].shape.elements();
  return by_index(op.inputs[1].type, [&]<typename I>(I) {
    return loops<Real>(op, [=](const Operands& at) {
      std::fill_n(at.out<Real>(0), zeros, Real{0});
      for (std::int64_t o = 0; o < x.outer; ++o)
        for (std::int64_t k = 0; k < indices; ++k) {
          const std::int64_t to = inside(at.in<I>(1)[k], x.extent);
          for (std::int64_t i = 0; i < x.inner; ++i)
            at.out<Real>(0)[(o * x.extent + to) * x.inner + i] +=
                at.in<Real>(0)[(o * indices + k) * x.inner + i];
        }
    });
  });
}

/// Where element `i` of an index tensor points to in x.
struct ElementMap {
  ElementMap(const Operation& op)
      : index(op.inputs[1].shape),
        x{index.dims(), strides_of(op.inputs[0].shape), 0},
        axis(op.attributes.axis),
        stride(x.strides[static_cast<std::size_t>(axis)]),
        extent(op.inputs[0].shape[static_cast<std::size_t>(axis)]) {
    x.strides[static_cast<std::size_t>(axis)] = 0;
  }
  std::int64_t operator()(std::int64_t i, std::int64_t to) const {
    return x(i) + inside(to, extent) * stride;
  }
  Shape index;
  Map x;  // along all axes but `axis`
  std::int64_t axis, stride, extent;
};

template <typename Real>
std::unique_ptr<Kernel> gather_elements(const Operation& op) {
  const ElementMap map(op);
  const std::int64_t count = op.outputs[0].shape.elements();
  return by_size<Real>(op.outputs[0].type, [&]<typename T>(T) {
    return by_index(op.inputs[1].type, [&]<typename I>(I) {
      return loops<Real>(op, [=](const Operands& at) {
        for (std::int64_t i = 0; i < count; ++i) at.out<T>(0)[i] = at.in<T>(0)[map(i, at.in<I>(1)[i])];
      });
    });
  });
}

template <typename Real>
std::unique_ptr<Kernel> scatter_elements(const Operation& op) {
  const ElementMap map(op);
  const std::int64_t all = op.outputs[0].shape.elements(), count = op.inputs[1].shape.elements();
  const bool accumulate = op.attributes.accumulate;
  return by_type<Real>(op.outputs[0].type, [&]<typename T>(T) {
    return by_index(op.inputs[1].type, [&]<typename I>(I) {
      return loops<Real>(op, [=](const Operands& at) {
        std::copy_n(at.in<T>(0), all, at.out<T>(0));
        for (std::int64_t i = 0; i < count; ++i) {
          T& to = at.out<T>(0)[map(i, at.in<I>(1)[i])];
          const T update = at.in<T>(2)[i];
          to = accumulate ? combine(Arithmetic::add, to, update) : update;
        }
      });
    });
  });
}

template <typename Real>
std::unique_ptr<Kernel> one_hot(const Operation& op) {
  const Lines y(op.outputs[0].shape, op.attributes.axis);
  const DType type = op.outputs[0].type;
  const std::uint64_t on = element_bits<Real>(type, op.attributes.beta),
                      off = element_bits<Real>(type, op.attributes.alpha);
  return by_size<Real>(type, [&]<typename T>(T) {
    return by_index(op.inputs[0].type, [&]<typename I>(I) {
      return loops<Real>(op, [=](const Operands& at) {
        for (std::int64_t line = 0; line < y.count(); ++line) {
          std::int64_t hot = at.in<I>(0)[line];
          if (hot < 0) hot += y.extent;
          for (std::int64_t k = 0; k < y.extent; ++k)
            at.out<T>(0)[y.first(line, y.extent) + k * y.inner] = static_cast<T>(k == hot ? on : off);
        }
      });
    });
  });
}

}  // namespace

template <typename Real>
std::unique_ptr<Kernel> index_kernel(const Operation& op) {
  switch (op.kind) {
    case Kind::gather:
      return gather<Real>(op);
    case Kind::gather_grad:
      return gather_grad<Real>(op);
    case Kind::gather_elements:
      return gather_elements<Real>(op);
    case Kind::scatter_elements:
      return scatter_elements<Real>(op);
    case Kind::one_hot:
      return one_hot<Real>(op);
    default:
      return nullptr;
  }
}

template std::unique_ptr<Kernel> index_kernel<float>(const Operation&);
template std::unique_ptr<Kernel> index_kernel<double>(const Operation&);

}  // namespace trainyard::ops::reference
