// Pooling of images as they lie. A gradient looks at the windows that hold each of its places, in their
// order, instead of adding to places from several threads: the same bits each time.
#include "common/ops/cuda/kernel.hpp"
#include "common/ops/cuda/numbers.hpp"

namespace trainyard::ops::cuda {
namespace {

/// A pixel of an image, by the place of an element in memory.
struct Pixel {
  std::int64_t n, c, h, w;
};

struct Plane {
  explicit Plane(const Image& x) : channels(x.c), height(x.h), width(x.w), last(x.last) {
    narrow = x.n * x.c * x.pixels() < (std::int64_t{1} << 31);
  }
  template <typename Index>
  __device__ Pixel split(Index at) const {
    const auto c = static_cast<Index>(channels), h = static_cast<Index>(height),
               w = static_cast<Index>(width);
    if (last) return {at / c / w / h, at % c, at / c / w % h, at / c % w};
    return {at / w / h / c, at / w / h % c, at / w % h, at % w};
  }
  __device__ Pixel pixel(std::int64_t at) const {
    return narrow ? split(static_cast<std::uint32_t>(at)) : split(at);
  }
  __device__ std::int64_t at(std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w) const {
    return last ? ((n * height + h) * width + w) * channels + c
                : ((n * channels + c) * height + h) * width + w;
  }
  std::int64_t channels, height, width;
  bool last, narrow;
};

struct Window {
  explicit Window(const Attributes& a)
      : kernel_h(a.kernel_height),
        kernel_w(a.kernel_width),
        stride_h(a.stride_height),
        stride_w(a.stride_width),
        dilation_h(a.dilation_height),
        dilation_w(a.dilation_width),
        top(a.pad_top),
        left(a.pad_left),
        count_padding(a.count_padding) {}
  /// Calls visit(h, w, number in the window) for each place of window (p, q) that is inside of x.
  template <typename Visit>
  __device__ void each_place(const Plane& x, std::int64_t p, std::int64_t q, const Visit& visit) const {
    for (std::int64_t r = 0; r < kernel_h; ++r)
      for (std::int64_t s = 0; s < kernel_w; ++s) {
        const std::int64_t h = p * stride_h + r * dilation_h - top, w = q * stride_w + s * dilation_w - left;
        if (h >= 0 && h < x.height && w >= 0 && w < x.width) visit(h, w, r * kernel_w + s);
      }
  }
  /// Calls visit(p, q, number of (h, w) in it) for each window of y that holds (h, w).
  template <typename Visit>
  __device__ void each_window(const Plane& y, std::int64_t h, std::int64_t w, const Visit& visit) const {
    for (std::int64_t r = kernel_h; r-- > 0;) {
      const std::int64_t p = h + top - r * dilation_h;
      if (p < 0 || p % stride_h != 0 || p / stride_h >= y.height) continue;
      for (std::int64_t s = kernel_w; s-- > 0;) {
        const std::int64_t q = w + left - s * dilation_w;
        if (q < 0 || q % stride_w != 0 || q / stride_w >= y.width) continue;
        visit(p / stride_h, q / stride_w, r * kernel_w + s);
      }
    }
  }
  /// What an average over window (p, q) divides by.
  __device__ float divisor(const Plane& x, std::int64_t p, std::int64_t q) const {
    if (count_padding) return static_cast<float>(kernel_h * kernel_w);
    std::int64_t places = 0;
    each_place(x, p, q, [&](std::int64_t, std::int64_t, std::int64_t) { ++places; });
    return static_cast<float>(places);
  }
  std::int64_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, top, left;
  bool count_padding;
};

/// `where` keeps the number of the largest place in its window, the first of equals; it lies as y does.
template <typename T>
struct MaxPool {
  Window window;
  Plane from, to;
  const T* x;
  T* y;
  std::int32_t* where;
  __device__ void operator()(std::int64_t i) const {
    const Pixel at = to.pixel(i);
    float best = 0;
    std::int64_t place = -1;
    window.each_place(from, at.h, at.w, [&](std::int64_t h, std::int64_t w, std::int64_t number) {
      const float value = widen(x[from.at(at.n, at.c, h, w)]);
      if (place >= 0 && !(value > best)) return;
      best = value;
      place = number;
    });
    y[i] = narrow<T>(best);
    if (where != nullptr) where[i] = static_cast<std::int32_t>(place);
  }
};

template <typename T>
struct MaxPoolGrad {
  Window window;
  Plane of_x, of_y;
  const T* dy;
  const std::int32_t* where;
  T* dx;
  __device__ void operator()(std::int64_t i) const {
    const Pixel at = of_x.pixel(i);
    float sum = 0;
    window.each_window(of_y, at.h, at.w, [&](std::int64_t p, std::int64_t q, std::int64_t number) {
      const std::int64_t y = of_y.at(at.n, at.c, p, q);
      if (where[y] == number) sum += widen(dy[y]);
    });
    dx[i] = narrow<T>(sum);
  }
};

template <typename T>
struct AvgPool {
  Window window;
  Plane from, to;
  const T* x;
  T* y;
  __device__ void operator()(std::int64_t i) const {
    const Pixel at = to.pixel(i);
    float sum = 0;
    window.each_place(from, at.h, at.w, [&](std::int64_t h, std::int64_t w, std::int64_t) {
      sum += widen(x[from.at(at.n, at.c, h, w)]);
    });
    y[i] = narrow<T>(sum / window.divisor(from, at.h, at.w));
  }
};

/// A window that is the whole image: one team sums a plane, or, where channels lie beside each other, each
/// thread of a team a channel.
template <typename T>
struct GlobalPool {
  std::int64_t channels, pixels;
  bool last;
  float share;
  const T* x;
  T* y;
  __device__ void operator()(const Team& team) const {
    const auto add = [](float a, float b) { return a + b; };
    float sum = 0;
    if (!last) {
      for (std::int64_t p = team.thread(); p < pixels; p += team.threads())
        sum += widen(x[team.index() * pixels + p]);
      sum = team.reduce(sum, add);
      if (team.thread() == 0) y[team.index()] = narrow<T>(sum * share);
      return;
    }
    const std::int64_t tiles = (channels + team.threads() - 1) / team.threads();
    const std::int64_t n = team.index() / tiles, c = team.index() % tiles * team.threads() + team.thread();
    if (c >= channels) return;
    for (std::int64_t p = 0; p < pixels; ++p) sum += widen(x[(n * pixels + p) * channels + c]);
    y[n * channels + c] = narrow<T>(sum * share);
  }
};

template <typename T>
struct AvgPoolGrad {
  Window window;
  Plane of_x, of_y;
  const T* dy;
  T* dx;
  __device__ void operator()(std::int64_t i) const {
    const Pixel at = of_x.pixel(i);
    float sum = 0;
    window.each_window(of_y, at.h, at.w, [&](std::int64_t p, std::int64_t q, std::int64_t) {
      sum += widen(dy[of_y.at(at.n, at.c, p, q)]) / window.divisor(of_x, p, q);
    });
    dx[i] = narrow<T>(sum);
  }
};

bool is_global(const Attributes& a, const Image& x, const Image& y) {
  return y.pixels() == 1 && a.kernel_height == x.h && a.kernel_width == x.w && a.dilation_height == 1 &&
         a.dilation_width == 1 && a.pad_top == 0 && a.pad_left == 0;
}

/// The layout of y, and the image as it lies.
LayoutPtr y_layout(const Operand& x, const Signature& y) {
  return is_channels_last(x) ? channels_last_layout(y.shape, y.type) : plain_layout(y.shape, y.type);
}
Image image_in(const Shape& shape, const LayoutPtr& layout) { return Image({shape, layout, DType::f32}); }

KernelPtr pool(const Operation& op, Queue& queue) {
  const bool maximum = op.kind == Kind::max_pool;
  const Image x(op.inputs[0]);
  std::vector<LayoutPtr> outputs{y_layout(op.inputs[0], op.outputs[0])};
  const Image y = image_in(op.outputs[0].shape, outputs[0]);
  const std::int64_t count = op.outputs[0].shape.elements();
  const Window window(op.attributes);
  const bool keep = op.attributes.workspace;
  if (keep)
    outputs.push_back(std::make_shared<DeviceLayout>(
        Order::raw, Shape{}, maximum ? static_cast<std::size_t>(count) * sizeof(std::int32_t) : 0, y.last));
  return by_real(op.inputs[0].type, [&]<typename T>(T) -> KernelPtr {
    if (maximum)
      return std::make_unique<Closure>(outputs, [=, &queue](const At& at) {
        each(queue, count,
             MaxPool<T>{window, Plane(x), Plane(y), at.in<T>(0), at.out<T>(0),
                        keep ? at.out<std::int32_t>(1) : nullptr});
      });
    if (!is_global(op.attributes, x, y))
      return std::make_unique<Closure>(outputs, [=, &queue](const At& at) {
        each(queue, count, AvgPool<T>{window, Plane(x), Plane(y), at.in<T>(0), at.out<T>(0)});
      });
    const int threads = 128;
    const std::int64_t count_teams = x.last ? x.n * ((x.c + threads - 1) / threads) : x.n * x.c;
    return std::make_unique<Closure>(outputs, [=, &queue](const At& at) {
      teams(queue, count_teams, threads,
            GlobalPool<T>{x.c, x.pixels(), x.last, 1.0f / static_cast<float>(x.pixels()), at.in<T>(0),
                          at.out<T>(0)});
    });
  });
}

/// dx lies as dy does, and so do the places that `where` speaks of.
KernelPtr pool_grad(const Operation& op, Queue& queue) {
  const bool maximum = op.kind == Kind::max_pool_grad;
  const Image y(op.inputs[0]);
  const bool last = is_channels_last(op.inputs[0]) || (y.last && tensor::size_of(op.inputs[0].type) == 2);
  const LayoutPtr layout = last ? channels_last_layout(op.outputs[0].shape, op.outputs[0].type)
                                : plain_layout(op.outputs[0].shape, op.outputs[0].type);
  const Image x = image_in(op.outputs[0].shape, layout);
  const std::int64_t count = op.outputs[0].shape.elements();
  const Window window(op.attributes);
  return by_real(op.inputs[0].type, [&]<typename T>(T) -> KernelPtr {
    return std::make_unique<Closure>(std::vector{layout}, [=, &queue](const At& at) {
      if (maximum)
        each(queue, count,
             MaxPoolGrad<T>{window, Plane(x), Plane(y), at.in<T>(0), at.in<std::int32_t>(1), at.out<T>(0)});
      else
        each(queue, count, AvgPoolGrad<T>{window, Plane(x), Plane(y), at.in<T>(0), at.out<T>(0)});
    });
  });
}

}  // namespace

KernelPtr pool_kernel(const Operation& op, Queue& queue) {
  switch (op.kind) {
    case Kind::max_pool:
    case Kind::avg_pool:
      return pool(op, queue);
    case Kind::max_pool_grad:
    case Kind::avg_pool_grad:
      return pool_grad(op, queue);
    default:
      return nullptr;
  }
}

}  // namespace trainyard::ops::cuda
