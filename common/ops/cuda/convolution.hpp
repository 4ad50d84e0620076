// Convolutions of the device by cuDNN. Private to this backend.
#pragma once

#include <cstdint>
#include <memory>

#include "common/base/result.hpp"
#include "common/ops/cuda/queue.hpp"
#include "common/ops/operation.hpp"

namespace trainyard::ops::cuda {

enum class Pass : std::uint8_t { forward, data, weights };

/// x [N, I, h, w], w [O, I/groups, kh, kw], y [N, O, p, q]; all row major, or all channels last ([O, kh, kw,
/// I/groups]). Sums in float.
struct ConvolutionSpec {
  Pass pass = Pass::forward;
  Shape x, w, y;
  Attributes window;
  DType type = DType::f32;
  bool channels_last = false;
};

class Convolution {
 public:
  virtual ~Convolution() = default;
  /// Writes y, or dx, or dw: the tensor that `pass` names is written, the other two are read. Enqueues.
  virtual void run(void* x, void* w, void* y, void* workspace) const = 0;
  std::size_t workspace_bytes() const { return workspace_bytes_; }

 protected:
  std::size_t workspace_bytes_ = 0;
};

/// Errc::refused: the library has no kernel for it.
Result<std::shared_ptr<const Convolution>> make_convolution(Queue& queue, const ConvolutionSpec& spec);

}  // namespace trainyard::ops::cuda
