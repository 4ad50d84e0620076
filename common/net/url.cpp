#include "common/net/url.hpp"

#include "common/base/text.hpp"

namespace trainyard::net {

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool unreserved(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
         c == '.' || c == '~';
}

}  // namespace

std::string percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i] == '+' && plus_is_space ? ' ' : text[i];
    }
  }
  return out;
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (unreserved(c))
      out += c;
    else
      out += format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

void parse_target(std::string_view target, HttpRequest& request) {
  const auto question = target.find('?');
  request.path = percent_decode(target.substr(0, question), false);
  if (question == std::string_view::npos) return;
  for (const std::string& pair : split(target.substr(question + 1), '&')) {
    if (pair.empty()) continue;
    const auto equals = pair.find('=');
    request.query[percent_decode(std::string_view(pair).substr(0, equals), true)] =
        equals == std::string::npos ? "" : percent_decode(std::string_view(pair).substr(equals + 1), true);
  }
}

std::string target_of(const HttpRequest& request) {
  std::string out;
  for (const std::string& part : split(request.path, '/'))
    out += (out.empty() && part.empty() ? "" : "/") + percent_encode(part);
  if (out.empty()) out = "/";
  char separator = '?';
  for (const auto& [key, value] : request.query) {
    out += separator + percent_encode(key) + '=' + percent_encode(value);
    separator = '&';
  }
  return out;
}

}  // namespace trainyard::net
