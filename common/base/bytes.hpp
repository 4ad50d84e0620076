// Bytes of foreign origin as text: whether they are UTF-8, and hex digits for those that are not.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace trainyard {

/// Length of the UTF-8 character at the front of `text`, 0 if there is none. Overlong forms, surrogates and
/// what lies above U+10FFFF are none (The Unicode Standard, table 3-7).
std::size_t utf8_length(std::string_view text);
bool is_utf8(std::string_view text);
std::string to_hex(std::string_view bytes);
/// Pairs of lowercase digits, as to_hex gives them; nothing else.
std::optional<std::string> from_hex(std::string_view digits);

}  // namespace trainyard
