// Checkpoints on disk: one directory each, "step-<12 digits>-<incarnation>", parts first, manifest.json last.
// Without a manifest whose sizes and checksums hold, a directory is no checkpoint.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.hpp"

namespace trainyard::store {

struct PartInfo {
  std::string file;  // relative to the directory
  std::uint64_t bytes = 0;
  std::string checksum;  // CRC-32, 8 hex digits
  friend bool operator==(const PartInfo&, const PartInfo&) = default;
};

struct Manifest {
  std::uint64_t step = 0, epoch = 0;
  std::uint32_t incarnation = 0;
  std::vector<PartInfo> parts;
  friend bool operator==(const Manifest&, const Manifest&) = default;
};

std::string checkpoint_name(std::uint64_t step, std::uint32_t incarnation);
/// Durable when it returns.
Result<PartInfo> write_part(const std::string& directory, const std::string& file,
                            std::span<const std::span<const std::byte>> pieces);
Status write_manifest(const std::string& directory, const Manifest& manifest);
/// Checks that each part is there with its size; checksums are checked by read_part.
Result<Manifest> read_manifest(const std::string& directory);
Result<std::string> read_part(const std::string& directory, const PartInfo& part);
/// Removes a checkpoint that was never committed, so that its parts take no room; one with a manifest stays.
Status discard(const std::string& directory);
/// Removes all but the newest `keep` checkpoints (one is always kept), and torn directories older than the
/// newest. Returns how many went.
Result<std::size_t> prune(const std::string& checkpoints, std::uint32_t keep);
/// Before a gang goes on from `step` (0: from the beginning): removes what is of later steps, left by a life
/// that is over or by another job with the same folder, and what was never completed. Left there, it would be
/// newer than all that this life writes, and prune() would take those away.
Status rewind(const std::string& checkpoints, std::uint64_t step);

}  // namespace trainyard::store
