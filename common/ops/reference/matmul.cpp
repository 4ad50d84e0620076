// y[..., m, p] = sum over k of a[..., m, k] b[..., k, p].
#include "common/ops/reference/map.hpp"

namespace trainyard::ops::reference {
namespace {

/// One operand: where matrix number `i` of the result finds its own, and the steps of its rows and columns.
struct Matrices {
  Matrices(const Shape& shape, const Shape& y, bool transposed) {
    const auto lead = [](const Shape& of) { return Shape({of.dims().begin(), of.dims().end() - 2}); };
    const std::int64_t height = shape[shape.rank() - 2], width = shape[shape.rank() - 1];
    matrix = broadcast_map(lead(shape), lead(y));
    for (std::int64_t& stride : matrix.strides) stride *= height * width;
    rows = transposed ? width : height;
    columns = transposed ? height : width;
    row_step = transposed ? 1 : width;
    column_step = transposed ? width : 1;
  }
  Map matrix;
  std::int64_t rows, columns, row_step, column_step;
};

}  // namespace

template <typename Real>
std::unique_ptr<Kernel> matmul_kernel(const Operation& op) {
  if (op.kind != Kind::matmul || op.outputs[0].type != DType::f32) return nullptr;
  const Shape& y = op.outputs[0].shape;
  const Matrices a(op.inputs[0].shape, y, op.attributes.transpose_a);
  const Matrices b(op.inputs[1].shape, y, op.attributes.transpose_b);
  const std::int64_t count = y.volume(0, y.rank() - 2);
  return loops<Real>(op, [=](const Operands& at) {
    Real* to = at.out<Real>(0);
    for (std::int64_t i = 0; i < count; ++i) {
      const Real *const left = at.in<Real>(0) + a.matrix(i), *const right = at.in<Real>(1) + b.matrix(i);
      for (std::int64_t m = 0; m < a.rows; ++m)
        for (std::int64_t p = 0; p < b.columns; ++p) {
          double sum = 0;
          for (std::int64_t k = 0; k < a.columns; ++k)
            sum +=
                double(left[m * a.row_step + k * a.column_step]) * right[k * b.row_step + p * b.column_step];
          *to++ = static_cast<Real>(sum);
        }
    }
  });
}

template std::unique_ptr<Kernel> matmul_kernel<float>(const Operation&);
template std::unique_ptr<Kernel> matmul_kernel<double>(const Operation&);

}  // namespace trainyard::ops::reference
