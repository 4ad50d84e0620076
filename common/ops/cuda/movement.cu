// Operations that move elements: each element of the result is one of the operand's, found by a Walk.
#include <algorithm>

#include "common/ops/arithmetic.hpp"
#include "common/ops/cuda/kernel.hpp"
#include "common/ops/cuda/numbers.hpp"
#include "common/ops/cuda/walk.hpp"
#include "common/ops/element_bits.hpp"

namespace trainyard::ops::cuda {
namespace {

constexpr int kTile = 32;

/// One tile of a matrix, through shared memory: neighbours are read and written together.
template <typename T>
struct TurnTeam {
  std::int64_t rows, columns, across, down;  // tiles of a matrix along its columns and rows
  const T* from;
  T* to;
  __device__ void operator()(const Team& team) const {
    T* const tile = team.shared<T>();  // kTile rows of kTile + 1
    const std::int64_t matrix = team.index() / (across * down) * rows * columns;
    const std::int64_t row = team.index() / across % down * kTile, column = team.index() % across * kTile;
    const int x = team.thread() % kTile, y = team.thread() / kTile, step = team.threads() / kTile;
    for (int r = y; r < kTile; r += step)
      if (row + r < rows && column + x < columns)
        tile[r * (kTile + 1) + x] = from[matrix + (row + r) * columns + column + x];
    team.sync();
    for (int c = y; c < kTile; c += step)
      if (column + c < columns && row + x < rows)
        to[matrix + (column + c) * rows + row + x] = tile[x * (kTile + 1) + c];
  }
};

/// y[i] = x[walk(i)].
template <typename T>
struct TakeEach {
  Walk walk;
  const T* x;
  T* y;
  __device__ void operator()(std::int64_t i) const { y[i] = x[walk(i)]; }
};

/// y[walk(i)] = x[i].
template <typename T>
struct PutEach {
  Walk walk;
  const T* x;
  T* y;
  __device__ void operator()(std::int64_t i) const { y[walk(i)] = x[i]; }
};

std::size_t bytes_of(const Signature& of) {
  return static_cast<std::size_t>(of.shape.elements()) * tensor::size_of(of.type);
}

KernelPtr taken(const Operation& op, Queue& queue, const Walk& walk) {
  const std::int64_t count = op.outputs[0].shape.elements();
  return by_size(op.outputs[0].type, [&]<typename T>(T) -> KernelPtr {
    return closure(op, [=, &queue](const At& at) {
      each(queue, count, TakeEach<T>{walk, at.in<T>(0), at.out<T>(0)});
    });
  });
}

/// An image that lies channels last is turned; anything else stays as it lies.
KernelPtr reshape(const Operation& op, Queue& queue) {
  const Operand& x = op.inputs[0];
  const std::size_t bytes = bytes_of(op.outputs[0]);
  if (is_channels_last(x)) {
    const Image image(x);
    return closure(op, [=, &queue, size = tensor::size_of(x.type)](const At& at) {
      turn_matrices(queue, at.in(0), at.out(0), image.n, image.pixels(), image.c, size);
    });
  }
  auto kernel = closure(op, [=, &queue](const At& at) { copy(queue, at.out(0), at.in(0), bytes); });
  kernel->views();
  return kernel;
}

KernelPtr transpose(const Operation& op, Queue& queue) {
  const Shape &x = op.inputs[0].shape, &y = op.outputs[0].shape;
  std::vector<std::int64_t> strides;
  for (const auto axis : op.attributes.axes) strides.push_back(strides_of(x)[static_cast<std::size_t>(axis)]);
  Walk walk;
  if (!make_walk(y.dims(), strides, 0, walk)) return nullptr;
  // Matrices: the last two axes of what is left when axes that lie as one are joined.
  const int r = walk.rank;
  const bool swaps = r >= 2 && r <= 3 && walk.strides[r - 2] == 1 &&
                     walk.strides[r - 1] == walk.dims[r - 2] &&
                     (r == 2 || walk.strides[0] == walk.dims[1] * walk.dims[2]);
  if (swaps) {
    const std::int64_t outer = r == 3 ? walk.dims[0] : 1, rows = walk.dims[r - 1], columns = walk.dims[r - 2];
    return closure(op, [=, &queue, size = tensor::size_of(op.outputs[0].type)](const At& at) {
      turn_matrices(queue, at.in(0), at.out(0), outer, rows, columns, size);
    });
  }
  return taken(op, queue, walk);
}

/// From the elements of the slice `y` to those of `x`.
bool slice_walk(const Attributes& a, const Shape& x, const Shape& y, Walk& walk) {
  std::vector<std::int64_t> strides = strides_of(x);
  std::int64_t base = 0;
  for (std::size_t i = 0; i < a.axes.size(); ++i) {
    std::int64_t& stride = strides[static_cast<std::size_t>(a.axes[i])];
    base += a.starts[i] * stride;
    stride *= a.steps[i];
  }
  return make_walk(y.dims(), strides, base, walk);
}

KernelPtr slice(const Operation& op, Queue& queue) {
  Walk walk;
  if (!slice_walk(op.attributes, op.inputs[0].shape, op.outputs[0].shape, walk)) return nullptr;
  return taken(op, queue, walk);
}

KernelPtr slice_grad(const Operation& op, Queue& queue) {
  Walk walk;
  if (!slice_walk(op.attributes, op.outputs[0].shape, op.inputs[0].shape, walk)) return nullptr;
  const std::int64_t count = op.inputs[0].shape.elements();
  const std::size_t bytes = bytes_of(op.outputs[0]);
  return by_size(op.outputs[0].type, [&]<typename T>(T) -> KernelPtr {
    return closure(op, [=, &queue](const At& at) {
      zero(queue, at.out(0), bytes);
      each(queue, count, PutEach<T>{walk, at.in<T>(0), at.out<T>(0)});
    });
  });
}

KernelPtr concat(const Operation& op, Queue& queue) {
  const auto axis = static_cast<std::size_t>(op.attributes.axis);
  const std::vector<std::int64_t> strides = strides_of(op.outputs[0].shape);
  std::vector<Walk> walks;  // from the elements of each operand to those of y
  std::vector<std::int64_t> counts;
  std::int64_t base = 0;
  for (const Operand& x : op.inputs) {
    Walk walk;
    if (!make_walk(x.shape.dims(), strides, base, walk)) return nullptr;
    walks.push_back(walk);
    counts.push_back(x.shape.elements());
    base += x.shape[axis] * strides[axis];
  }
  return by_size(op.outputs[0].type, [&]<typename T>(T) -> KernelPtr {
    return closure(op, [=, &queue](const At& at) {
      for (std::size_t k = 0; k < walks.size(); ++k)
        each(queue, counts[k], PutEach<T>{walks[k], at.in<T>(k), at.out<T>(0)});
    });
  });
}

template <typename T>
struct ExpandMean {
  Walk walk;
  float copies;
  const T* x;
  T* y;
  __device__ void operator()(std::int64_t i) const { y[i] = narrow<T>(widen(x[walk(i)]) / copies); }
};

KernelPtr expand(const Operation& op, Queue& queue) {
  const Shape &x = op.inputs[0].shape, &y = op.outputs[0].shape;
  Walk walk;
  if (!broadcast_walk(x, y, walk)) return nullptr;
  if (op.attributes.reduction != Reduction::mean) return taken(op, queue, walk);
  const std::int64_t count = y.elements(), from = x.elements();
  return by_real(op.outputs[0].type, [&]<typename T>(T) -> KernelPtr {
    return closure(op, [=, &queue](const At& at) {
      each(queue, count,
           ExpandMean<T>{walk, static_cast<float>(from == 0 ? 1 : count / from), at.in<T>(0), at.out<T>(0)});
    });
  });
}

/// From the elements of a padded tensor to those of `x`; -1 where there is none.
struct PadWalk {
  PadMode mode = PadMode::constant;
  int rank = 0;
  std::int64_t starts[Walk::kRankMax] = {}, x[Walk::kRankMax] = {}, y[Walk::kRankMax] = {},
               strides[Walk::kRankMax] = {};

