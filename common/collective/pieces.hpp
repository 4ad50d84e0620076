// A bucket: arrays that one operation treats as a single one, without copying them together. Views alone;
// the memory is the caller's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace trainyard::collective {

/// `bytes` are read from `in` and the result is written to `out`, which may be the same, else they do not
/// overlap.
struct Piece {
  const std::byte* in = nullptr;
  std::byte* out = nullptr;
  std::size_t bytes = 0;
};

Piece piece_of(std::span<float> values);
/// Of the same length.
Piece piece_of(std::span<const float> in, std::span<float> out);

class Pieces {
 public:
  Pieces() = default;
  explicit Pieces(std::vector<Piece> pieces);

  std::uint64_t bytes() const { return bytes_; }
  const std::vector<Piece>& all() const { return pieces_; }
  /// What lies in one piece from byte `at` on, at most `bytes_max`; at < bytes().
  Piece run(std::uint64_t at, std::uint64_t bytes_max) const;

 private:
  std::vector<Piece> pieces_;
  std::vector<std::uint64_t> begins_;
  std::uint64_t bytes_ = 0;
};

}  // namespace trainyard::collective
