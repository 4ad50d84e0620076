#include "common/ops/cpu/onednn.hpp"

namespace trainyard::ops::cpu {
namespace {

using Product = dnnl::matmul;
using Forward = dnnl::inner_product_forward;
using GradData = dnnl::inner_product_backward_data;
using GradWeights = dnnl::inner_product_backward_weights;

/// [N, F] of what is [N, ...].
Shape rows_of(const Shape& x) { return {x[0], x[0] == 0 ? x.volume(1) : x.elements() / x[0]}; }

/// The weight [O, F] seen as [O, C, H, W] when x is an image: then x may stay in its blocked layout.
Shape weight_view(const Shape& x, std::int64_t units) {
  auto dims = x.dims();
  dims[0] = units;
  return Shape(std::move(dims));
}

/// Runs a dense operation over the rows of a sequence, whose tensors lie row major: [..., F] is [rows, F].
class OverRows final : public Kernel {
 public:
  OverRows(const Operation& op, std::unique_ptr<Kernel> flat) : flat_(std::move(flat)) {
    scratch_bytes_ = flat_->scratch_bytes();
    in_place_ = flat_->in_place();
    for (const Signature& signature : op.outputs)
      outputs_.push_back(plain_layout(signature.shape, signature.type));
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    flat_->run(inputs, outputs, scratch);
  }

