// Products of matrices by oneDNN. Operands are seen as the fewest axes that say the same: one large matrix
// where the batch of b is one, a plain batch where the leading axes agree.
#include "common/ops/cpu/onednn.hpp"

namespace trainyard::ops::cpu {
namespace {

using Dims = dnnl::memory::dims;
constexpr std::size_t kRankMax = 6;

/// The last two axes of a row-major operand, perhaps swapped.
struct Matrix {
  Matrix(const Shape& shape, bool transposed, DType type = DType::f32) : shape(shape), type(type) {
    rows = shape[shape.rank() - 2];
    columns = shape[shape.rank() - 1];
    row_step = columns;
    column_step = 1;
    if (!transposed) return;
    std::swap(rows, columns);
    std::swap(row_step, column_step);
  }
  std::int64_t batch() const { return shape.volume(0, shape.rank() - 2); }
  /// A leading axis of 1 for each that is missing up to `rank`.
  std::int64_t lead(std::size_t axis, std::size_t rank) const {
    const std::size_t missing = rank - shape.rank();
    return axis < missing ? 1 : shape[axis - missing];
  }
  Desc desc(const Dims& leading) const {
    Dims dims = leading, strides(leading.size());
    std::int64_t step = rows * columns;
    for (std::size_t i = leading.size(); i-- > 0;) {
      strides[i] = step;
      step *= leading[i];
    }
    dims.insert(dims.end(), {rows, columns});
    strides.insert(strides.end(), {row_step, column_step});
    return with_type(Desc(dims, dnnl::memory::data_type::f32, strides), type);
  }
  const Shape& shape;
  const DType type;
  std::int64_t rows = 0, columns = 0, row_step = 0, column_step = 0;
};

struct Operands {
  Desc a, b, y;
};

Operands operands_of(const Operation& op) {
  const Shape& shape = op.outputs[0].shape;
  Matrix a(op.inputs[0].shape, op.attributes.transpose_a, op.inputs[0].type),
      b(op.inputs[1].shape, op.attributes.transpose_b, op.inputs[1].type);
  const Matrix y(shape, false);
  if (b.batch() == 1 && a.batch() == y.batch() && !op.attributes.transpose_a) {
    a.rows *= a.batch();
    Matrix all(shape, false);
    all.rows *= y.batch();
    return {a.desc({}), b.desc({}), all.desc({})};
  }
  if ((a.batch() == y.batch() || a.batch() == 1) && (b.batch() == y.batch() || b.batch() == 1))
    return {a.desc({a.batch()}), b.desc({b.batch()}), y.desc({y.batch()})};
  Dims la, lb, ly;
  for (std::size_t axis = 0; axis + 2 < shape.rank(); ++axis) {
    la.push_back(a.lead(axis, shape.rank()));
    lb.push_back(b.lead(axis, shape.rank()));
    ly.push_back(shape[axis]);
  }
  return {a.desc(la), b.desc(lb), y.desc(ly)};
}

}  // namespace

std::unique_ptr<Kernel> matmul(const Operation& op) {
  if (op.kind != Kind::matmul || op.outputs[0].type != DType::f32 || op.outputs[0].shape.rank() > kRankMax)
    return nullptr;
  for (const Operand& operand : op.inputs)
    if (operand.shape.elements() == 0) return nullptr;
  const Operands as = operands_of(op);
  const auto pd = described<dnnl::matmul>(attributes(), as.a, as.b, as.y);
  auto kernel = std::make_unique<PrimitiveKernel>(pd, dnnl::matmul(pd),
                                                  std::vector{layout_of(plain_desc(op.outputs[0].shape))});
  const auto operand = [&](int argument, std::size_t index, const Desc& seen) {
    const Operand& x = op.inputs[index];
    const Desc plain = with_type(plain_desc(x.shape), x.type);
    kernel->input(argument, index, is_plain(x) ? plain : desc_of(x), plain, seen);
  };
  operand(DNNL_ARG_SRC, 0, as.a);
  operand(DNNL_ARG_WEIGHTS, 1, as.b);
  kernel->output(DNNL_ARG_DST, 0, as.y);
  return kernel;
}

}  // namespace trainyard::ops::cpu
