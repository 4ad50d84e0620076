// Operations that move elements, as copies of boxes. Images in blocks stay in blocks where the cuts between
// channels fall between blocks; everything else goes through the row-major order.
#include "common/ops/cpu/arrangement.hpp"
#include "common/ops/cpu/box.hpp"
#include "common/ops/cpu/parallel.hpp"
#include "common/ops/element_bits.hpp"
#include "common/ops/reference/map.hpp"

namespace trainyard::ops::cpu {
namespace {

using Numbers = std::vector<std::int64_t>;

Numbers strides_of(const Numbers& extents) { return reference::strides_of(Shape(extents)); }

/// A tensor in memory: the axes of an order, and which of them a logical axis is.
struct Grid {
  Grid(const Arrangement& order, const Shape& shape)
      : order(order), extents(order.extents(shape)), strides(strides_of(extents)) {}
  std::size_t axis(std::size_t logical) const {
    static constexpr std::size_t kLast[] = {0, 3, 1, 2};
    return order.kind == Arrangement::Kind::channels_last ? kLast[logical] : logical;
  }
  /// How many elements of a logical axis go together.
  std::int64_t unit(std::size_t logical) const {
    return order.kind == Arrangement::Kind::blocked && logical == 1 ? order.block : 1;
  }
  Arrangement order;
  Numbers extents, strides;
};

/// Fills its result, if it has to, and copies boxes over it.
class Boxes final : public Kernel {
 public:
  Boxes(const Operation& op, const Arrangement& order) : size_(tensor::size_of(op.outputs[0].type)) {
    const Signature& y = op.outputs[0];
    const bool plain = order.kind == Arrangement::Kind::plain;
    outputs_ = {plain ? plain_layout(y.shape, y.type) : layout_of(order.desc(y.shape))};
    count_ = static_cast<std::int64_t>(outputs_[0]->bytes / size_);
    padding_ = Padding(order, y.shape);
  }
  void filled_with(std::uint64_t bits) {
    filled_ = true;
    bits_ = bits;
  }
  void add(std::size_t input, Box box) { boxes_.emplace_back(input, std::move(box)); }
  std::size_t size() const { return size_; }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    if (filled_) fill(outputs[0], count_, size_, bits_);
    for (const auto& [input, box] : boxes_) box.copy(inputs[input], outputs[0]);
    padding_.clear(static_cast<float*>(outputs[0]));
  }

