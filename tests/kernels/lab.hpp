// A bench for kernels: puts tensors into a backend, runs one operation with poisoned outputs, reads plain
// values back, and holds the cpu backend against the reference for every way in which activations may lie.
// Test code of one thread.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "common/base/random.hpp"
#include "common/ops/backend.hpp"
#include "common/ops/deterministic.hpp"
#include "common/tensor/buffer.hpp"

namespace trainyard::ops {

struct Tensor {
  Shape shape;
  std::vector<double> values;
};

/// Uniform values, exact in float.
Tensor random_tensor(Random& random, const Shape& shape, double low = -1, double high = 1);

/// A tensor as one backend keeps it.
/// One without a layout is an operand that is absent.
struct Held {
  Shape shape;
  LayoutPtr layout;
  std::shared_ptr<tensor::Buffer> bytes;
  DType type = DType::f32;
};

/// How an image lies that is not row major.
enum class Images : std::uint8_t { as_a_convolution_leaves_it, channels_last, blocks_of_eight };

class Lab {
 public:
  /// Activation number i is an image in this order when bit i of `blocked` is set.
  static Lab cpu(std::uint32_t blocked = 0, Images order = Images::as_a_convolution_leaves_it) {
    Lab lab(cpu_backend(), sizeof(float), blocked);
    lab.order_ = order;
    return lab;
  }
  /// The same bits with any number of threads.
  static Lab deterministic(std::uint32_t blocked = 0) {
    return Lab(deterministic_cpu_backend(), sizeof(float), blocked);
  }
  /// Any backend of floats, also one whose memory is a device's: operands are copied in and results out.
  static Lab of(std::shared_ptr<Backend> backend) { return Lab(std::move(backend), sizeof(float), 0); }
  static Lab reference() { return Lab(reference_backend<double>(), sizeof(double), 0); }
  static Lab reference_float() { return Lab(reference_backend<float>(), sizeof(float), 0); }

  /// Row major; whole numbers and storage types are what the values round to.
  Held plain(const Tensor& tensor, DType type = DType::f32) const;
  /// A plain tensor, or an image in another order; see cpu().
  Held activation(const Tensor& tensor);
  /// Bytes beside the tensors.
  template <typename T>
  Held raw(const std::vector<T>& values) const {
    Held held =
        hold(Shape{static_cast<std::int64_t>(values.size())}, backend_->raw(values.size() * sizeof(T)));
    std::copy(values.begin(), values.end(), reinterpret_cast<T*>(held.bytes->data()));
    return held;
  }
  /// A tensor of whole numbers.
  template <typename T>
  Held whole(const Shape& shape, DType type, const std::vector<T>& values) const {
    Held held = hold(Signature(shape, type), backend_->plain(shape, type));
    std::copy(values.begin(), values.end(), reinterpret_cast<T*>(held.bytes->data()));
    return held;
  }

  /// Runs the operation three times over outputs and scratch memory full of different nonsense. Requires: the
  /// same bytes each time, operands untouched, no byte written past the end, zeros where an image has
  /// padding.
  std::vector<Held> run(Kind kind, const Attributes& attributes, const std::vector<Held>& inputs,
                        const std::vector<Signature>& outputs) const;
  /// The same with the attributes and results that ops::infer gives.
  std::vector<Held> run(Kind kind, const Attributes& attributes, const std::vector<Held>& inputs) const;
  /// The same, written over operand `index`; the layouts must be the same place by place.
  Held run_over(std::size_t index, Kind kind, const Attributes& attributes,
                const std::vector<Held>& inputs) const;

  /// The values in row-major order, whatever the layout and type.
  Tensor take(const Held& held) const;
  Outcome outcome(const Held& held) const { return *reinterpret_cast<const Outcome*>(held.bytes->data()); }
  std::uint32_t activations() const { return activations_; }

 private:
  Lab(std::shared_ptr<Backend> backend, std::size_t real_bytes, std::uint32_t blocked)
      : backend_(std::move(backend)), real_bytes_(real_bytes), blocked_(blocked) {}
  Held hold(const Signature& of, LayoutPtr layout) const;
  Held as_a_convolution_leaves_it(const Held& image) const;
  /// Runs a kernel where its memory is; everything is brought there and back.
  void run_kernel(Kernel& kernel, std::span<void* const> inputs, const std::vector<Held>& operands,
                  std::span<void* const> outputs, const std::vector<Held>& results,
                  tensor::Buffer& scratch) const;

  std::shared_ptr<Backend> backend_;
  std::size_t real_bytes_;
  std::uint32_t blocked_, activations_ = 0;
  Images order_ = Images::as_a_convolution_leaves_it;
};

/// A shape of `rank` awkward extents, sometimes 0, whose volume is bounded.
Shape random_shape(Random& random, std::size_t rank);

/// What a test computes on either backend.
using Computation = std::function<std::vector<Tensor>(Lab&)>;

/// Calls use(lab) for each backend, and each arrangement of so many activations, that this program holds
/// against the reference. Each program has its own.
void each_subject(std::uint32_t activations, const std::function<void(Lab)>& use);

/// Requires that each subject gives what the reference gives; `tolerance` is relative to the largest value of
/// a tensor, or to 1 when that is larger.
void agree(const Computation& computation, double tolerance = 2e-5);

void require_close(const Tensor& actual, const Tensor& expected, double tolerance);

}  // namespace trainyard::ops
