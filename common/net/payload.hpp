// Bytes of tensors on their way: what is sent, which several messages may share, and what was received.
// Plain owners; no sockets.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace trainyard::net {

/// A payload that was received; owns its bytes, and may be let go of on any thread. Movable. Aligned to 4
/// bytes at least.
class Payload {
 public:
  Payload() = default;
  Payload(std::span<const std::byte> bytes, std::shared_ptr<const void> owner)
      : bytes_(bytes), owner_(std::move(owner)) {}
  Payload(Payload&& other) noexcept
      : bytes_(std::exchange(other.bytes_, {})), owner_(std::move(other.owner_)) {}
  Payload& operator=(Payload&& other) noexcept {
    bytes_ = std::exchange(other.bytes_, {});
    owner_ = std::move(other.owner_);
    return *this;
  }
  std::span<const std::byte> bytes() const { return bytes_; }
  /// Empty unless the size is a multiple of 4.
  std::span<const float> floats() const {
    if (bytes_.size() % sizeof(float) != 0) return {};
    return {reinterpret_cast<const float*>(bytes_.data()), bytes_.size() / sizeof(float)};
  }

 private:
  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> owner_;
};

/// Bytes that several messages may share while they are in flight; never changed once handed over.
using SharedFloats = std::shared_ptr<const std::vector<float>>;
struct SharedBytes {
  SharedBytes() = default;
  SharedBytes(std::nullptr_t) {}
  SharedBytes(std::span<const std::byte> bytes, std::shared_ptr<const void> owns)
      : view(bytes), owner(std::move(owns)) {}
  template <typename T>
  SharedBytes(std::shared_ptr<T> values) : owner(values) {
    if (values) view = std::as_bytes(std::span(*values));
  }
  std::span<const std::byte> view;
  std::shared_ptr<const void> owner;
};

/// Memory to be filled and then sent without another copy; as SharedBytes it is not to be written any more.
struct Room {
  std::span<std::byte> bytes;
  std::shared_ptr<const void> owner;
  std::span<float> floats() const {
    return {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)};
  }
  operator SharedBytes() const { return {bytes, owner}; }
};

}  // namespace trainyard::net
