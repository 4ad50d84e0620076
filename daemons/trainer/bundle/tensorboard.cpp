#include "daemons/trainer/bundle/tensorboard.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

namespace trainyard::trainer {

namespace {

static_assert(std::endian::native == std::endian::little, "the file is little endian, and so are our values");

constexpr std::array<std::uint32_t, 256> crc_table = [] {
  constexpr std::uint32_t polynomial = 0x82f63b78;  // 0x1edc6f41 with its bits reversed
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? polynomial : 0);
    table[byte] = crc;
  }
  return table;
}();

template <typename T>
std::string raw(T value) {
  std::string out(sizeof value, '\0');
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}

std::uint32_t masked_crc(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

std::string record(std::string_view payload) {
  const std::string length = raw(static_cast<std::uint64_t>(payload.size()));
  return length + raw(masked_crc(length)) + std::string(payload) + raw(masked_crc(payload));
}

std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}

// Fields of a Protobuf message: number, wire type, value.
std::string field(unsigned number, double value) { return varint(number << 3 | 1) + raw(value); }
std::string field(unsigned number, float value) { return varint(number << 3 | 5) + raw(value); }
std::string field(unsigned number, std::uint64_t value) { return varint(number << 3) + varint(value); }
std::string field(unsigned number, std::string_view value) {
  return varint(number << 3 | 2) + varint(value.size()) + std::string(value);
}

std::string event(double wall_seconds, std::uint64_t step, const std::map<std::string, double>& metrics) {
  std::string summary;
  for (const auto& [tag, value] : metrics) {
    if (!std::isfinite(value)) continue;
    summary +=
        field(1, std::string_view(field(1, std::string_view(tag)) + field(2, static_cast<float>(value))));
  }
  return field(1, wall_seconds) + field(2, step) + field(5, std::string_view(summary));
}

double seconds_of(const EpochRow& row) {
  const auto it = row.metrics.find("seconds");
  return it == row.metrics.end() || !std::isfinite(it->second) ? 0 : it->second;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t crc = ~0u;
  for (const char byte : bytes) crc = (crc >> 8) ^ crc_table[(crc ^ static_cast<unsigned char>(byte)) & 0xff];
  return ~crc;
}

std::string tensorboard_events(std::span<const EpochRow> history, const std::map<std::string, double>& last,
                               WallMillis ended) {
  double wall = static_cast<double>(ended) / 1000;
  for (const EpochRow& row : history) wall -= seconds_of(row);
  std::string out = record(field(1, wall) + field(3, std::string_view("brain.Event:2")));
  for (const EpochRow& row : history) {
    wall += seconds_of(row);
    out += record(event(wall, row.step, row.metrics));
  }
  if (!last.empty()) out += record(event(wall, history.empty() ? 0 : history.back().step, last));
  return out;
}

}  // namespace trainyard::trainer
