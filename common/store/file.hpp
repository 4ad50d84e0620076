// Files that are there whole or not at all: write to a temporary name, fsync, rename, fsync of the directory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "common/base/result.hpp"

namespace trainyard::store {

Status write_atomic(const std::string& path, std::string_view bytes);
Status write_atomic(const std::string& path, std::span<const std::span<const std::byte>> pieces);
/// At most `bytes_max`; Errc::not_found when there is no such file.
Result<std::string> read_file(const std::string& path, std::uint64_t bytes_max = std::uint64_t{1} << 30);
Status make_directories(const std::string& path);
Status sync_directory(const std::string& path);
std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t seed = 0);  // ISO 3309, as zlib has it

/// An advisory lock on a file, held until destroyed; also gone when the process dies. Errc::conflict names
/// the holder.
class FileLock {
 public:
  static Result<FileLock> take(const std::string& path);
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_ = -1;
};

}  // namespace trainyard::store
