// The stream on which kernels are enqueued, without CUDA's headers, and the first thing that went wrong on
// it. Private to this backend.
#pragma once

#include <cstddef>
#include <string>

namespace trainyard::ops::cuda {

class Queue {
 public:
  explicit Queue(void* stream = nullptr) : stream_(stream) {}
  /// A cudaStream_t.
  void* stream() const { return stream_; }
  /// Keeps the first failure; `code` is a cudaError_t.
  void note(int code, const char* doing);
  void fail(std::string message) {
    if (failure_.empty()) failure_ = std::move(message);
  }
  void forget_failure() { failure_.clear(); }
  /// Empty: nothing went wrong.
  const std::string& failure() const { return failure_; }

 private:
  void* stream_;
  std::string failure_;
};

/// Enqueues zeros, and a copy within the device.
void zero(Queue& queue, void* to, std::size_t bytes);
void copy(Queue& queue, void* to, const void* from, std::size_t bytes);

}  // namespace trainyard::ops::cuda
