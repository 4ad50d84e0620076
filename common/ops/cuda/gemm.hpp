// Matrix products of the device by cuBLASLt. All matrices are row major. Private to this backend.
#pragma once

#include <cstdint>
#include <memory>

#include "common/base/result.hpp"
#include "common/ops/cuda/queue.hpp"
#include "common/tensor/dtype.hpp"

namespace trainyard::ops::cuda {

using tensor::DType;

/// d = activation(op(a) op(b) + beta d + bias), sums in float. a is [m, k], or [k, m] where it is transposed;
/// b is [k, n] or [n, k]; d is [m, n]. Strides are from one matrix of a batch to the next, in elements; 0:
/// all the same.
struct GemmSpec {
  std::int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
  std::int64_t row_a = 0, row_b = 0, row_d = 0;  // elements from a row to the next
  std::int64_t batch = 1, stride_a = 0, stride_b = 0, stride_d = 0;
  DType in = DType::f32, out = DType::f32;
  bool accumulate = false;          // beta is 1, else 0
  bool bias = false, relu = false;  // bias [n], of the type `out`
  std::uint32_t alignment = 16;     // bytes, of all matrices
};

class Gemm {
 public:
  virtual ~Gemm() = default;
  /// `bias` may be null when the spec has none. Nothing may overlap d. Enqueues.
  virtual void run(const void* a, const void* b, void* d, const void* bias, void* workspace) const = 0;
  std::size_t workspace_bytes() const { return workspace_bytes_; }

 protected:
  std::size_t workspace_bytes_ = 0;
};

/// Errc::refused: the library has no kernel for it.
Result<std::shared_ptr<const Gemm>> make_gemm(Queue& queue, const GemmSpec& spec);

}  // namespace trainyard::ops::cuda
