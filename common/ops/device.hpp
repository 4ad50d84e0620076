// Memory and time of a backend whose kernels do not run in the process's own: blocks of its memory, copies
// in and out, and an order in which everything enqueued happens. No kernels here. One thread uses a Device.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "common/base/result.hpp"

namespace trainyard::ops {

/// Work that was enqueued once while it was recorded, to be enqueued again at the cost of one call.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void replay() = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  /// "NVIDIA H100 80GB HBM3, 79 GiB"
  virtual const std::string& name() const = 0;

  /// Zeroed bytes of the device, aligned to 256. Errc::unavailable: it has no more.
  virtual Result<void*> allocate(std::size_t bytes) = 0;
  virtual void release(void* bytes) = 0;
  /// Zeroed bytes of the host from which copies neither block nor take a detour (pinned).
  virtual Result<void*> allocate_host(std::size_t bytes) = 0;
  virtual void release_host(void* bytes) = 0;

  /// Copies, enqueued behind all that was enqueued before. The host's bytes have to stay as they are until
  /// wait() returns.
  virtual void copy_in(void* to, const void* from, std::size_t bytes) = 0;
  virtual void copy_out(void* to, const void* from, std::size_t bytes) = 0;
  /// The same beside what is enqueued: it begins once all that was enqueued before the last call of join()
  /// is done, and is done before anything that is enqueued behind the next join().
  virtual void copy_in_beside(void* to, const void* from, std::size_t bytes) = 0;
  virtual void join() = 0;

  /// Runs `work`, which enqueues, and keeps what it enqueued instead of doing it. Errc::refused: something in
  /// it can't be recorded; nothing was enqueued.
  virtual Result<std::unique_ptr<Recording>> record(const std::function<void()>& work) = 0;
  /// Returns when all that was enqueued is done. An error is final: the device is of no more use.
  virtual Status wait() = 0;
};

/// A block of a device's memory, or of pinned memory. Owns it; moves, does not copy.
class Block {
 public:
  Block() = default;
  static Result<Block> of_device(Device& device, std::size_t bytes) {
    auto at = device.allocate(bytes);
    if (!at) return at.error();
    return Block(device, *at, bytes, false);
  }
  static Result<Block> of_host(Device& device, std::size_t bytes) {
    auto at = device.allocate_host(bytes);
    if (!at) return at.error();
    return Block(device, *at, bytes, true);
  }
  Block(Block&& other) noexcept { swap(other); }
  Block& operator=(Block&& other) noexcept {
    Block taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~Block() {
    if (device_ == nullptr) return;
    host_ ? device_->release_host(at_) : device_->release(at_);
  }

  std::byte* data() const { return static_cast<std::byte*>(at_); }
  std::size_t size() const { return size_; }

 private:
  Block(Device& device, void* at, std::size_t size, bool host)
      : device_(&device), at_(at), size_(size), host_(host) {}
  void swap(Block& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(at_, other.at_);
    std::swap(size_, other.size_);
    std::swap(host_, other.host_);
  }
  Device* device_ = nullptr;
  void* at_ = nullptr;
  std::size_t size_ = 0;
  bool host_ = false;
};

}  // namespace trainyard::ops
