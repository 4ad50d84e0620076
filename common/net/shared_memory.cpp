#include "common/net/shared_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/base/text.hpp"

namespace trainyard::net {

namespace {

constexpr int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

Error failed(const char* what, int code) {
  return {Errc::io, format("shared memory: {}: {}", what, std::strerror(code))};
}

std::size_t whole_pages(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

}  // namespace

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : descriptor_(std::move(other.descriptor_)),
      first_(std::exchange(other.first_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  if (this != &other) {
    reset();
    descriptor_ = std::move(other.descriptor_);
    first_ = std::exchange(other.first_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void SharedMemory::reset() {
  if (first_ != nullptr) ::munmap(std::exchange(first_, nullptr), std::exchange(size_, 0));
}

Result<SharedMemory> SharedMemory::make(std::size_t bytes) {
  const std::size_t size = whole_pages(bytes);
  Descriptor file(::memfd_create("trainyard", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) return failed("no anonymous file", errno);
  if (::fchmod(file.number(), S_IRUSR | S_IWUSR) != 0) return failed("fchmod", errno);
  if (::ftruncate(file.number(), static_cast<off_t>(size)) != 0) return failed("ftruncate", errno);
  // A page that is first wanted while it is written, and is not to be had, would be a SIGBUS.
  if (const int code = ::posix_fallocate(file.number(), 0, static_cast<off_t>(size)); code != 0)
    return failed("no memory", code);
  if (::fcntl(file.number(), F_ADD_SEALS, seals) != 0) return failed("seals", errno);
  Descriptor kept(::fcntl(file.number(), F_DUPFD_CLOEXEC, 0));
  if (!kept) return failed("no descriptor", errno);
  auto made = adopt(std::move(file), size, Access::write);
  if (made) made->descriptor_ = std::move(kept);
  return made;
}

Result<SharedMemory> SharedMemory::adopt(Descriptor file, std::size_t bytes, Access access) {
  const std::size_t size = whole_pages(bytes);
  const int has = ::fcntl(file.number(), F_GET_SEALS);
  if (has < 0 || (has & F_SEAL_SHRINK) == 0) return Error{Errc::corrupt, "shared memory: it is not sealed"};
  struct stat info {};
  if (::fstat(file.number(), &info) != 0) return failed("fstat", errno);
  if (size == 0 || static_cast<std::size_t>(info.st_size) != size)
    return Error{Errc::corrupt, format("shared memory: {} bytes instead of {}", info.st_size, size)};
  const int rights = access == Access::write ? PROT_READ | PROT_WRITE : PROT_READ;
  void* const memory = ::mmap(nullptr, size, rights, MAP_SHARED | MAP_POPULATE, file.number(), 0);
  if (memory == MAP_FAILED) return failed("mmap", errno);
  SharedMemory out;
  out.first_ = static_cast<std::byte*>(memory);
  out.size_ = size;
  return out;
}

}  // namespace trainyard::net
