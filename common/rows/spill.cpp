#include "common/rows/spill.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

#include "common/base/text.hpp"
#include "common/store/file.hpp"

namespace trainyard::rows {

namespace {

constexpr std::size_t write_bytes_max = std::size_t{1} << 20;

Error failed(const std::string& directory, const char* what, int code) {
  const bool full = code == ENOSPC || code == EDQUOT;
  return {Errc::io, format("{}: cannot {} spilled rows: {}{}", directory, what,
                           std::generic_category().message(code), full ? "; free some space there" : "")};
}

std::uint32_t checksum(const std::byte* record, std::size_t bytes) {
  return store::crc32({record + 4, bytes - 4});
}

}  // namespace

Result<std::unique_ptr<Spill>> Spill::make(const std::string& directory, std::uint32_t floats) {
  if (const Status made = store::make_directories(directory); !made) return made.error();
  std::string name = directory + "/rows-XXXXXX";
  const int descriptor = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor < 0) return failed(directory, "make a file for", errno);
  ::unlink(name.c_str());
  return std::unique_ptr<Spill>(new Spill(directory, descriptor, floats));
}

Spill::~Spill() { ::close(descriptor_); }

Result<std::uint32_t> Spill::take_extent() {
  const std::uint32_t first = next_.fetch_add(extent_places);
  if (first < places_max) return first;
  next_ = places_max;
  return Error{Errc::io, format("{}: {} spilled rows are all that a table can have", directory_, places_max)};
}

Status Spill::write(std::span<const Record> records) const {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < records.size();) {
    const std::uint32_t first = records[i].place;
    bytes.clear();
    std::size_t count = 0;
    for (; i + count < records.size() && records[i + count].place == first + count &&
           bytes.size() < write_bytes_max;
         ++count) {
      const Record& one = records[i + count];
      const std::size_t at = bytes.size();
      bytes.resize(at + record_bytes());
      std::memcpy(bytes.data() + at + 8, &one.id, sizeof(one.id));
      std::memcpy(bytes.data() + at + 16, one.row, floats_ * sizeof(float));
      const std::uint32_t sum = checksum(bytes.data() + at, record_bytes());
      std::memcpy(bytes.data() + at, &sum, sizeof(sum));
    }
    i += count;
    std::size_t done = 0;
    while (done < bytes.size()) {
      const auto at = static_cast<off_t>(first * record_bytes() + done);
      const ssize_t wrote = ::pwrite(descriptor_, bytes.data() + done, bytes.size() - done, at);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return failed(directory_, "write", errno);
      done += static_cast<std::size_t>(wrote);
    }
  }
  return {};
}

Status Spill::read(std::uint32_t place, std::uint64_t id, float* row) const {
  thread_local std::vector<std::byte> bytes;
  bytes.resize(record_bytes());
  std::size_t done = 0;
  while (done < bytes.size()) {
    const auto at = static_cast<off_t>(place * record_bytes() + done);
    const ssize_t got = ::pread(descriptor_, bytes.data() + done, bytes.size() - done, at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed(directory_, "read", errno);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  std::uint32_t sum = 0;
  std::uint64_t written = 0;
  std::memcpy(&sum, bytes.data(), sizeof(sum));
  std::memcpy(&written, bytes.data() + 8, sizeof(written));
  if (done < bytes.size() || written != id || sum != checksum(bytes.data(), bytes.size())) {
    return Error{Errc::corrupt, format("{}: a spilled row is not what was written (row {})", directory_, id)};
  }
  std::memcpy(row, bytes.data() + 16, floats_ * sizeof(float));
  return {};
}

}  // namespace trainyard::rows
