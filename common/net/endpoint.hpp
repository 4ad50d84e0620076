// "host:port" as a value; IPv6 hosts stand in brackets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.hpp"

namespace trainyard::net {

struct Endpoint {
  std::string host;
  std::uint16_t port = 0;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

Result<Endpoint> parse_endpoint(std::string_view text);
std::string name(const Endpoint& endpoint);
/// 127.0.0.0/8, ::1 or "localhost".
bool is_loopback(const Endpoint& endpoint);

}  // namespace trainyard::net
