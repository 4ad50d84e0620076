// The bounds that both directions of the codec keep. Of common/protocol itself.
#pragma once

#include <cstddef>
#include <cstdint>

namespace trainyard::protocol {

inline constexpr std::size_t elements_max = 100'000;  // fields of one message, at all depths
inline constexpr std::size_t last_lines_max = 20;
inline constexpr std::size_t last_line_bytes_max = 500;
inline constexpr std::size_t bad_named_max = 100;
inline constexpr std::size_t log_chunk_bytes_max = std::size_t{256} << 10;
inline constexpr std::size_t name_bytes_max = 256;       // nodes, roles, phases, metrics, labels, addresses
inline constexpr std::size_t text_bytes_max = 64 << 10;  // reasons, paths
inline constexpr std::size_t job_bytes_max = std::size_t{1} << 20;
inline constexpr std::uint64_t count_max = std::uint64_t{1} << 62;  // two of them add up without overflow
inline constexpr std::uint64_t cpu_millis_max = 1'000'000'000;
inline constexpr std::uint32_t gpus_max = 1024;
inline constexpr std::uint32_t members_max = 100'000;  // of one role of a gang

}  // namespace trainyard::protocol
