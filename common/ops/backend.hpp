// The contract of every operator, and what a backend is: it prepares one kernel per operation and batch size,
// once, and says in which layout each result lies. A kernel is run many times, allocates nothing and keeps no
// state between runs. It knows no graph. One thread prepares and runs; a kernel uses that thread's OpenMP
// team.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/base/result.hpp"
#include "common/tensor/shape.hpp"

namespace trainyard::ops {

using tensor::Shape;

/// x: input, y: output, w: weight, b: bias; d...: gradient of the loss with respect to it. Parameters, their
/// gradients and everything one-dimensional are plain; activations lie as the backend likes. Images are
/// [N, C, H, W]; a flat activation is [N, F].
enum class Kind : std::uint8_t {
  conv2d,               // (x, w [O,I,k,k], b?) -> y; cross-correlation, zero padding
  conv2d_grad_data,     // (dy, w) -> dx
  conv2d_grad_weights,  // (x, dy) -> dw, db?; sums over the batch
  dense,                // (x, w [O,F], b?) -> y [N,O]; an image x counts as flat
  dense_grad_data,      // (dy, w) -> dx, in the shape of the forward's x
  dense_grad_weights,   // (x, dy) -> dw, db?
  batch_norm,           // (x, gamma, beta, running mean, running variance) -> y, mean, variance, mask?, next
               // running mean * N, next running variance * N; statistics of the batch, biased variance
               // (Ioffe, Szegedy, 2015, algorithm 1); running ones unbiased, momentum 0.1, as in PyTorch
  batch_norm_inference,   // (x, gamma, beta, running mean, running variance) -> y
  batch_norm_grad,        // (x, dy, mean, variance, gamma, mask?) -> dx, dgamma, dbeta
  relu,                   // (x) -> y; y may lie where x does
  relu_grad,              // (y, dy) -> dx; dx may lie where dy does
  max_pool,               // (x) -> y, where?; windows inside the input only; where: what the gradient needs
  max_pool_grad,          // (dy, where) -> dx
  avg_pool,               // (x) -> y, where?
  avg_pool_grad,          // (dy, where) -> dx
  flatten,                // (x) -> y [N,F], row major
  flatten_grad,           // (dy) -> dx
  dropout,                // (x, keys u64 [N], step u64 [1]) -> y; kept values are divided by 1 - rate
  dropout_grad,           // (dy, keys, step) -> dx; draws the same mask again
  softmax,                // (x) -> p [N,K], plain
  softmax_cross_entropy,  // (x, labels i32 [N]) -> dx, Outcome; dx of the sum of losses in nats, not of the
                          // mean
};

/// What an operation is beyond its operands; a kind uses the fields that it needs.
struct Attributes {
  std::int64_t kernel_height = 1, kernel_width = 1, stride = 1;
  std::int64_t pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
  double rate = 0;         // dropout
  std::uint64_t seed = 0;  // dropout: of the job and the layer
  bool relu = false;       // batch_norm*: rectify y in the same pass
  bool workspace = true;   // pools: keep what the gradient needs
};

/// What softmax_cross_entropy writes beside the gradient.
struct Outcome {
  double loss_sum = 0;  // nats
  std::uint64_t correct = 0;
};

inline constexpr double kBatchNormEpsilon = 1e-5;
inline constexpr double kBatchNormMomentum = 0.1;

/// How a tensor lies in memory. Only the backend that made it looks behind `bytes`.
struct Layout {
  virtual ~Layout() = default;
  std::size_t bytes = 0;
  /// Same place for each element: results may be written over operands.
  virtual bool same(const Layout& other) const = 0;
};
using LayoutPtr = std::shared_ptr<const Layout>;

struct Operand {
  Shape shape;  // bound
  LayoutPtr layout;
};

struct Operation {
  Kind kind = Kind::relu;
  Attributes attributes;
  std::vector<Operand> inputs;
  std::vector<Shape> outputs;  // bound; an empty shape lets the backend choose (masks and the like)
};

class Kernel {
 public:
  virtual ~Kernel() = default;
  /// Pointers in the order of the contract; 64-byte aligned for what the arena holds. `scratch` has
  /// scratch_bytes and keeps nothing between runs.
  virtual void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) = 0;
  std::size_t scratch_bytes() const { return scratch_bytes_; }
  const std::vector<LayoutPtr>& outputs() const { return outputs_; }

 protected:
  std::vector<LayoutPtr> outputs_;
  std::size_t scratch_bytes_ = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  /// The row-major layout of real numbers.
  virtual LayoutPtr plain(const Shape& shape) const = 0;
  /// Bytes that no kernel of this backend arranges: labels, keys.
  virtual LayoutPtr raw(std::size_t bytes) const = 0;
  /// Builds a kernel; fails with Errc::refused when the library has no implementation.
  virtual Result<std::unique_ptr<Kernel>> prepare(const Operation& operation) const = 0;
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

}  // namespace trainyard::ops
