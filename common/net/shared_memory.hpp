// Memory that two processes of one node see: an anonymous file without a name (memfd), which travels as a
// descriptor. Sealed, so that neither side can shrink it under the other. Owned by whoever holds it.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "common/base/descriptor.hpp"
#include "common/base/result.hpp"

namespace trainyard::net {

class SharedMemory {
 public:
  SharedMemory() = default;
  ~SharedMemory() { reset(); }
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;

  /// `bytes` > 0 of zeros, there before this returns: later use cannot fail for want of memory. Rounded up
  /// to whole pages.
  static Result<SharedMemory> make(std::size_t bytes);
  /// What another process made; mapped, the descriptor is not needed any more. Errors: it is not sealed, or
  /// of another size.
  enum class Access { read, write };
  static Result<SharedMemory> adopt(Descriptor descriptor, std::size_t bytes, Access access);

  /// Not to be written where it was adopted for reading.
  std::span<std::byte> bytes() const { return {first_, size_}; }
  /// To be handed over; -1 where it was adopted.
  int descriptor() const { return descriptor_.number(); }

 private:
  void reset();
  Descriptor descriptor_;
  std::byte* first_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace trainyard::net