 private:
  const std::size_t size_;
  std::int64_t count_ = 0;
  bool filled_ = false;
  std::uint64_t bits_ = 0;
  std::vector<std::pair<std::size_t, Box>> boxes_;
  Padding padding_;
};

/// The order of an image that is not row major.
Arrangement order_of(const Operand& x) {
  if (x.type != DType::f32 || x.shape.rank() != 4 || x.shape[1] == 1) return {};
  return arrangement_of(x).value_or(Arrangement{});
}

/// Where a slice of `whole` begins, and its steps, in the order of memory; nothing when it cuts a block.
struct Cut {
  Numbers steps;
  std::int64_t base = 0;
};
std::optional<Cut> cut_of(const Attributes& a, const Grid& whole, const Shape& whole_shape,
                          const Shape& part) {
  Cut cut{whole.strides, 0};
  for (std::size_t i = 0; i < a.axes.size(); ++i) {
    const auto logical = static_cast<std::size_t>(a.axes[i]);
    const std::int64_t unit = whole.unit(logical), start = a.starts[i];
    const bool to_the_end = start + part[logical] == whole_shape[logical];
    if (unit > 1 && (a.steps[i] != 1 || start % unit != 0 || (part[logical] % unit != 0 && !to_the_end)))
      return std::nullopt;
    std::int64_t& step = cut.steps[whole.axis(logical)];
    cut.base += start / unit * step;
    step *= a.steps[i];
  }
  return cut;
}

std::unique_ptr<Kernel> slice(const Operation& op) {
  const Shape &x = op.inputs[0].shape, &y = op.outputs[0].shape;
  Arrangement order = order_of(op.inputs[0]);
  auto cut = cut_of(op.attributes, Grid(order, x), x, y);
  if (!cut || y.rank() != 4 || y[1] == 1) {
    order = {};
    cut = cut_of(op.attributes, Grid(order, x), x, y);
  }
  auto kernel = std::make_unique<Boxes>(op, order);
  const Grid part(order, y);
  kernel->add(0, Box(kernel->size(), part.extents, cut->steps, cut->base, part.strides, 0));
  return over_arranged(op, std::move(kernel), order);
}

std::unique_ptr<Kernel> slice_grad(const Operation& op) {
  const Shape &dy = op.inputs[0].shape, &dx = op.outputs[0].shape;
  Arrangement order = order_of(op.inputs[0]);
  std::optional<Cut> cut;
  if (order.kind != Arrangement::Kind::plain && dx[1] > 1)
    cut = cut_of(op.attributes, Grid(order, dx), dx, dy);
  if (!cut) {
    order = {};
    cut = cut_of(op.attributes, Grid(order, dx), dx, dy);
  }
  auto kernel = std::make_unique<Boxes>(op, order);
  const Grid part(order, dy);
  kernel->filled_with(0);
  kernel->add(0, Box(kernel->size(), part.extents, part.strides, 0, cut->steps, cut->base));
  return over_arranged(op, std::move(kernel), order);
}

/// The order of the first image that is not row major, if all others can be laid beside it so.
Arrangement concat_order(const Operation& op) {
  Arrangement order;
  for (const Operand& x : op.inputs)
    if (order.kind == Arrangement::Kind::plain) order = order_of(x);
  if (op.attributes.axis != 1 || order.kind == Arrangement::Kind::plain) return order;
  for (std::size_t i = 0; i < op.inputs.size(); ++i) {
    const std::int64_t channels = op.inputs[i].shape[1];
    if (channels <= 1 || (i + 1 < op.inputs.size() && channels % order.block != 0)) return {};
  }
  return order;
}

std::unique_ptr<Kernel> concat(const Operation& op) {
  const auto logical = static_cast<std::size_t>(op.attributes.axis);
  const Arrangement order = concat_order(op);
  auto kernel = std::make_unique<Boxes>(op, order);
  const Grid whole(order, op.outputs[0].shape);
  const std::size_t axis = whole.axis(logical);
  std::int64_t base = 0;
  for (std::size_t i = 0; i < op.inputs.size(); ++i) {
    const Grid part(order, op.inputs[i].shape);
    kernel->add(i, Box(kernel->size(), part.extents, part.strides, 0, whole.strides, base));
    base += part.extents[axis] * whole.strides[axis];
  }
  return over_arranged(op, std::move(kernel), order);
}

/// The part of a padded tensor that is the operand's, and where it lies in both.
struct Kept {
  Kept(const Attributes& a, const Grid& inner, const Grid& outer) : extents(inner.extents) {
    for (std::size_t logical = 0; logical < a.starts.size(); ++logical) {
      if (a.starts[logical] == 0 && a.ends[logical] == 0) continue;
      const std::size_t axis = inner.axis(logical);
      const std::int64_t first = std::max<std::int64_t>(0, a.starts[logical]);
      const std::int64_t last = std::min(outer.extents[axis], a.starts[logical] + inner.extents[axis]);
      extents[axis] = std::max<std::int64_t>(0, last - first);
      outer_base += first * outer.strides[axis];
      inner_base += (first - a.starts[logical]) * inner.strides[axis];
    }
  }
  Numbers extents;
  std::int64_t inner_base = 0, outer_base = 0;
};

/// Of constant mode; blocks of channels stay whole.
Arrangement pad_order(const Operation& op) {
  const Attributes& a = op.attributes;
  if (op.inputs[0].shape.rank() != 4 || a.starts[1] != 0 || a.ends[1] != 0) return {};
  return order_of(op.inputs[0]);
}

std::unique_ptr<Kernel> pad(const Operation& op) {
  const Arrangement order = pad_order(op);
  auto kernel = std::make_unique<Boxes>(op, order);
  const Grid x(order, op.inputs[0].shape), y(order, op.outputs[0].shape);
  const Kept kept(op.attributes, x, y);
  kernel->filled_with(element_bits<float>(op.outputs[0].type, op.attributes.alpha));
  kernel->add(0, Box(kernel->size(), kept.extents, x.strides, kept.inner_base, y.strides, kept.outer_base));
  return over_arranged(op, std::move(kernel), order);
}

std::unique_ptr<Kernel> pad_grad(const Operation& op) {
  const Arrangement order = pad_order(op);
  auto kernel = std::make_unique<Boxes>(op, order);
  const Grid dy(order, op.inputs[0].shape), dx(order, op.outputs[0].shape);
  const Kept kept(op.attributes, dx, dy);
  kernel->filled_with(0);
  kernel->add(0, Box(kernel->size(), kept.extents, dy.strides, kept.outer_base, dx.strides, kept.inner_base));
  return over_arranged(op, std::move(kernel), order);
}

/// Divides the operand before it is repeated.
class Shared final : public Kernel {
 public:
  Shared(std::unique_ptr<Kernel> repeated, std::int64_t floats, float share)
      : repeated_(std::move(repeated)), floats_(floats), share_(share) {
    outputs_ = repeated_->outputs();
    scratch_bytes_ = static_cast<std::size_t>(floats) * sizeof(float);
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    const auto* const x = static_cast<const float*>(inputs[0]);
    auto* const part = static_cast<float*>(scratch);
    in_pieces(floats_, 64, floats_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) part[i] = x[i] / share_;
    });
    repeated_->run({&scratch, 1}, outputs, nullptr);
  }

 private:
  std::unique_ptr<Kernel> repeated_;
  const std::int64_t floats_;
  const float share_;
};

