// Host memory aligned to a cache line at least, and zeroed; large ones lie in huge pages where there are
// some. Owns its bytes; moves, does not copy. Any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>

namespace trainyard::tensor {

inline constexpr std::size_t kAlignment = 64;  // bytes: a cache line, and the widest vector

constexpr std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t bytes);

  std::byte* data() { return bytes_.get(); }
  const std::byte* data() const { return bytes_.get(); }
  std::size_t size() const { return size_; }
  /// The bytes as floats; whole ones only.
  std::span<float> floats() { return {reinterpret_cast<float*>(bytes_.get()), size_ / sizeof(float)}; }
  std::span<const float> floats() const {
    return {reinterpret_cast<const float*>(bytes_.get()), size_ / sizeof(float)};
  }

 private:
  struct Free {
    void operator()(std::byte* bytes) const;
    std::align_val_t alignment;
  };
  std::unique_ptr<std::byte, Free> bytes_{nullptr, Free{std::align_val_t{kAlignment}}};
  std::size_t size_ = 0;
};

}  // namespace trainyard::tensor
