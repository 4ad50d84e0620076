#include "common/collective/notice.hpp"

#include <algorithm>
#include <cstring>

namespace trainyard::collective {

namespace {
constexpr std::size_t head_bytes = 3;  // kind, length of the text
}

void append(std::vector<std::byte>& out, const Notice& notice) {
  const auto length =
      static_cast<std::uint16_t>(std::min(notice.text.size(), std::size_t{Notice::text_bytes_max}));
  const std::size_t at = out.size();
  out.resize(at + head_bytes + length);
  out[at] = static_cast<std::byte>(notice.kind);
  std::memcpy(out.data() + at + 1, &length, sizeof length);
  std::memcpy(out.data() + at + head_bytes, notice.text.data(), length);
}

void NoticeReader::add(std::span<const std::byte> bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

Result<std::optional<Notice>> NoticeReader::next() {
  if (bytes_.size() < head_bytes) return std::optional<Notice>();
  const auto kind = static_cast<std::uint8_t>(bytes_[0]);
  std::uint16_t length = 0;
  std::memcpy(&length, bytes_.data() + 1, sizeof length);
  if (kind < 1 || kind > 3 || length > Notice::text_bytes_max)
    return Error{Errc::corrupt, "a notice that is none"};
  if (bytes_.size() < head_bytes + length) return std::optional<Notice>();
  Notice notice{static_cast<Notice::Kind>(kind),
                std::string(reinterpret_cast<const char*>(bytes_.data()) + head_bytes, length)};
  bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(head_bytes + length));
  return std::optional(std::move(notice));
}

}  // namespace trainyard::collective