 private:
  std::unique_ptr<Kernel> flat_;
};

using Make = std::unique_ptr<Kernel> (*)(const Operation&);

/// The operation over [rows, F] when it is one over the last axis of a longer tensor; nullptr when it is not.
std::unique_ptr<Kernel> over_rows(const Operation& op, Make make) {
  if (op.attributes.axis == 1) return nullptr;
  const auto flat = [](const Shape& shape) {
    const std::int64_t last = shape[shape.rank() - 1];
    return Shape{last == 0 ? 0 : shape.elements() / last, last};
  };
  bool longer = false;
  Operation rows = op;
  rows.attributes.axis = 1;
  for (Operand& input : rows.inputs) {
    if (!input.layout || input.shape.rank() <= 2) continue;
    if (!is_plain(input)) return fallback(op);
    longer = true;
    input = {flat(input.shape), plain_layout(flat(input.shape), input.type), input.type, input.constant};
  }
  for (Signature& output : rows.outputs) {
    if (output.shape.rank() <= 2) continue;
    longer = true;
    output.shape = flat(output.shape);
  }
  if (!longer) return nullptr;
  auto kernel = make(rows);
  for (std::size_t i = 0; i < rows.outputs.size(); ++i)
    check(kernel->outputs()[i]->same(*plain_layout(rows.outputs[i].shape, rows.outputs[i].type)),
          "a flat dense layer leaves row-major values");
  return std::make_unique<OverRows>(op, std::move(kernel));
}

}  // namespace

namespace {

/// Weights that never change are arranged once, as oneDNN likes them best.
std::unique_ptr<Kernel> dense_of_constant(const Operation& op) {
  const bool bias = present(op.inputs, 2);
  const Shape &x = op.inputs[0].shape, &y = op.outputs[0].shape;
  const Shape w = weight_view(x, y[1]);
  const auto kind = dnnl::prop_kind::forward_inference;
  const auto attr = attributes(op);
  const auto pd =
      bias ? described<Forward>(attr, kind, any_desc(x), any_desc(w), plain_desc({y[1]}), any_desc(y))
           : described<Forward>(attr, kind, any_desc(x), any_desc(w), any_desc(y));
  auto kernel = std::make_unique<PrimitiveKernel>(pd, Forward(pd), std::vector{layout_of(pd.dst_desc())});
  kernel->input(DNNL_ARG_SRC, 0, desc_of(op.inputs[0]), pd.src_desc());
  kernel->weights(DNNL_ARG_WEIGHTS, 1, op.inputs[1], plain_desc(w), pd.weights_desc());
  if (bias) kernel->input(DNNL_ARG_BIAS, 2, pd.bias_desc());
  if (present(op.inputs, 3)) kernel->accumulate(3, desc_of(op.inputs[3]), pd.dst_desc());
  kernel->output(DNNL_ARG_DST, 0, pd.dst_desc());
  return kernel;
}

}  // namespace

// Weights that change from step to step are used row major, as they lie: arranging them would cost more than
// it gains, the more the fewer rows x has. The product then is oneDNN's matmul, whose weight may be turned
// around; inner_product takes its time over it.
std::unique_ptr<Kernel> dense(const Operation& op) {
  if (auto rows = over_rows(op, dense)) return rows;
  if (op.inputs[1].constant != nullptr) return dense_of_constant(op);
  const bool bias = present(op.inputs, 2);
  const Shape x = rows_of(op.inputs[0].shape);
  const Desc from = plain_desc(x), y = plain_desc(op.outputs[0].shape);
  const Desc w({x[1], op.outputs[0].shape[1]}, dnnl::memory::data_type::f32, Tag::ba);
  const Desc b({1, op.outputs[0].shape[1]}, dnnl::memory::data_type::f32, Tag::ab);
  const auto pd = bias ? described<Product>(attributes(op), from, w, b, y)
                       : described<Product>(attributes(op), from, w, y);
  auto kernel = std::make_unique<PrimitiveKernel>(pd, Product(pd), std::vector{layout_of(y)});
  kernel->input(DNNL_ARG_SRC, 0, desc_of(op.inputs[0]), plain_desc(op.inputs[0].shape), from);
  kernel->input(DNNL_ARG_WEIGHTS, 1, w);
  if (bias) kernel->input(DNNL_ARG_BIAS, 2, b);
  if (present(op.inputs, 3)) kernel->accumulate(3, desc_of(op.inputs[3]), y);
  kernel->output(DNNL_ARG_DST, 0, y);
  return kernel;
}

std::unique_ptr<Kernel> dense_grad_data(const Operation& op) {
  if (auto rows = over_rows(op, dense_grad_data)) return rows;
  const Shape x = rows_of(op.outputs[0].shape);
  const Shape& y = op.inputs[0].shape;
  const Desc w = plain_desc({y[1], x[1]});
  const auto pd = described<Product>(attributes(), plain_desc(y), w, plain_desc(x));
  auto kernel = std::make_unique<PrimitiveKernel>(pd, Product(pd),
                                                  std::vector{layout_of(plain_desc(op.outputs[0].shape))});
  kernel->input(DNNL_ARG_SRC, 0, desc_of(op.inputs[0]), plain_desc(y));
  kernel->input(DNNL_ARG_WEIGHTS, 1, w);
  kernel->output(DNNL_ARG_DST, 0, plain_desc(x));
  return kernel;
}

std::unique_ptr<Kernel> dense_grad_weights(const Operation& op) {
  if (auto rows = over_rows(op, dense_grad_weights)) return rows;
  const bool bias = op.outputs.size() > 1;
  const Shape x = rows_of(op.inputs[0].shape);
  const Shape& y = op.inputs[1].shape;
  const Desc from = plain_desc(x), dw = plain_desc({y[1], x[1]}), db = plain_desc({y[1]}), dy = plain_desc(y);
  const auto kind = dnnl::prop_kind::forward_training;
  const auto attr = attributes();
  const auto hint =
      bias ? described<Forward>(attr, kind, from, dw, db, dy) : described<Forward>(attr, kind, from, dw, dy);
  const auto pd = bias ? described_grad<GradWeights>(attr, hint, from, dw, db, dy)
                       : described_grad<GradWeights>(attr, hint, from, dw, dy);
  std::vector<LayoutPtr> outputs{layout_of(plain_desc(op.outputs[0].shape))};
  if (bias) outputs.push_back(layout_of(db));
  auto kernel = std::make_unique<PrimitiveKernel>(pd, GradWeights(pd), outputs);
  kernel->input(DNNL_ARG_SRC, 0, desc_of(op.inputs[0]), plain_desc(op.inputs[0].shape), from);
  kernel->input(DNNL_ARG_DIFF_DST, 1, desc_of(op.inputs[1]), dy);
  kernel->output(DNNL_ARG_DIFF_WEIGHTS, 0, dw);
  if (bias) kernel->output(DNNL_ARG_DIFF_BIAS, 1, db);
  return kernel;
}

}  // namespace trainyard::ops::cpu
