#include "common/collective/pieces.hpp"

#include <algorithm>

#include "common/base/check.hpp"

namespace trainyard::collective {

Piece piece_of(std::span<float> values) { return piece_of(values, values); }

Piece piece_of(std::span<const float> in, std::span<float> out) {
  check(in.size() == out.size(), "a piece has one length");
  return {std::as_bytes(in).data(), std::as_writable_bytes(out).data(), in.size_bytes()};
}

Pieces::Pieces(std::vector<Piece> pieces) : pieces_(std::move(pieces)) {
  std::erase_if(pieces_, [](const Piece& piece) { return piece.bytes == 0; });
  for (const Piece& piece : pieces_) {
    begins_.push_back(bytes_);
    bytes_ += piece.bytes;
  }
}

Piece Pieces::run(std::uint64_t at, std::uint64_t bytes_max) const {
  const auto behind = std::upper_bound(begins_.begin(), begins_.end(), at);
  check(at < bytes_, "a run lies within its pieces");
  const auto index = static_cast<std::size_t>(behind - begins_.begin()) - 1;
  const Piece& piece = pieces_[index];
  const std::uint64_t skipped = at - begins_[index];
  return {piece.in + skipped, piece.out + skipped, std::min<std::uint64_t>(piece.bytes - skipped, bytes_max)};
}

}  // namespace trainyard::collective
