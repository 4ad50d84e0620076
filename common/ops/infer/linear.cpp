// Convolutions, pools, dense layers and matrix products.
#include "common/ops/infer/infer.hpp"

namespace trainyard::ops {
namespace {

Status window_sizes(const Attributes& a) {
  if (a.kernel_height < 1 || a.kernel_width < 1 || a.stride_height < 1 || a.stride_width < 1 ||
      a.dilation_height < 1 || a.dilation_width < 1)
    return shape_error("kernel, stride and dilation have to be at least 1");
  if (a.pad_top < 0 || a.pad_bottom < 0 || a.pad_left < 0 || a.pad_right < 0)
    return shape_error("padding has to be at least 0");
  return {};
}

Status image(const Signature& x, const char* what) {
  if (x.shape.rank() == 4) return {};
  return shape_error("needs an image [N, C, H, W] as {}, and gets {}", what, x.shape.text());
}

Inferred conv2d(Attributes& a, std::span<const Signature> in) {
  if (in.size() < 2 || in.size() > 4) return shape_error("takes x, w, perhaps a bias and an addend");
  if (auto ok = image(in[0], "x"); !ok) return ok.error();
  if (auto ok = image(in[1], "w"); !ok) return ok.error();
  const Shape &x = in[0].shape, &w = in[1].shape;
  a.kernel_height = w[2];
  a.kernel_width = w[3];
  if (auto ok = window_sizes(a); !ok) return ok.error();
  if (a.groups < 1 || x[1] % a.groups != 0 || w[0] % a.groups != 0)
    return shape_error("{} groups do not divide {} input and {} output channels", a.groups, x[1], w[0]);
  if (w[1] != x[1] / a.groups)
    return shape_error("weight {} for {} input channels in {} groups; its second extent has to be {}",
                       w.text(), x[1], a.groups, x[1] / a.groups);
  if (in.size() > 2 && !in[2].opaque && in[2].shape != Shape{w[0]})
    return shape_error("bias {} for {} output channels", in[2].shape.text(), w[0]);
  const std::int64_t height =
      windows(x[2], w[2], a.stride_height, a.dilation_height, a.pad_top + a.pad_bottom);
  const std::int64_t width = windows(x[3], w[3], a.stride_width, a.dilation_width, a.pad_left + a.pad_right);
  if (height < 1 || width < 1)
    return shape_error("a {}x{} kernel does not fit into {}x{}", w[2], w[3], x[2], x[3]);
  return Signatures{{{x[0], w[0], height, width}, in[0].type}};
}

/// A transposed convolution: dy [N, I, h, w] and w [I, O/groups, kh, kw]; dims, when given, are the height
/// and width of the result.
Inferred transposed(Attributes& a, std::span<const Signature> in) {
  if (in.size() != 2) return shape_error("takes x and w");
  if (auto ok = image(in[0], "x"); !ok) return ok.error();
  if (auto ok = image(in[1], "w"); !ok) return ok.error();
  const Shape &y = in[0].shape, &w = in[1].shape;
  a.kernel_height = w[2];
  a.kernel_width = w[3];
  if (auto ok = window_sizes(a); !ok) return ok.error();
  if (w[0] != y[1]) return shape_error("weight {} for {} input channels", w.text(), y[1]);
  if (a.groups < 1 || w[0] % a.groups != 0)
    return shape_error("{} groups do not divide {} channels", a.groups, w[0]);
  std::int64_t height =
      (y[2] - 1) * a.stride_height + (w[2] - 1) * a.dilation_height + 1 - a.pad_top - a.pad_bottom;
  std::int64_t width =
      (y[3] - 1) * a.stride_width + (w[3] - 1) * a.dilation_width + 1 - a.pad_left - a.pad_right;
  if (a.dims.size() == 2) {
    height = a.dims[0];
    width = a.dims[1];
  }
  if (height < 1 || width < 1 ||
      windows(height, w[2], a.stride_height, a.dilation_height, a.pad_top + a.pad_bottom) != y[2] ||
      windows(width, w[3], a.stride_width, a.dilation_width, a.pad_left + a.pad_right) != y[3])
    return shape_error("a result of {}x{} does not come from {}x{}", height, width, y[2], y[3]);
  return Signatures{{{y[0], w[1] * a.groups, height, width}, in[0].type}};
}

Inferred dense(Attributes& a, std::span<const Signature> in) {
  if (in.size() < 2 || in.size() > 4) return shape_error("takes x, w, perhaps a bias and an addend");
  const Shape &x = in[0].shape, &w = in[1].shape;
  if (x.rank() < 2 || w.rank() != 2) return shape_error("of {} by {}", x.text(), w.text());
  const std::int64_t features = a.axis == 1 ? x.volume(1) : x[x.rank() - 1];
  if (features != w[1]) return shape_error("weight {} for {} features of {}", w.text(), features, x.text());
  if (in.size() > 2 && !in[2].opaque && in[2].shape != Shape{w[0]})
    return shape_error("bias {} for {} units", in[2].shape.text(), w[0]);
  if (a.axis == 1) return Signatures{{{x[0], w[0]}, in[0].type}};
  Shape y = x;
  y[y.rank() - 1] = w[0];
  return Signatures{{y, in[0].type}};
}

Inferred matmul(const Attributes& attributes, std::span<const Signature> in) {
  if (auto ok = operands(in, 2); !ok) return ok.error();
  for (const Signature& operand : in)
    if (auto ok = real_numbers(operand); !ok) return ok.error();
  if (in[0].type != in[1].type)
    return shape_error("of {} and {}; cast one of them", name_of(in[0].type), name_of(in[1].type));
  const Shape &a = in[0].shape, &b = in[1].shape;
  if (a.rank() < 2 || b.rank() < 2)
    return shape_error("of {} and {}; both need two axes", a.text(), b.text());
  const std::size_t ra = a.rank(), rb = b.rank();
  const std::int64_t m = attributes.transpose_a ? a[ra - 1] : a[ra - 2],
                     k = attributes.transpose_a ? a[ra - 2] : a[ra - 1];
  const std::int64_t kb = attributes.transpose_b ? b[rb - 1] : b[rb - 2],
                     p = attributes.transpose_b ? b[rb - 2] : b[rb - 1];
  Shape lead;
  const Shape la({a.dims().begin(), a.dims().end() - 2}), lb({b.dims().begin(), b.dims().end() - 2});
  if (k != kb || !tensor::broadcast(la, lb, lead))
    return shape_error("{}{} and {}{} do not fit", a.text(), attributes.transpose_a ? " transposed" : "",
                       b.text(), attributes.transpose_b ? " transposed" : "");
  std::vector<std::int64_t> dims = lead.dims();
  dims.push_back(m);
  dims.push_back(p);
  return Signatures{{Shape(std::move(dims)), in[0].type}};
}

Inferred pool(const Attributes& a, std::span<const Signature> in) {
  if (in.size() != 1) return shape_error("takes one operand");
  if (auto ok = image(in[0], "x"); !ok) return ok.error();
  if (auto ok = window_sizes(a); !ok) return ok.error();
  const Shape& x = in[0].shape;
  const std::int64_t height =
      windows(x[2], a.kernel_height, a.stride_height, a.dilation_height, a.pad_top + a.pad_bottom);
  const std::int64_t width =
      windows(x[3], a.kernel_width, a.stride_width, a.dilation_width, a.pad_left + a.pad_right);
  if (height < 1 || width < 1)
    return shape_error("a {}x{} window does not fit into {}x{}", a.kernel_height, a.kernel_width, x[2], x[3]);
  const std::int64_t reach_h = (a.kernel_height - 1) * a.dilation_height,
                     reach_w = (a.kernel_width - 1) * a.dilation_width;
  if (a.pad_top > reach_h || a.pad_bottom > reach_h || a.pad_left > reach_w || a.pad_right > reach_w)
    return shape_error("padding as wide as the {}x{} window leaves windows without input", a.kernel_height,
                       a.kernel_width);
  return Signatures{{{x[0], x[1], height, width}, in[0].type}};
}

}  // namespace

Inferred infer_linear(Kind kind, Attributes& attributes, std::span<const Signature> inputs) {
  switch (kind) {
    case Kind::conv2d:
      return conv2d(attributes, inputs);
    case Kind::conv2d_grad_data:
      return transposed(attributes, inputs);
    case Kind::dense:
      return dense(attributes, inputs);
    case Kind::matmul:
      return matmul(attributes, inputs);
    default:
      return pool(attributes, inputs);
  }
}

}  // namespace trainyard::ops