  /// The coordinate in x of coordinate k of y along an axis.
  __device__ std::int64_t inside(int axis, std::int64_t coordinate) const {
    std::int64_t k = coordinate - starts[axis];
    const std::int64_t last = x[axis] - 1;
    if (mode == PadMode::edge) k = k < 0 ? 0 : k > last ? last : k;
    if (mode == PadMode::reflect) k = k < 0 ? -k : k > last ? 2 * last - k : k;
    return k < 0 || k > last ? -1 : k;
  }
  __device__ std::int64_t operator()(std::int64_t element) const {
    std::int64_t at = 0;
    bool outside = false;
    for (int axis = rank - 1; axis >= 0; --axis) {
      const std::int64_t k = inside(axis, element % y[axis]);
      element /= y[axis];
      outside = outside || k < 0;
      at += k * strides[axis];
    }
    return outside ? -1 : at;
  }
};

bool pad_walk(const Attributes& a, const Shape& x, const Shape& y, PadWalk& walk) {
  if (x.rank() > Walk::kRankMax) return false;
  walk.mode = a.pad_mode;
  walk.rank = static_cast<int>(x.rank());
  const std::vector<std::int64_t> strides = strides_of(x);
  for (std::size_t axis = 0; axis < x.rank(); ++axis) {
    walk.starts[axis] = a.starts[axis];
    walk.x[axis] = x[axis];
    walk.y[axis] = y[axis];
    walk.strides[axis] = strides[axis];
  }
  return true;
}

template <typename T>
struct PadEach {
  PadWalk walk;
  T constant;
  const T* x;
  T* y;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t from = walk(i);
    y[i] = from < 0 ? constant : x[from];
  }
};

KernelPtr pad(const Operation& op, Queue& queue) {
  PadWalk walk;
  if (!pad_walk(op.attributes, op.inputs[0].shape, op.outputs[0].shape, walk)) return nullptr;
  const std::int64_t count = op.outputs[0].shape.elements();
  const std::uint64_t constant = element_bits<float>(op.outputs[0].type, op.attributes.alpha);
  return by_size(op.outputs[0].type, [&]<typename T>(T) -> KernelPtr {
    return closure(op, [=, &queue](const At& at) {
      each(queue, count, PadEach<T>{walk, static_cast<T>(constant), at.in<T>(0), at.out<T>(0)});
    });
  });
}

/// Sums what the places of y give that look at element i of x, in their order. An axis has at most three such
/// places when it is reflected, and any number at its edges.
template <typename T>
struct PadGradEach {
  PadWalk walk;
  const T* dy;
  T* dx;

