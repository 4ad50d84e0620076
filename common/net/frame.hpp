// The framing of control sessions, pure: length, checksum, body. Both ends and the tests share it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.hpp"

namespace trainyard::net {

inline constexpr std::string_view control_magic = "TYC1";
inline constexpr std::size_t frame_header_bytes = 8;
inline constexpr std::size_t frame_bytes_max = std::size_t{4} << 20;

struct FrameHeader {
  std::uint32_t length = 0;    // of the body
  std::uint32_t checksum = 0;  // CRC-32 of the body
};

std::uint32_t frame_checksum(std::string_view body);
/// Header and body as they go over the wire; a body above frame_bytes_max is a bug of the caller.
std::string frame(std::string_view body);
Result<FrameHeader> parse_frame_header(const std::array<unsigned char, frame_header_bytes>& bytes);

}  // namespace trainyard::net
