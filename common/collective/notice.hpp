// Short words that go round a ring against the direction of the values: that a rank lives, that it leaves in
// order, that something failed and whose fault it is. Pure; bytes of a peer are read with bounds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.hpp"

namespace trainyard::collective {

struct Notice {
  enum class Kind : std::uint8_t { alive = 1, leaves = 2, failed = 3 };
  Kind kind = Kind::alive;
  std::string text;  // of failed, at most text_bytes_max
  static constexpr std::size_t text_bytes_max = 1024;
};

void append(std::vector<std::byte>& out, const Notice& notice);

/// Puts notices together from what arrives, in any pieces.
class NoticeReader {
 public:
  void add(std::span<const std::byte> bytes);
  /// The next whole one. Errc::corrupt: what came is none.
  Result<std::optional<Notice>> next();

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace trainyard::collective
