// Operations that look elements up. An index outside of its tensor reads and writes nothing: what it would
// give is not-a-number, or 0 of whole numbers.
#include <limits>

#include "common/ops/arithmetic.hpp"
#include "common/ops/cuda/kernel.hpp"
#include "common/ops/cuda/numbers.hpp"
#include "common/ops/cuda/order.hpp"
#include "common/ops/cuda/walk.hpp"

namespace trainyard::ops::cuda {
namespace {

/// An index into `extent` elements, a negative one counted from the end; -1: outside.
template <typename I>
__device__ std::int64_t inside(I index, std::int64_t extent) {
  const std::int64_t at = index < 0 ? index + extent : static_cast<std::int64_t>(index);
  return at >= 0 && at < extent ? at : -1;
}

/// Element (o, k, i) of y is element (o, index[k], i) of x.
template <typename T, typename I>
struct GatherEach {
  Lines lines;
  std::int64_t indices;
  T nothing;
  const T* x;
  const I* index;
  T* y;
  __device__ void operator()(std::int64_t at) const {
    const std::int64_t i = at % lines.inner, k = at / lines.inner % indices, o = at / lines.inner / indices;
    const std::int64_t from = inside(index[k], lines.extent);
    y[at] = from < 0 ? nothing : x[(o * lines.extent + from) * lines.inner + i];
  }
};

/// The bits of not-a-number; all ones are one in every format of real numbers.
template <typename T>
T nothing_of(DType type) {
  return tensor::is_real(type) ? static_cast<T>(~std::uint64_t{0}) : T{0};
}

KernelPtr gather(const Operation& op, Queue& queue) {
  const Lines lines(op.inputs[0].shape, op.attributes.axis);
  const std::int64_t indices = op.inputs[1].shape.elements(), count = op.outputs[0].shape.elements();
  const DType type = op.outputs[0].type;
  return by_size(type, [&]<typename T>(T) {
    return by_index(op.inputs[1].type, [&]<typename I>(I) -> KernelPtr {
      return closure(op, [=, &queue](const At& at) {
        each(queue, count,
             GatherEach<T, I>{lines, indices, nothing_of<T>(type), at.in<T>(0), at.in<I>(1), at.out<T>(0)});
      });
    });
  });
}

/// One thread a line (o, i): it alone writes there, in the order of the indices.
template <typename T, typename I>
struct GatherGradLine {
  Lines lines;
  std::int64_t indices;
  const T* dy;
  const I* index;
  T* dx;
  __device__ void operator()(std::int64_t line) const {
    const std::int64_t o = line / lines.inner, i = line % lines.inner;
    for (std::int64_t k = 0; k < lines.extent; ++k)
      dx[(o * lines.extent + k) * lines.inner + i] = narrow<T>(0.0f);
    for (std::int64_t k = 0; k < indices; ++k) {
      const std::int64_t to = inside(index[k], lines.extent);
      if (to < 0) continue;
      T& at = dx[(o * lines.extent + to) * lines.inner + i];
      at = narrow<T>(widen(at) + widen(dy[(o * indices + k) * lines.inner + i]));
    }
  }
};

/// Sums of the rows of dy that were taken from each row: see order.hpp.
template <typename T>
struct GatherGradRows {
  std::int64_t width;
  RowOrder order;
  const T* dy;
  T* dx;
  __device__ void operator()(std::int64_t at) const {
    const std::int64_t row = at / width, i = at % width;
    float sum = 0;
    for (std::int64_t k = order.begins[row]; k < order.begins[row + 1]; ++k)
      sum += widen(dy[static_cast<std::int64_t>(order.places[k]) * width + i]);
    dx[at] = narrow<T>(sum);
  }
};

template <typename I>
struct RowOfIndex {
  const I* index;
  std::int64_t extent;
  __device__ std::int64_t operator()(std::int64_t k) const { return inside(index[k], extent); }
};

KernelPtr gather_grad(const Operation& op, Queue& queue) {
  const Lines lines(op.outputs[0].shape, op.attributes.axis);
  const std::int64_t indices = op.inputs[1].shape.elements(), all = op.outputs[0].shape.elements();
  const bool sorted = lines.outer == 1 && indices >= 64;
  return by_real(op.outputs[0].type, [&]<typename T>(T) {
    return by_index(op.inputs[1].type, [&]<typename I>(I) -> KernelPtr {
      if (!sorted)
        return closure(op, [=, &queue](const At& at) {
          each(queue, lines.count(),
               GatherGradLine<T, I>{lines, indices, at.in<T>(0), at.in<I>(1), at.out<T>(0)});
        });
      auto kernel = closure(op, [=, &queue](const At& at) {
        const RowOrder order =
            order_rows(queue, indices, lines.extent, at.scratch(), RowOfIndex<I>{at.in<I>(1), lines.extent});
        each(queue, all, GatherGradRows<T>{lines.inner, order, at.in<T>(0), at.out<T>(0)});
      });
      kernel->needs(order_bytes(indices, lines.extent));
      return kernel;
    });
  });
}

/// Where element `i` of an index tensor points to in x.
struct ElementWalk {
  Walk x;  // along all axes but the one
  std::int64_t stride, extent;
  template <typename I>
  __device__ std::int64_t operator()(std::int64_t i, I to) const {
    const std::int64_t at = inside(to, extent);
    return at < 0 ? -1 : x(i) + at * stride;
  }
};

bool element_walk(const Operation& op, ElementWalk& walk) {
  const auto axis = static_cast<std::size_t>(op.attributes.axis);
  std::vector<std::int64_t> strides = strides_of(op.inputs[0].shape);
  walk.stride = strides[axis];
  walk.extent = op.inputs[0].shape[axis];
  strides[axis] = 0;
  return make_walk(op.inputs[1].shape.dims(), strides, 0, walk.x);
}

template <typename T, typename I>
struct GatherElementsEach {
  ElementWalk walk;
  T nothing;
  const T* x;
  const I* index;
  T* y;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t from = walk(i, index[i]);
    y[i] = from < 0 ? nothing : x[from];
  }
};

KernelPtr gather_elements(const Operation& op, Queue& queue) {
  ElementWalk walk{};
  if (!element_walk(op, walk)) return nullptr;
  const std::int64_t count = op.outputs[0].shape.elements();
  const DType type = op.outputs[0].type;
  return by_size(type, [&]<typename T>(T) {
    return by_index(op.inputs[1].type, [&]<typename I>(I) -> KernelPtr {
      return closure(op, [=, &queue](const At& at) {
        each(queue, count,
             GatherElementsEach<T, I>{walk, nothing_of<T>(type), at.in<T>(0), at.in<I>(1), at.out<T>(0)});
      });
    });
  });
}

/// One thread a line of the index along the axis: lines never meet, and the order along one is kept.
template <typename T, typename I>
struct ScatterLine {
  ElementWalk walk;
  Lines lines;  // of the index
  bool accumulate;
  const I* index;
  const T* updates;
  T* y;
  __device__ void operator()(std::int64_t line) const {
    const std::int64_t first = lines.first(line, lines.extent);
    for (std::int64_t k = 0; k < lines.extent; ++k) {
      const std::int64_t i = first + k * lines.inner, to = walk(i, index[i]);
      if (to < 0) continue;
      y[to] = accumulate ? narrow<T>(combine(Arithmetic::add, widen(y[to]), widen(updates[i]))) : updates[i];
    }
  }
};

KernelPtr scatter_elements(const Operation& op, Queue& queue) {
  ElementWalk walk{};
  if (!element_walk(op, walk)) return nullptr;
  const Lines lines(op.inputs[1].shape, op.attributes.axis);
  const std::size_t bytes =
      static_cast<std::size_t>(op.outputs[0].shape.elements()) * tensor::size_of(op.outputs[0].type);
  return by_type(op.outputs[0].type, [&]<typename T>(T) {
    return by_index(op.inputs[1].type, [&]<typename I>(I) -> KernelPtr {
      return closure(op, [=, &queue, accumulate = op.attributes.accumulate](const At& at) {
        copy(queue, at.out(0), at.in(0), bytes);
        each(queue, lines.count(),
             ScatterLine<T, I>{walk, lines, accumulate, at.in<I>(1), at.in<T>(2), at.out<T>(0)});
      });
    });
  });
}

template <typename T, typename I>
struct OneHotEach {
  Lines lines;
  T on, off;
  const I* index;
  T* y;
  __device__ void operator()(std::int64_t at) const {
    const std::int64_t i = at % lines.inner, k = at / lines.inner % lines.extent,
                       o = at / lines.inner / lines.extent;
    std::int64_t hot = index[o * lines.inner + i];
    if (hot < 0) hot += lines.extent;
    y[at] = k == hot ? on : off;
  }
};

template <typename T>
T number_of(double value) {
  if constexpr (kIsReal<T>)
    return narrow<T>(static_cast<float>(value));
  else
    return whole_from<T>(value);
}

KernelPtr one_hot(const Operation& op, Queue& queue) {
  const Lines lines(op.outputs[0].shape, op.attributes.axis);
  const std::int64_t count = op.outputs[0].shape.elements();
  const double on = op.attributes.beta, off = op.attributes.alpha;
  return by_type(op.outputs[0].type, [&]<typename T>(T) {
    return by_index(op.inputs[0].type, [&]<typename I>(I) -> KernelPtr {
      return closure(op, [=, &queue](const At& at) {
        each(queue, count,
             OneHotEach<T, I>{lines, number_of<T>(on), number_of<T>(off), at.in<I>(0), at.out<T>(0)});
      });
    });
  });
}

}  // namespace

KernelPtr index_kernel(const Operation& op, Queue& queue) {
  switch (op.kind) {
    case Kind::gather:
      return gather(op, queue);
    case Kind::gather_grad:
      return gather_grad(op, queue);
    case Kind::gather_elements:
      return gather_elements(op, queue);
    case Kind::scatter_elements:
      return scatter_elements(op, queue);
    case Kind::one_hot:
      return one_hot(op, queue);
    default:
      return nullptr;
  }
}

}  // namespace trainyard::ops::cuda
