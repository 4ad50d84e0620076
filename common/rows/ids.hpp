// Ids on the wire. Ascending ids none of which comes twice become the differences between them, 7 bits a byte
// (LEB128: DWARF 5, section 7.6), or stay as they are where that is shorter; a byte in front says which.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/result.hpp"

namespace trainyard::rows {

/// At the end of `out`.
void pack_ids(std::span<const std::uint64_t> ids, std::vector<std::byte>& out);
/// Errors: corrupt unless these are `count` ascending ids, none twice, and nothing else.
Result<std::vector<std::uint64_t>> unpack_ids(std::span<const std::byte> bytes, std::uint64_t count);

}  // namespace trainyard::rows
