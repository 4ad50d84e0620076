// The JSON header of a safetensors file, read without a tree of values: what it says takes little more memory
// than its text. Private to common/graph.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.hpp"

namespace trainyard::graph {

inline constexpr std::uint64_t kSafetensorsHeaderMax = 100'000'000;
inline constexpr std::size_t kSafetensorsDimsMax = 16;

struct SafetensorsEntry {
  std::string name, dtype;
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0, end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // in the order of the text
  std::map<std::string, std::string> metadata;
};

/// Errors say what is not as the format has it.
Result<SafetensorsHeader> read_safetensors_header(std::string_view text);

}  // namespace trainyard::graph
