#include "common/store/file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

#include "common/base/descriptor.hpp"
#include "common/base/text.hpp"

namespace trainyard::store {

namespace {

Error io_error(const std::string& path, const char* what, int code = errno) {
  const bool full = code == ENOSPC || code == EDQUOT;
  const std::string reason = std::generic_category().message(code);
  return {code == ENOENT ? Errc::not_found : Errc::io,
          format("{}: cannot {}: {}{}", path, what, reason, full ? "; free some space there" : "")};
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Status write_all(int descriptor, const std::string& path,
                 std::span<const std::span<const std::byte>> pieces) {
  for (std::span<const std::byte> piece : pieces) {
    while (!piece.empty()) {
      const ssize_t written = ::write(descriptor, piece.data(), piece.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return io_error(path, "write");
      piece = piece.subspan(static_cast<std::size_t>(written));
    }
  }
  return {};
}

// Slicing by eight: Kounavis and Berry, "A Systematic Approach to Building High Performance Software-Based
// CRC Generators", 2005. table[0] is the plain byte table of the reflected polynomial 0xEDB88320.
constexpr auto crc_tables = [] {
  std::array<std::array<std::uint32_t, 256>, 8> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320u : 0u);
    table[0][byte] = crc;
  }
  for (std::size_t slice = 1; slice < 8; ++slice) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = table[slice - 1][byte];
      table[slice][byte] = (before >> 8) ^ table[0][before & 0xff];
    }
  }
  return table;
}();

}  // namespace

std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t seed) {
  static_assert(std::endian::native == std::endian::little, "the eight-byte steps read little-endian words");
  const auto& table = crc_tables;
  std::uint32_t crc = ~seed;
  while (bytes.size() >= 8) {
    std::uint32_t low, high;
    std::memcpy(&low, bytes.data(), 4);
    std::memcpy(&high, bytes.data() + 4, 4);
    low ^= crc;
    crc = table[7][low & 0xff] ^ table[6][(low >> 8) & 0xff] ^ table[5][(low >> 16) & 0xff] ^
          table[4][low >> 24] ^ table[3][high & 0xff] ^ table[2][(high >> 8) & 0xff] ^
          table[1][(high >> 16) & 0xff] ^ table[0][high >> 24];
    bytes = bytes.subspan(8);
  }
  for (const std::byte byte : bytes)
    crc = (crc >> 8) ^ table[0][(crc ^ static_cast<std::uint32_t>(byte)) & 0xff];
  return ~crc;
}

Status write_atomic(const std::string& path, std::string_view bytes) {
  const std::span<const std::byte> piece = std::as_bytes(std::span(bytes));
  return write_atomic(path, std::span(&piece, 1));
}

Status write_atomic(const std::string& path, std::span<const std::span<const std::byte>> pieces) {
  static std::atomic<std::uint64_t> count{0};
  const std::string temporary = format("{}.tmp.{}.{}", path, ::getpid(), count.fetch_add(1));
  Descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (file.number() < 0) return io_error(path, "create");
  const auto undo = [&](Error error) -> Status {
    ::unlink(temporary.c_str());
    return error;
  };
  if (const Status written = write_all(file.number(), path, pieces); !written) return undo(written.error());
  if (::fsync(file.number()) != 0) return undo(io_error(path, "fsync"));
  if (!file.close()) return undo(io_error(path, "close"));
  if (::rename(temporary.c_str(), path.c_str()) != 0) return undo(io_error(path, "rename into place"));
  return sync_directory(parent_of(path));
}

Result<std::string> read_file(const std::string& path, std::uint64_t bytes_max) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.number() < 0) return io_error(path, "open");
  struct stat status {};
  if (::fstat(file.number(), &status) != 0) return io_error(path, "look at");
  if (S_ISDIR(status.st_mode)) return Error{Errc::invalid, format("{}: is a directory, not a file", path)};
  const auto too_large = [&] {
    return Error{Errc::invalid, format("{}: is larger than {}", path, size_text(bytes_max))};
  };
  if (static_cast<std::uint64_t>(status.st_size) > bytes_max) return too_large();
  // Files of /proc say that they have no size; so the size is a first guess, and the end is where read says
  // so.
  std::string bytes(static_cast<std::size_t>(status.st_size) + 1, '\0');
  std::size_t used = 0;
  while (true) {
    if (used == bytes.size()) bytes.resize(bytes.size() * 2 + 4096);
    const ssize_t got = ::read(file.number(), bytes.data() + used, bytes.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return io_error(path, "read");
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
    if (used > bytes_max) return too_large();
  }
  bytes.resize(used);
  return bytes;
}

Status make_directories(const std::string& path) {
  if (path.empty()) return Error{Errc::invalid, "an empty path is no directory"};
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string prefix = path.substr(0, end);
    if (::mkdir(prefix.c_str(), 0755) == 0) {
      if (const Status synced = sync_directory(parent_of(prefix)); !synced) return synced;
    } else if (errno != EEXIST) {
      // Where nobody may create, the directory may still be there (EACCES, EROFS come before EEXIST on some
      // systems).
      const int code = errno;
      struct stat status {};
      if (::stat(prefix.c_str(), &status) != 0) return io_error(prefix, "create the directory", code);
    }
    if (end == std::string::npos) break;
  }
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return io_error(path, "look at");
  if (!S_ISDIR(status.st_mode))
    return Error{Errc::io, format("{}: is a file, but a directory is needed", path)};
  return {};
}

Status sync_directory(const std::string& path) {
  Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.number() < 0) return io_error(path, "open the directory");
  if (::fsync(directory.number()) != 0) return io_error(path, "fsync the directory");
  return {};
}

Result<FileLock> FileLock::take(const std::string& path) {
  Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (file.number() < 0) return io_error(path, "open the lock");
  if (::flock(file.number(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return io_error(path, "lock");
    std::array<char, 32> text{};
    const ssize_t got = ::pread(file.number(), text.data(), text.size(), 0);
    const std::string_view line(text.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
    const auto pid = parse_uint(line.substr(0, line.find('\n')));
    return Error{Errc::conflict, pid ? format("{}: is held by process {}", path, *pid)
                                     : format("{}: is held by another process", path)};
  }
  const std::string pid = format("{}\n", ::getpid());
  if (::ftruncate(file.number(), 0) != 0 ||
      ::pwrite(file.number(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return io_error(path, "write the lock");
  }
  const int kept =
      ::fcntl(file.number(), F_DUPFD_CLOEXEC, 0);  // the lock belongs to the open file, not the number
  if (kept < 0) return io_error(path, "keep the lock");
  return FileLock(kept);
}

FileLock::FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace trainyard::store
