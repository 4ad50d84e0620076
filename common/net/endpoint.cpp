#include "common/net/endpoint.hpp"

#include "common/base/text.hpp"

namespace trainyard::net {

Result<Endpoint> parse_endpoint(std::string_view text) {
  const auto bad = [&](std::string_view why) {
    return Error{
        Errc::invalid,
        format("'{}' is not an address: {}; write host:port, for example 127.0.0.1:7077", text, why)};
  };
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad("no port");
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']'))
    host = host.substr(1, host.size() - 2);
  else if (host.find(':') != std::string_view::npos)
    return bad("an IPv6 host stands in brackets");
  if (host.empty()) return bad("no host");
  if (host.size() > 253) return bad("the host is longer than 253 characters");
  const auto port = parse_uint(text.substr(colon + 1));
  if (!port || *port > 65535) return bad("the port is not within 0..65535");
  return Endpoint{std::string(host), static_cast<std::uint16_t>(*port)};
}

std::string name(const Endpoint& endpoint) {
  const bool v6 = endpoint.host.find(':') != std::string::npos;
  return v6 ? format("[{}]:{}", endpoint.host, endpoint.port) : format("{}:{}", endpoint.host, endpoint.port);
}

bool is_loopback(const Endpoint& endpoint) {
  return endpoint.host == "localhost" || endpoint.host == "::1" || endpoint.host.starts_with("127.");
}

}  // namespace trainyard::net
