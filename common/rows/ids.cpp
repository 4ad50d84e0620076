#include "common/rows/ids.hpp"

#include <bit>
#include <cstring>
#include <utility>

namespace trainyard::rows {

namespace {

constexpr std::byte plain{0}, differences{1};
constexpr std::size_t id_bytes = sizeof(std::uint64_t);

Error broken(const char* what) { return {Errc::corrupt, what}; }

std::size_t bytes_of(std::uint64_t number) {
  return number == 0 ? 1 : static_cast<std::size_t>(std::bit_width(number) + 6) / 7;
}

Result<std::vector<std::uint64_t>> unpack_plain(std::span<const std::byte> bytes, std::uint64_t count) {
  if (bytes.size() / id_bytes != count || bytes.size() % id_bytes != 0)
    return broken("the ids are not as many as they should be");
  std::vector<std::uint64_t> ids(count);
  if (count > 0) std::memcpy(ids.data(), bytes.data(), bytes.size());
  for (std::uint64_t i = 1; i < count; ++i)
    if (ids[i - 1] >= ids[i]) return broken("the ids are not ascending");
  return ids;
}

}  // namespace

void pack_ids(std::span<const std::uint64_t> ids, std::vector<std::byte>& out) {
  std::size_t length = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) length += bytes_of(i == 0 ? ids[0] : ids[i] - ids[i - 1]);
  const std::size_t at = out.size();
  if (length >= ids.size() * id_bytes) {
    out.resize(at + 1 + ids.size() * id_bytes);
    out[at] = plain;
    if (!ids.empty()) std::memcpy(out.data() + at + 1, ids.data(), ids.size() * id_bytes);
    return;
  }
  out.resize(at + 1 + length);
  out[at] = differences;
  std::byte* to = out.data() + at + 1;
  std::uint64_t before = 0;
  for (const std::uint64_t id : ids) {
    std::uint64_t left = id - std::exchange(before, id);
    for (; left >= 0x80; left >>= 7) *to++ = static_cast<std::byte>(left | 0x80);
    *to++ = static_cast<std::byte>(left);
  }
}

Result<std::vector<std::uint64_t>> unpack_ids(std::span<const std::byte> bytes, std::uint64_t count) {
  if (bytes.empty()) return broken("there are no ids");
  const std::byte how = bytes[0];
  bytes = bytes.subspan(1);
  if (how == plain) return unpack_plain(bytes, count);
  if (how != differences) return broken("ids of a coding that there is not");
  if (count > bytes.size()) return broken("the ids are not as many as they should be");
  std::vector<std::uint64_t> ids(count);
  const std::byte* from = bytes.data();
  const std::byte* const end = from + bytes.size();
  std::uint64_t before = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::uint64_t difference = 0;
    for (unsigned shift = 0;; shift += 7) {
      if (from == end || shift > 63) return broken("the ids are cut short");
      const auto byte = static_cast<std::uint64_t>(*from++);
      if (shift == 63 && byte > 1) return broken("an id of more than 64 bits");
      difference |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    const std::uint64_t id = before + difference;
    if (i > 0 && id <= before) return broken("the ids are not ascending");
    ids[i] = before = id;
  }
  if (from != end) return broken("the ids are not as many as they should be");
  return ids;
}

}  // namespace trainyard::rows
