// Rows that memory has no room for: a file of numbered places that is as old as its table. It has no name
// once it is open, so that no crash leaves one behind; checkpoints hold its rows. Several threads may use it,
// each with places of its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "common/base/result.hpp"

namespace trainyard::rows {

class Spill {
 public:
  static constexpr std::uint32_t extent_places = 64;
  static constexpr std::uint32_t places_max = std::uint32_t{1} << 31;

  /// In `directory`, which is made when it is not there; rows of `floats`.
  static Result<std::unique_ptr<Spill>> make(const std::string& directory, std::uint32_t floats);
  ~Spill();
  Spill(const Spill&) = delete;
  Spill& operator=(const Spill&) = delete;

  /// The first of `extent_places` places that are the caller's from now on. Errors: there are no more.
  Result<std::uint32_t> take_extent();

  struct Record {
    std::uint32_t place = 0;
    std::uint64_t id = 0;
    const float* row = nullptr;
  };
  /// Places that follow each other are written at once.
  Status write(std::span<const Record> records) const;
  /// Errors: io; corrupt when the place does not hold what was written for `id`.
  Status read(std::uint32_t place, std::uint64_t id, float* row) const;

  std::uint64_t bytes() const { return std::uint64_t{next_} * record_bytes(); }

 private:
  Spill(std::string directory, int descriptor, std::uint32_t floats)
      : directory_(std::move(directory)), descriptor_(descriptor), floats_(floats) {}
  // On disk: CRC-32 of what follows it, 4 bytes of zeros, the id, the floats; little-endian.
  std::size_t record_bytes() const { return 16 + std::size_t{floats_} * sizeof(float); }

  const std::string directory_;
  const int descriptor_;
  const std::uint32_t floats_;
  std::atomic<std::uint32_t> next_{0};  // place
};

}  // namespace trainyard::rows
