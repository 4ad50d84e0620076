// Convolutions, dense layers and matrix products: the products by libraries, what stands around them by own
// kernels. Weights come plain; where images lie channels last they are turned first.
#include "common/ops/cuda/convolution.hpp"
#include "common/ops/cuda/gemm.hpp"
#include "common/ops/cuda/kernel.hpp"
#include "common/ops/cuda/numbers.hpp"
#include "common/ops/cuda/walk.hpp"
#include "common/ops/functions.hpp"

namespace trainyard::ops::cuda {
namespace {

/// y = activation(y + bias of its channel + addend), over y as it lies.
template <typename T>
struct FinishEach {
  Function activation;
  Coefficients numbers;
  std::int64_t channels, pixels;
  bool last;
  const T *bias, *addend;
  T* y;
  __device__ void operator()(std::int64_t i) const {
    float value = widen(y[i]);
    if (bias != nullptr) value += widen(bias[last ? i % channels : i / pixels % channels]);
    if (addend != nullptr) value += widen(addend[i]);
    y[i] = narrow<T>(value_of(activation, numbers, value));
  }
};

/// Enqueues what follows the sums of a linear map, where something does.
void finish(Queue& queue, const Attributes& a, const Image& y, DType type, const void* bias,
            const void* addend, void* out) {
  if (bias == nullptr && addend == nullptr && a.activation == Function::identity) return;
  by_real(type, [&]<typename T>(T) {
    each(queue, y.n * y.c * y.pixels(),
         FinishEach<T>{a.activation,
                       {a.alpha, a.beta},
                       y.c,
                       y.pixels(),
                       y.last,
                       static_cast<const T*>(bias),
                       static_cast<const T*>(addend),
                       static_cast<T*>(out)});
    return true;
  });
}

/// Sums over rows and pixels of each channel: the gradient of a bias. One team a tile of 32 channels where
/// they lie beside each other, else a channel.
template <typename T, typename Out>
struct BiasTeam {
  std::int64_t channels, pixels, rows;  // rows: samples times pixels
  bool last;
  const T* dy;
  Out* db;
  __device__ void operator()(const Team& team) const {
    const auto add = [](double a, double b) { return a + b; };
    if (!last) {
      float sum = 0;
      for (std::int64_t r = team.thread(); r < rows; r += team.threads())
        sum += widen(dy[(r / pixels * channels + team.index()) * pixels + r % pixels]);
      const double all = team.reduce(static_cast<double>(sum), add);
      if (team.thread() == 0) db[team.index()] = narrow<Out>(static_cast<float>(all));
      return;
    }
    const int lanes = 32, height = team.threads() / lanes, row = team.thread() / lanes;
    const std::int64_t c = team.index() * lanes + team.thread() % lanes;
    float sum = 0;
    if (c < channels)
      for (std::int64_t r = row; r < rows; r += height) sum += widen(dy[r * channels + c]);
    auto* const shared = team.shared<double>();
    shared[team.thread()] = sum;
    team.sync();
    if (row != 0 || c >= channels) return;
    double all = 0;
    for (int k = 0; k < height; ++k) all += shared[k * lanes + team.thread()];
    db[c] = narrow<Out>(static_cast<float>(all));
  }
};

/// `out`: of the result, `type` or f32.
void bias_grad(Queue& queue, const Image& y, DType type, const void* dy, DType out, void* db) {
  by_real(type, [&]<typename T>(T of) {
    const auto enqueue = [&]<typename Out>(Out) {
      teams(queue, y.last ? (y.c + 31) / 32 : y.c, 256,
            BiasTeam<T, Out>{y.c, y.pixels(), y.n * y.pixels(), y.last, static_cast<const T*>(dy),
                             static_cast<Out*>(db)});
    };
    if (out == type)
      enqueue(of);
    else
      enqueue(float());
    return true;
  });
}

std::size_t bytes_of(const Shape& shape, DType type) {
  return static_cast<std::size_t>(shape.elements()) * tensor::size_of(type);
}

ConvolutionSpec spec_of(Pass pass, const Operation& op, const Shape& x, const Shape& w, const Shape& y,
                        DType type) {
  return {pass, x, w, y, op.attributes, type, tensor::size_of(type) == 2};
}

LayoutPtr image_layout(const Shape& shape, DType type, bool last) {
  return last ? channels_last_layout(shape, type) : plain_layout(shape, type);
}

/// Weights [O, I, kh, kw] from row major to [O, kh, kw, I], or back.
void turn_weights(Queue& queue, const Shape& w, DType type, bool to_last, const void* from, void* to) {
  const std::int64_t pixels = w[2] * w[3];
  turn_matrices(queue, from, to, w[0], to_last ? w[1] : pixels, to_last ? pixels : w[1],
                tensor::size_of(type));
}

/// A bias and an addend that are there have the type of y.
bool of_one_type(const Operation& op) {
  for (std::size_t i = 2; i < op.inputs.size(); ++i)
    if (present(op.inputs, i) && op.inputs[i].type != op.outputs[0].type) return false;
  return true;
}

Result<KernelPtr> conv2d(const Operation& op, Queue& queue) {
  if (!of_one_type(op)) return KernelPtr();
  const Shape w = op.inputs[1].shape;
  const DType type = op.inputs[0].type;
  const auto spec = spec_of(Pass::forward, op, op.inputs[0].shape, w, op.outputs[0].shape, type);
  auto made = make_convolution(queue, spec);
  if (!made) return made.error();
  const auto product = *made;
  const LayoutPtr layout = image_layout(op.outputs[0].shape, type, spec.channels_last);
  const Image y({op.outputs[0].shape, layout, type});
  Area area;
  const std::size_t turned = area.add(spec.channels_last ? bytes_of(w, type) : 0);
  const std::size_t workspace = area.add(product->workspace_bytes());
  auto kernel = std::make_unique<Closure>(
      std::vector{layout}, [=, &queue, a = op.attributes, last = spec.channels_last](const At& at) {
        if (last) turn_weights(queue, w, type, true, at.in(1), at.scratch(turned));
        product->run(const_cast<void*>(at.in(0)), last ? at.scratch(turned) : const_cast<void*>(at.in(1)),
                     at.out(0), at.scratch(workspace));
        finish(queue, a, y, type, at.in(2), at.in(3), at.out(0));
      });
  kernel->needs(area.bytes());
  return KernelPtr(std::move(kernel));
}

Result<KernelPtr> conv2d_grad_data(const Operation& op, Queue& queue) {
  const Shape w = op.inputs[1].shape;
  const DType type = op.inputs[0].type;
  const auto spec = spec_of(Pass::data, op, op.outputs[0].shape, w, op.inputs[0].shape, type);
  auto made = make_convolution(queue, spec);
  if (!made) return made.error();
  const auto product = *made;
  Area area;
  const std::size_t turned = area.add(spec.channels_last ? bytes_of(w, type) : 0);
  const std::size_t workspace = area.add(product->workspace_bytes());
  auto kernel = std::make_unique<Closure>(
      std::vector{image_layout(op.outputs[0].shape, type, spec.channels_last)},
      [=, &queue, last = spec.channels_last](const At& at) {
        if (last) turn_weights(queue, w, type, true, at.in(1), at.scratch(turned));
        product->run(at.out(0), last ? at.scratch(turned) : const_cast<void*>(at.in(1)),
                     const_cast<void*>(at.in(0)), at.scratch(workspace));
      });
  kernel->needs(area.bytes());
  return KernelPtr(std::move(kernel));
}

Result<KernelPtr> conv2d_grad_weights(const Operation& op, Queue& queue) {
  const Shape w = op.outputs[0].shape;
  const DType type = op.inputs[0].type;
  const auto spec = spec_of(Pass::weights, op, op.inputs[0].shape, w, op.inputs[1].shape, type);
  auto made = make_convolution(queue, spec);
  if (!made) return made.error();
  const auto product = *made;
  const bool bias = op.outputs.size() > 1;
  std::vector<LayoutPtr> outputs{plain_layout(w, type)};
  if (bias) outputs.push_back(plain_layout(op.outputs[1].shape, type));
  const Image y(
      Operand{op.inputs[1].shape, image_layout(op.inputs[1].shape, type, spec.channels_last), type});
  Area area;
  const std::size_t turned = area.add(spec.channels_last ? bytes_of(w, type) : 0);
  const std::size_t workspace = area.add(product->workspace_bytes());
  auto kernel =
      std::make_unique<Closure>(std::move(outputs), [=, &queue, last = spec.channels_last](const At& at) {
        product->run(const_cast<void*>(at.in(0)), last ? at.scratch(turned) : at.out(0),
                     const_cast<void*>(at.in(1)), at.scratch(workspace));
        if (last) turn_weights(queue, w, type, false, at.scratch(turned), at.out(0));
        if (bias) bias_grad(queue, y, type, at.in(1), type, at.out(1));
      });
  kernel->needs(area.bytes());
  return KernelPtr(std::move(kernel));
}

/// A product as a kernel: operands a and b by their numbers, then what follows.
using After = std::function<void(const At&)>;
Result<KernelPtr> product_kernel(Queue& queue, const GemmSpec& spec, std::vector<LayoutPtr> outputs,
                                 std::size_t a, std::size_t b, bool bias, After after) {
  auto made = make_gemm(queue, spec);
  if (!made) return made.error();
  const auto product = *made;
  auto kernel = std::make_unique<Closure>(std::move(outputs), [=, after = std::move(after)](const At& at) {
    product->run(at.in(a), at.in(b), at.out(0), bias ? at.in(2) : nullptr, at.scratch());
    if (after) after(at);
  });
  kernel->needs(product->workspace_bytes());
  return KernelPtr(std::move(kernel));
}

/// y [rows, O] = x [rows, F] w^T.
Result<KernelPtr> dense(const Operation& op, Queue& queue) {
  if (!of_one_type(op)) return KernelPtr();
  const Shape& w = op.inputs[1].shape;
  const DType out = op.outputs[0].type;
  const std::int64_t rows = op.outputs[0].shape.elements() / w[0];
  const bool bias = present(op.inputs, 2), addend = present(op.inputs, 3);
  const Attributes& a = op.attributes;
  GemmSpec spec{.m = rows,
                .n = w[0],
                .k = w[1],
                .transpose_b = true,
                .row_a = w[1],
                .row_b = w[1],
                .row_d = w[0],
                .in = op.inputs[0].type,
                .out = out};
  spec.bias = bias && !addend;
  spec.relu = spec.bias && a.activation == Function::relu;
  After after;
  if (addend || (a.activation != Function::identity && !spec.relu))
    after = [=, &queue, a = a, y = Image(Shape{rows, w[0]}, false)](const At& at) {
      finish(queue, a, y, out, addend && bias ? at.in(2) : nullptr, at.in(3), at.out(0));
    };
  return product_kernel(queue, spec, {plain_layout(op.outputs[0].shape, out)}, 0, 1, spec.bias,
                        std::move(after));
}

/// dx [rows, F] = dy [rows, O] w.
Result<KernelPtr> dense_grad_data(const Operation& op, Queue& queue) {
  const Shape& w = op.inputs[1].shape;
  const DType type = op.inputs[0].type, out = op.outputs[0].type;
  const std::int64_t rows = op.inputs[0].shape.elements() / w[0];
  return product_kernel(
      queue,
      {.m = rows, .n = w[1], .k = w[0], .row_a = w[0], .row_b = w[1], .row_d = w[1], .in = type, .out = out},
      {plain_layout(op.outputs[0].shape, out)}, 0, 1, false, nullptr);
}

/// dw [O, F] = dy^T x.
Result<KernelPtr> dense_grad_weights(const Operation& op, Queue& queue) {
  const Shape& w = op.outputs[0].shape;
  const DType type = op.inputs[0].type, out = op.outputs[0].type;
  const std::int64_t rows = op.inputs[1].shape.elements() / w[0];
  std::vector<LayoutPtr> outputs{plain_layout(w, out)};
  After after;
  if (op.outputs.size() > 1) {
    outputs.push_back(plain_layout(op.outputs[1].shape, op.outputs[1].type));
    after = [=, &queue, y = Image(Shape{rows, w[0]}, false)](const At& at) {
      bias_grad(queue, y, type, at.in(1), out, at.out(1));
    };
  }
  return product_kernel(queue,
                        {.m = w[0],
                         .n = w[1],
                         .k = rows,
                         .transpose_a = true,
                         .row_a = w[0],
                         .row_b = w[1],
                         .row_d = w[1],
                         .in = type,
                         .out = out},
                        std::move(outputs), 1, 0, false, std::move(after));
}

/// One product for each stretch of leading axes over which both operands step evenly.
Result<KernelPtr> matmul(const Operation& op, Queue& queue) {
  const Shape &a = op.inputs[0].shape, &b = op.inputs[1].shape, &y = op.outputs[0].shape;
  const DType type = op.inputs[0].type, out = op.outputs[0].type;
  const std::size_t lead = y.rank() - 2;
  const std::int64_t m = y[lead], n = y[lead + 1];
  const std::int64_t k = op.attributes.transpose_a ? a[a.rank() - 2] : a[a.rank() - 1];
  GemmSpec spec{.m = m,
                .n = n,
                .k = k,
                .transpose_a = op.attributes.transpose_a,
                .transpose_b = op.attributes.transpose_b,
                .row_a = a[a.rank() - 1],
                .row_b = b[b.rank() - 1],
                .row_d = n,
                .in = type,
                .out = out};
  const std::vector<LayoutPtr> outputs{plain_layout(y, out)};
  const std::int64_t count = y.volume(0, lead);
  if (count == 0 || m == 0 || n == 0) return KernelPtr(std::make_unique<Closure>(outputs, [](const At&) {}));
  if (k == 0)
    return KernelPtr(std::make_unique<Closure>(
        outputs, [&queue, bytes = bytes_of(y, out)](const At& at) { zero(queue, at.out(0), bytes); }));
  // Where in its operand matrix i of the result begins.
  const auto starts = [&](const Shape& of) {
    std::vector<std::int64_t> at(static_cast<std::size_t>(count));
    const std::int64_t size = of[of.rank() - 1] * of[of.rank() - 2];
    for (std::int64_t i = 0; i < count; ++i) {
      std::int64_t left = i, step = size, place = 0;
      for (std::size_t back = 0; back < lead; ++back) {
        const std::int64_t extent = y[lead - 1 - back], coordinate = left % extent;
        left /= extent;
        if (back + 2 >= of.rank()) continue;
        const std::int64_t own = of[of.rank() - 3 - back];
        if (own != 1) place += coordinate * step;
        step *= own;
      }
      at[static_cast<std::size_t>(i)] = place;
    }
    return at;
  };
  const auto from_a = starts(a), from_b = starts(b);
  std::int64_t stretch = count;
  for (const auto* from : {&from_a, &from_b})
    for (std::int64_t i = 2; i < stretch; ++i)
      if ((*from)[i] - (*from)[i - 1] != (*from)[1] - (*from)[0]) stretch = i;
  while (count % stretch != 0) --stretch;
  const auto even = [&](const std::vector<std::int64_t>& from) {
    for (std::int64_t i = 0; i < count; ++i)
      if (i % stretch > 1 && from[i] - from[i - 1] != from[1] - from[0]) return false;
    for (std::int64_t i = 0; i + 1 < count; i += stretch)
      if (stretch > 1 && from[i + 1] - from[i] != from[1] - from[0]) return false;
    return true;
  };
  while (stretch > 1 && (count % stretch != 0 || !even(from_a) || !even(from_b))) --stretch;
  spec.batch = stretch;
  spec.stride_a = stretch > 1 ? from_a[1] - from_a[0] : 0;
  spec.stride_b = stretch > 1 ? from_b[1] - from_b[0] : 0;
  spec.stride_d = m * n;
  const auto width = static_cast<std::int64_t>(tensor::size_of(type)),
             out_width = static_cast<std::int64_t>(tensor::size_of(out));
  for (std::int64_t i = 0; i < count; i += stretch)
    if (from_a[i] * width % 16 != 0 || from_b[i] * width % 16 != 0 || i * m * n * out_width % 16 != 0)
      spec.alignment = static_cast<std::uint32_t>(width);
  auto made = make_gemm(queue, spec);
  if (!made) return made.error();
  const auto product = *made;
  auto kernel = std::make_unique<Closure>(outputs, [=](const At& at) {
    for (std::int64_t i = 0; i < count; i += stretch)
      product->run(at.in<std::byte>(0) + from_a[i] * width, at.in<std::byte>(1) + from_b[i] * width,
                   at.out<std::byte>(0) + i * m * n * out_width, nullptr, at.scratch());
  });
  kernel->needs(product->workspace_bytes());
  return KernelPtr(std::move(kernel));
}

}  // namespace

Result<KernelPtr> linear_kernel(const Operation& op, Queue& queue) {
  switch (op.kind) {
    case Kind::conv2d:
      return conv2d(op, queue);
    case Kind::conv2d_grad_data:
      return conv2d_grad_data(op, queue);
    case Kind::conv2d_grad_weights:
      return conv2d_grad_weights(op, queue);
    case Kind::dense:
      return dense(op, queue);
    case Kind::dense_grad_data:
      return dense_grad_data(op, queue);
    case Kind::dense_grad_weights:
      return dense_grad_weights(op, queue);
    case Kind::matmul:
      return matmul(op, queue);
    default:
      return KernelPtr();
  }
}

}  // namespace trainyard::ops::cuda
