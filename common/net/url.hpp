// The target of a request, decoded: path and query. Pure.
#pragma once

#include <string>
#include <string_view>

#include "common/net/http.hpp"

namespace trainyard::net {

/// "%41+b" -> "A b" in a query; a broken escape stays as it is.
std::string percent_decode(std::string_view text, bool plus_is_space);
std::string percent_encode(std::string_view text);
/// Fills path and query of `request` from "/a/b?c=d&e".
void parse_target(std::string_view target, HttpRequest& request);
std::string target_of(const HttpRequest& request);

}  // namespace trainyard::net
