// Functions of two operands, and where. Operands are brought into the order of one of them, images in blocks
// included; there each axis is passed once, and an operand that stretches stays where it is.
#include <cmath>

#include "common/ops/arithmetic.hpp"
#include "common/ops/cpu/arrangement.hpp"
#include "common/ops/cpu/walk.hpp"

namespace trainyard::ops::cpu {
namespace {

constexpr int kA = 0, kB = 1, kY = 2, kCondition = 3;

/// Seen with as many axes as the result.
Shape with_rank(const Shape& shape, std::size_t rank) {
  std::vector<std::int64_t> dims(rank - shape.rank(), 1);
  dims.insert(dims.end(), shape.dims().begin(), shape.dims().end());
  return Shape(std::move(dims));
}

/// In which order to work: that of an operand that is an image of the result's shape and is not row major.
Arrangement common_order(const Operation& op, std::size_t first) {
  const Shape& y = op.outputs[0].shape;
  if (op.outputs[0].type != DType::f32 || y.rank() != 4 || y[1] == 1) return {};
  for (std::size_t i = first; i < op.inputs.size(); ++i)
    if (op.inputs[i].shape == y)
      if (const auto order = arrangement_of(op.inputs[i]); order && order->kind != Arrangement::Kind::plain)
        return *order;
  return {};
}

/// An operand that is row major is seen with as many axes as the result; one that is not is as it is.
Desc have(const Operand& operand, const Shape& shape) {
  return is_plain(operand) ? plain_desc(shape) : desc_of(operand);
}

/// How it has to lie to be walked over in this order.
Desc wanted(const Arrangement& order, const Operand& operand, const Shape& shape) {
  if (order.kind != Arrangement::Kind::plain && shape[1] != 1) return order.desc(shape);
  return plain_desc(is_plain(operand) ? shape : operand.shape);
}

class Binary final : public ArrangedKernel {
 public:
  explicit Binary(const Operation& op)
      : arithmetic_(op.attributes.arithmetic),
        order_(common_order(op, 0)),
        bytes_(is_comparison(arithmetic_)) {
    const Shape& y = op.outputs[0].shape;
    const Shape a = with_rank(op.inputs[0].shape, y.rank()), b = with_rank(op.inputs[1].shape, y.rank());
    input(kA, 0, have(op.inputs[0], a), wanted(order_, op.inputs[0], a));
    input(kB, 1, have(op.inputs[1], b), wanted(order_, op.inputs[1], b));
    const Desc result = bytes_ ? byte_desc(y) : order_.desc(y);
    output(kY, 0, result);
    outputs_ = {bytes_ ? plain_layout(y, DType::u8) : layout_of(result)};
    for (const std::size_t i : {1, 0})
      if (op.inputs[i].shape == y && outputs_[0]->same(*op.inputs[i].layout)) in_place_ = static_cast<int>(i);
    walk_ = Walk(order_.extents(y), {order_.extents(a), order_.extents(b)});
    if (!bytes_) padding_ = Padding(order_, y);
    loop_ = vectors().binary(arithmetic_, walk_.steps(0), walk_.steps(1));
    one_power_ = arithmetic_ == Arithmetic::power && b.elements() == 1;
  }
  static Desc byte_desc(const Shape& shape) {
    return Desc({shape.elements()}, dnnl::memory::data_type::u8, Tag::a);
  }

 private:
  void compute() override {
    const float *const a = data(kA), *const b = data(kB);
    auto* const y = data<std::byte>(kY);
    const std::size_t size = bytes_ ? sizeof(std::uint8_t) : sizeof(float);
    // Squares are most of the powers that networks take.
    const bool square = one_power_ && *b == 2.0f;
    const Vectors::Binary loop =
        square ? vectors().binary(Arithmetic::multiply, walk_.steps(0), walk_.steps(0)) : loop_;
    walk_.each(0, square ? 0 : 1, [&](const Tile& tile, std::int64_t to, const Walk::Offsets& at) {
      const float *const left = a + at[0], *const right = square ? left : b + at[1];
      void* const result = y + static_cast<std::size_t>(to) * size;
      if (loop != nullptr) return loop(tile, left, right, result);
      plain_loop(tile, left, right, static_cast<float*>(result));
    });
    padding_.clear(data(kY));
  }
  void plain_loop(const Tile& tile, const float* a, const float* b, float* y) const {
    const std::int64_t a_step = walk_.steps(0), b_step = walk_.steps(1);
    for (std::int64_t row = 0; row < tile.rows; ++row)
      for (std::int64_t i = 0; i < tile.columns; ++i)
        y[row * tile.y_row + i] =
            combine(arithmetic_, a[row * tile.a_row + i * a_step], b[row * tile.b_row + i * b_step]);
  }

  const Arithmetic arithmetic_;
  const Arrangement order_;
  const bool bytes_;
  bool one_power_ = false;
  Walk walk_;
  Padding padding_;
  Vectors::Binary loop_ = nullptr;
};

/// The condition has the shape of the result, so everything is row major.
class Where final : public ArrangedKernel {
 public:
  explicit Where(const Operation& op) {
    const Shape& y = op.outputs[0].shape;
    const Shape a = with_rank(op.inputs[1].shape, y.rank()), b = with_rank(op.inputs[2].shape, y.rank());
    input(kCondition, 0, Binary::byte_desc(y));
    input(kA, 1, have(op.inputs[1], a), wanted({}, op.inputs[1], a));
    input(kB, 2, have(op.inputs[2], b), wanted({}, op.inputs[2], b));
    output(kY, 0, plain_desc(y));
    outputs_ = {layout_of(plain_desc(y))};
    for (const std::size_t i : {2, 1})
      if (op.inputs[i].shape == y && is_plain(op.inputs[i])) in_place_ = static_cast<int>(i);
    walk_ = Walk(y.dims(), {a.dims(), b.dims()});
    loop_ = vectors().where(walk_.steps(0), walk_.steps(1));
  }

 private:
  void compute() override {
    const auto* const condition = data<std::uint8_t>(kCondition);
    const float *const a = data(kA), *const b = data(kB);
    float* const y = data(kY);
    walk_.each(0, 1, [&](const Tile& tile, std::int64_t to, const Walk::Offsets& at) {
      loop_(tile, condition + to, a + at[0], b + at[1], y + to);
    });
  }
  Walk walk_;
  Vectors::Where loop_ = nullptr;
};

/// Axes beyond what oneDNN describes leave the loops to the reference.
constexpr std::size_t kRankMax = 6;

bool of_floats(const Operation& op, std::size_t operand) {
  return op.inputs[operand].type == DType::f32 && op.outputs[0].shape.elements() > 0 &&
         op.outputs[0].shape.rank() <= kRankMax;
}

}  // namespace

std::unique_ptr<Kernel> binary(const Operation& op) {
  if (!of_floats(op, 0)) return nullptr;
  return std::make_unique<Binary>(op);
}

std::unique_ptr<Kernel> where(const Operation& op) {
  if (!of_floats(op, 1) || op.inputs[0].shape != op.outputs[0].shape) return nullptr;
  return std::make_unique<Where>(op);
}

}  // namespace trainyard::ops::cpu
