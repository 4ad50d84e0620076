// The safetensors format: an 8-byte little-endian header length, a JSON header, the data without holes. Read
// from foreign files, so every number in it is checked. Functions without state; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.hpp"

namespace trainyard::graph {

struct NamedTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

struct Safetensors {
  std::vector<NamedTensor> tensors;  // as their data lie
  std::map<std::string, std::string> metadata;
};

/// Written as F32. The metadata always say {"format": "pt"}: readers ask for it.
std::string to_safetensors(std::span<const NamedTensor> tensors,
                           const std::map<std::string, std::string>& metadata = {});
/// Every type of the format is read as float: F64, F32, F16, BF16, F8_E4M3, F8_E5M2, whole numbers and BOOL;
/// whole numbers beyond 2^24 and F64 are rounded. Errc::corrupt: bounds, overlaps, holes, lengths, names that
/// come twice, fields that do not belong there, a header above 100 MB.
Result<Safetensors> from_safetensors(std::string_view bytes);

}  // namespace trainyard::graph