  /// The next coordinate of y from `from` on that looks at coordinate `k` of x; the extent of y: none.
  __device__ std::int64_t next(int axis, std::int64_t k, std::int64_t from) const {
    if (walk.mode == PadMode::constant) {
      const std::int64_t at = k + walk.starts[axis];
      return at >= from && at < walk.y[axis] ? at : walk.y[axis];
    }
    while (from < walk.y[axis] && walk.inside(axis, from) != k) ++from;
    return from;
  }
  __device__ void operator()(std::int64_t i) const {
    std::int64_t wanted[Walk::kRankMax], at[Walk::kRankMax];
    for (int axis = walk.rank - 1; axis >= 0; --axis) {
      wanted[axis] = i / walk.strides[axis] % walk.x[axis];
      at[axis] = next(axis, wanted[axis], 0);
      if (at[axis] == walk.y[axis]) {
        dx[i] = narrow<T>(0.0f);
        return;
      }
    }
    float sum = 0;
    for (;;) {
      std::int64_t place = 0;
      for (int axis = 0; axis < walk.rank; ++axis) place = place * walk.y[axis] + at[axis];
      sum += widen(dy[place]);
      int axis = walk.rank - 1;
      for (; axis >= 0; --axis) {
        at[axis] = next(axis, wanted[axis], at[axis] + 1);
        if (at[axis] < walk.y[axis]) break;
        at[axis] = next(axis, wanted[axis], 0);
      }
      if (axis < 0) break;
    }
    dx[i] = narrow<T>(sum);
  }
};

KernelPtr pad_grad(const Operation& op, Queue& queue) {
  PadWalk walk;
  if (!pad_walk(op.attributes, op.outputs[0].shape, op.inputs[0].shape, walk)) return nullptr;
  const std::int64_t count = op.outputs[0].shape.elements();
  return by_real(op.outputs[0].type, [&]<typename T>(T) -> KernelPtr {
    return closure(op, [=, &queue](const At& at) {
      each(queue, count, PadGradEach<T>{walk, at.in<T>(0), at.out<T>(0)});
    });
  });
}

}  // namespace

void turn_matrices(Queue& queue, const void* from, void* to, std::int64_t outer, std::int64_t rows,
                   std::int64_t columns, std::size_t bytes) {
  const std::int64_t across = (columns + kTile - 1) / kTile, down = (rows + kTile - 1) / kTile;
  const auto turn = [&]<typename T>(T) {
    teams(queue, outer * across * down, 256,
          TurnTeam<T>{rows, columns, across, down, static_cast<const T*>(from), static_cast<T*>(to)});
  };
  switch (bytes) {
    case 1:
      return turn(std::uint8_t{});
    case 2:
      return turn(std::uint16_t{});
    case 4:
      return turn(std::uint32_t{});
    default:
      return turn(std::uint64_t{});
  }
}

KernelPtr movement_kernel(const Operation& op, Queue& queue) {
  switch (op.kind) {
    case Kind::reshape:
      return reshape(op, queue);
    case Kind::transpose:
      return transpose(op, queue);
    case Kind::slice:
      return slice(op, queue);
    case Kind::slice_grad:
      return slice_grad(op, queue);
    case Kind::concat:
      return concat(op, queue);
    case Kind::pad:
      return pad(op, queue);
    case Kind::pad_grad:
      return pad_grad(op, queue);
    case Kind::expand:
      return expand(op, queue);
    default:
      return nullptr;
  }
}

}  // namespace trainyard::ops::cuda
