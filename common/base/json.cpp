#include "common/base/json.hpp"

#include "common/base/text.hpp"

namespace trainyard {

namespace {

constexpr int depth_max = 64;

bool too_deep(std::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      if (++depth > depth_max) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

}  // namespace

Result<Json> parse_json(std::string_view text, std::size_t bytes_max) {
  if (text.size() > bytes_max)
    return Error{Errc::invalid,
                 format("JSON of {} bytes is larger than the limit of {}", text.size(), bytes_max)};
  if (too_deep(text)) return Error{Errc::invalid, format("JSON is nested deeper than {} levels", depth_max)};
  Json value = Json::parse(text, nullptr, false);
  if (value.is_discarded()) return Error{Errc::invalid, "not valid JSON"};
  return value;
}

std::string to_text(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace trainyard
