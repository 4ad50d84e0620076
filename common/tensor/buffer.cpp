#include "common/tensor/buffer.hpp"

#include <cstring>
#include <new>

namespace trainyard::tensor {

Buffer::Buffer(std::size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  bytes_.reset(static_cast<std::byte*>(::operator new (aligned(bytes), std::align_val_t{kAlignment})));
  std::memset(bytes_.get(), 0, aligned(bytes));
}

void Buffer::Free::operator()(std::byte* bytes) const {
  ::operator delete (bytes, std::align_val_t{kAlignment});
}

}  // namespace trainyard::tensor
