// JSON values, in the order in which they were written. Parsing of foreign text goes through parse_json,
// which bounds size and depth and throws nothing.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "common/base/result.hpp"

namespace trainyard {

using Json = nlohmann::ordered_json;

/// Fails with Errc::invalid on malformed text, text above `bytes_max`, or nesting deeper than 64.
Result<Json> parse_json(std::string_view text, std::size_t bytes_max = std::size_t{16} << 20);

/// Text of a value; invalid UTF-8 is replaced, never thrown about. indent < 0 gives one line.
std::string to_text(const Json& value, int indent = -1);

}  // namespace trainyard
