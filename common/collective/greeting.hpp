// What two neighbours of a ring say to each other before any values travel, so that a stale life of a job, or
// anybody else, is refused by name. Pure; bytes of a peer are read with bounds.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/base/result.hpp"

namespace trainyard::collective {

/// The first bytes of each connection of a ring; where a port is shared, they tell what it is.
inline constexpr std::string_view ring_magic = "TYRG";
inline constexpr std::uint32_t ring_version = 1;
inline constexpr std::size_t secret_bytes_max = 128;
inline constexpr std::size_t hello_bytes = 4 * 5 + 8 + secret_bytes_max;  // behind the magic

/// From a rank to the next one.
struct Hello {
  std::uint32_t version = ring_version;
  std::uint64_t job = 0;
  std::uint32_t incarnation = 0, rank = 0, ranks = 0;
  std::string secret;  // at most secret_bytes_max; the job's, which its tasks alone know
};

std::array<std::byte, hello_bytes> encode(const Hello& hello);
/// Errc::corrupt.
Result<Hello> decode_hello(std::span<const std::byte, hello_bytes> bytes);
/// Why `next` refuses `hello`, where it does; it expects one as `own` with the rank before its own.
std::optional<std::string> refusal(const Hello& own, const Hello& hello);

inline constexpr std::size_t welcome_text_max = 240;
inline constexpr std::size_t welcome_bytes = 4 + welcome_text_max;

/// The answer: with `accepted` the name of a local socket that takes shared memory, or nothing; else why not.
struct Welcome {
  bool accepted = false;
  std::string text;  // cut at welcome_text_max
};

std::array<std::byte, welcome_bytes> encode(const Welcome& welcome);
Result<Welcome> decode_welcome(std::span<const std::byte, welcome_bytes> bytes);

/// The last word of the greeting, from the rank that said hello: how its values will travel.
enum class Way : std::uint8_t { stream = 'T', shared = 'S' };

}  // namespace trainyard::collective
