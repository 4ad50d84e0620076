// What the kernels of this backend share: how tensors lie, and a kernel that is one closure which enqueues.
// Private to this backend.
//
// Tensors are row major, or, images in 16 bits, channels last: [N, H, W, C], as tensor cores want them.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "common/ops/backend.hpp"
#include "common/ops/cuda/queue.hpp"
#include "common/tensor/buffer.hpp"

namespace trainyard::ops::cuda {

enum class Order : std::uint8_t { row_major, channels_last, raw };

struct DeviceLayout final : Layout {
  DeviceLayout(Order lies, Shape of, std::size_t size, bool images_last = false)
      : order(lies), shape(std::move(of)), last(images_last) {
    bytes = size;
  }
  bool same(const Layout& other) const override {
    // All layouts of a backend are its own.
    const auto& that = static_cast<const DeviceLayout&>(other);
    return order == that.order && bytes == that.bytes &&
           (order != Order::channels_last || shape == that.shape);
  }
  Order order;
  Shape shape;
  bool last;  // of a raw one: the image that it says something about lies channels last
};

LayoutPtr plain_layout(const Shape& shape, DType type);
LayoutPtr raw_layout(std::size_t bytes);
/// Row major where that is the same: one channel, or one pixel.
LayoutPtr channels_last_layout(const Shape& shape, DType type);

inline bool is_channels_last(const Operand& operand) {
  return operand.layout != nullptr &&
         static_cast<const DeviceLayout&>(*operand.layout).order == Order::channels_last;
}
/// The layout of another tensor with the shape of `operand` that lies in the same order.
LayoutPtr layout_like(const Operand& operand, DType type);

/// An activation as [N, C, H, W], and the steps from a channel and a pixel to the next: a flat one is an
/// image of one pixel, axes beyond the fourth are more pixels.
struct Image {
  Image(const Shape& shape, bool channels_last)
      : n(shape[0]), c(shape[1]), h(shape.rank() > 2 ? shape[2] : 1), w(shape.volume(3)) {
    // One pixel lies in both ways at once; calling it channels last lets neighbours be read together.
    last = channels_last || h * w == 1;
    channel_step = last ? 1 : h * w;
    pixel_step = last ? c : 1;
  }
  explicit Image(const Operand& operand) : Image(operand.shape, is_channels_last(operand)) {}
  std::int64_t pixels() const { return h * w; }
  std::int64_t n, c, h, w, channel_step, pixel_step;
  bool last;
};

class At {
 public:
  At(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch)
      : inputs_(inputs), outputs_(outputs), scratch_(static_cast<std::byte*>(scratch)) {}
  /// Null: absent.
  template <typename T = void>
  const T* in(std::size_t index) const {
    return index < inputs_.size() ? static_cast<const T*>(inputs_[index]) : nullptr;
  }
  template <typename T = void>
  T* out(std::size_t index) const {
    return static_cast<T*>(outputs_[index]);
  }
  template <typename T = void>
  T* scratch(std::size_t offset = 0) const {
    return static_cast<T*>(static_cast<void*>(scratch_ + offset));
  }
  std::span<void* const> inputs() const { return inputs_; }
  std::span<void* const> outputs() const { return outputs_; }

 private:
  std::span<void*const> inputs_, outputs_;
  std::byte* scratch_;
};

class Closure final : public Kernel {
 public:
  using Body = std::function<void(const At&)>;
  Closure(std::vector<LayoutPtr> outputs, Body body) : body_(std::move(body)) {
    outputs_ = std::move(outputs);
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    body_(At(inputs, outputs, scratch));
  }
  void over(int input) { in_place_ = input; }
  void needs(std::size_t scratch_bytes) { scratch_bytes_ = scratch_bytes; }
  void views() { view_ = true; }

 private:
  Body body_;
};

using KernelPtr = std::unique_ptr<Kernel>;

/// A kernel whose results are row major in the shapes and types that the operation names.
std::unique_ptr<Closure> closure(const Operation& op, Closure::Body body);

/// Offsets of parts of scratch memory.
class Area {
 public:
  std::size_t add(std::size_t bytes) {
    const std::size_t at = bytes_;
    bytes_ += (bytes + 255) / 256 * 256;
    return at;
  }
  template <typename T>
  std::size_t add(std::int64_t count) {
    return add(static_cast<std::size_t>(count) * sizeof(T));
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_ = 0;
};

// One dispatch a family: null when the kind, or the type, is not its. Those marked take images as they lie,
// all others row major.
KernelPtr elementwise_kernel(const Operation&, Queue&);  // as they lie
KernelPtr batch_norm_kernel(const Operation&, Queue&);   // as they lie
KernelPtr norm_kernel(const Operation&, Queue&);
KernelPtr pool_kernel(const Operation&, Queue&);            // as they lie
Result<KernelPtr> linear_kernel(const Operation&, Queue&);  // as they lie; errors: no library has it
KernelPtr movement_kernel(const Operation&, Queue&);        // a reshape as it lies
KernelPtr index_kernel(const Operation&, Queue&);
KernelPtr along_kernel(const Operation&, Queue&);
KernelPtr reduce_kernel(const Operation&, Queue&);
KernelPtr loss_kernel(const Operation&, Queue&);
KernelPtr bag_kernel(const Operation&, Queue&);
Result<KernelPtr> attention_kernel(const Operation&, Queue&);
Result<KernelPtr> self_attention_kernel(const Operation&, Queue&);
Result<KernelPtr> recurrent_kernel(const Operation&, Queue&);
KernelPtr resize_kernel(const Operation&, Queue&);
KernelPtr crf_kernel(const Operation&, Queue&);

/// Enqueues [outer, rows, columns] -> [outer, columns, rows] of elements of `bytes` each.
void turn_matrices(Queue&, const void* from, void* to, std::int64_t outer, std::int64_t rows,
                   std::int64_t columns, std::size_t bytes);

/// Any kernel of the backend, with images brought into the order that it wants.
Result<KernelPtr> prepare_kernel(const Operation& operation, Queue& queue);

}  // namespace trainyard::ops::cuda
