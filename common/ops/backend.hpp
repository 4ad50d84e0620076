// What a backend is: it prepares one kernel per operation and batch size, once, and says in which layout each
// result lies. A kernel is run many times, allocates nothing and keeps no
// state between runs. It knows no graph. One thread prepares and runs; a kernel uses that thread's OpenMP
// team.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/base/result.hpp"
#include "common/ops/operation.hpp"

namespace trainyard::tensor {
struct UpdatePlan;
}

namespace trainyard::ops {

/// What a loss writes beside the gradient.
struct Outcome {
  double loss_sum = 0;        // softmax and sigmoid cross-entropy: nats
  double weight_sum = 0;      // samples that counted, by their class weights
  std::uint64_t correct = 0;  // classifiers: arg max equals the label
};

/// How a tensor lies in memory. Only the backend that made it looks behind `bytes`.
struct Layout {
  virtual ~Layout() = default;
  std::size_t bytes = 0;
  /// Same place for each element: results may be written over operands.
  virtual bool same(const Layout& other) const = 0;
};
using LayoutPtr = std::shared_ptr<const Layout>;

class Device;
struct UpdateMemory;

struct Operand {
  Shape shape;       // bound
  LayoutPtr layout;  // none: an optional operand that is absent
  DType type = DType::f32;
  const void* constant = nullptr;  // the bytes, when they are the same in every run
};

/// Is operand `index` there?
inline bool present(const std::vector<Operand>& inputs, std::size_t index) {
  return index < inputs.size() && inputs[index].layout != nullptr;
}

struct Operation {
  Kind kind = Kind::unary;
  Attributes attributes;
  std::vector<Operand> inputs;
  std::vector<Signature> outputs;  // bound
  std::vector<bool> unread;        // outputs that nobody reads; empty: all may be read

  /// A kernel may leave out what an output that nobody reads would cost.
  bool read(std::size_t output) const { return output >= unread.size() || !unread[output]; }
};

class Kernel {
 public:
  virtual ~Kernel() = default;
  /// Pointers in the order of the contract; 64-byte aligned for what the arena holds. `scratch` has
  /// scratch_bytes and keeps nothing between runs.
  virtual void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) = 0;
  std::size_t scratch_bytes() const { return scratch_bytes_; }
  const std::vector<LayoutPtr>& outputs() const { return outputs_; }
  /// The input that output 0 may lie over, because each element is read before it is written; -1: none.
  int in_place() const { return in_place_; }
  /// Output 0 is input 0 as it lies: nothing has to run.
  bool view() const { return view_; }

 protected:
  std::vector<LayoutPtr> outputs_;
  std::size_t scratch_bytes_ = 0;
  int in_place_ = -1;
  bool view_ = false;
};

class Backend {
 public:
  virtual ~Backend() = default;
  /// The row-major layout.
  virtual LayoutPtr plain(const Shape& shape, DType type = DType::f32) const = 0;
  /// Bytes that no kernel of this backend arranges: labels, keys.
  virtual LayoutPtr raw(std::size_t bytes) const = 0;
  /// Builds a kernel; fails with Errc::refused when the library has no implementation.
  virtual Result<std::unique_ptr<Kernel>> prepare(const Operation& operation) const = 0;
  /// Whose memory the kernels' pointers are of; null: the process's own. Kernels of a device only enqueue.
  virtual Device* device() const { return nullptr; }
  /// Enqueues a step of an update rule over values that the device keeps; see ops/update.hpp.
  virtual Status update(const tensor::UpdatePlan&, const UpdateMemory&) const {
    return Error{Errc::refused, "a backend without a device keeps no values"};
  }
};

/// Naive loops, one thread: the oracle. Real is float or double.
template <typename Real>
std::unique_ptr<Backend> reference_backend();
extern template std::unique_ptr<Backend> reference_backend<float>();
extern template std::unique_ptr<Backend> reference_backend<double>();

/// Denormal numbers become zero in this thread and its OpenMP team: they cost a hundred times as much and
/// mean nothing here. Cheap enough for every step.
void flush_denormals();

/// oneDNN for the heavy operators, own loops for the rest.
std::unique_ptr<Backend> cpu_backend();

/// The GPU number `index` of those that CUDA_VISIBLE_DEVICES leaves. Errc::unavailable says in one line why
/// there is none: no driver, no such GPU, or libraries that are missing. common/ops/cuda is a shared object
/// of its own, which this loads, so that programs run where no library of CUDA is installed.
Result<std::unique_ptr<Backend>> cuda_backend(int index);

}  // namespace trainyard::ops