std::unique_ptr<Kernel> expand(const Operation& op) {
  const Shape &x = op.inputs[0].shape, &y = op.outputs[0].shape;
  Arrangement order;
  if (y.rank() == 4 && x.rank() == 4 && x[1] == y[1]) order = order_of(op.inputs[0]);
  const bool plain = order.kind == Arrangement::Kind::plain;
  auto boxes = std::make_unique<Boxes>(op, order);
  const Grid to(order, y);
  Numbers steps = plain ? reference::broadcast_map(x, y).strides : strides_of(order.extents(x));
  for (std::size_t axis = 0; !plain && axis < steps.size(); ++axis)
    if (order.extents(x)[axis] == 1) steps[axis] = 0;
  boxes->add(0, Box(boxes->size(), to.extents, steps, 0, to.strides, 0));
  std::unique_ptr<Kernel> kernel = std::move(boxes);
  if (op.attributes.reduction == Reduction::mean) {
    if (op.outputs[0].type != DType::f32) return nullptr;
    const auto floats = static_cast<std::int64_t>(order.desc(x).get_size() / sizeof(float));
    const auto copies = static_cast<float>(y.elements() / x.elements());
    kernel = std::make_unique<Shared>(std::move(kernel), floats, copies);
  }
  return over_arranged(op, std::move(kernel), order);
}

/// One reorder of an image that is not row major: its axes are renamed, and it lies as it lies.
class Transpose final : public ArrangedKernel {
 public:
  explicit Transpose(const Operation& op) {
    // permute_axes says where an axis goes; the contract, where it comes from.
    const auto& axes = op.attributes.axes;
    std::vector<int> goes(axes.size());
    for (std::size_t i = 0; i < axes.size(); ++i)
      goes[static_cast<std::size_t>(axes[i])] = static_cast<int>(i);
    const Desc plain = plain_desc(op.outputs[0].shape), have = desc_of(op.inputs[0]);
    from_ = dnnl::memory(have.permute_axes(goes), engine(), nullptr);
    to_ = dnnl::memory(plain, engine(), nullptr);
    reorder_ = PrimitiveCall::reorder(from_, to_);
    outputs_ = {layout_of(plain)};
    input(0, 0, have);
    output(1, 0, plain);
  }

 private:
  void compute() override {
    from_.set_data_handle(data(0));
    to_.set_data_handle(data(1));
    reorder_(stream_);
  }
  dnnl::memory from_, to_;
  PrimitiveCall reorder_;
};

std::unique_ptr<Kernel> transpose(const Operation& op) {
  const Shape &x = op.inputs[0].shape, &y = op.outputs[0].shape;
  if (op.inputs[0].type == DType::f32 && !is_plain(op.inputs[0]) && x.rank() <= 6)
    return std::make_unique<Transpose>(op);
  auto kernel = std::make_unique<Boxes>(op, Arrangement{});
  Numbers steps;
  const Numbers strides = strides_of(x.dims());
  for (const auto axis : op.attributes.axes) steps.push_back(strides[static_cast<std::size_t>(axis)]);
  kernel->add(0, Box(kernel->size(), y.dims(), steps, 0, strides_of(y.dims()), 0));
  return over_arranged(op, std::move(kernel), {});
}

}  // namespace

std::unique_ptr<Kernel> movement_kernel(const Operation& op) {
  if (op.kind == Kind::reshape) return reshape(op);
  if (op.outputs.empty() || op.outputs[0].opaque || op.outputs[0].shape.elements() == 0 ||
      op.inputs[0].layout == nullptr || op.inputs[0].shape.elements() == 0)
    return nullptr;
  switch (op.kind) {
    case Kind::transpose:
      return transpose(op);
    case Kind::slice:
      return slice(op);
    case Kind::slice_grad:
      return slice_grad(op);
    case Kind::concat:
      return concat(op);
    case Kind::pad:
      return op.attributes.pad_mode == PadMode::constant ? pad(op) : nullptr;
    case Kind::pad_grad:
      return op.attributes.pad_mode == PadMode::constant ? pad_grad(op) : nullptr;
    case Kind::expand:
      return expand(op);
    default:
      return nullptr;
  }
}

}  // namespace trainyard::ops::cpu
