#include "common/net/frame.hpp"

#include <boost/crc.hpp>

#include "common/base/text.hpp"

namespace trainyard::net {

namespace {

void put(std::string& out, std::uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>((value >> shift) & 0xff);
}

std::uint32_t get(const unsigned char* bytes) {
  return static_cast<std::uint32_t>(bytes[0]) | static_cast<std::uint32_t>(bytes[1]) << 8 |
         static_cast<std::uint32_t>(bytes[2]) << 16 | static_cast<std::uint32_t>(bytes[3]) << 24;
}

}  // namespace

std::uint32_t frame_checksum(std::string_view body) {
  boost::crc_32_type crc;
  crc.process_bytes(body.data(), body.size());
  return crc.checksum();
}

std::string frame(std::string_view body) {
  check(body.size() <= frame_bytes_max, "a control frame is too large");
  std::string out;
  out.reserve(frame_header_bytes + body.size());
  put(out, static_cast<std::uint32_t>(body.size()));
  put(out, frame_checksum(body));
  out += body;
  return out;
}

Result<FrameHeader> parse_frame_header(const std::array<unsigned char, frame_header_bytes>& bytes) {
  const FrameHeader header{get(bytes.data()), get(bytes.data() + 4)};
  if (header.length > frame_bytes_max)
    return Error{Errc::corrupt, format("a frame of {} bytes is larger than the limit of {}", header.length,
                                       frame_bytes_max)};
  return header;
}

}  // namespace trainyard::net
