#include <catch2/catch.hpp>

#include "common/base/random.hpp"
#include "common/net/endpoint.hpp"
#include "common/net/frame.hpp"
#include "common/net/url.hpp"

namespace trainyard::net {

TEST_CASE("endpoints are read and printed", "[net]") {
  CHECK(parse_endpoint("127.0.0.1:7077").value() == Endpoint{"127.0.0.1", 7077});
  CHECK(parse_endpoint("node-1.example:0").value() == Endpoint{"node-1.example", 0});
  CHECK(parse_endpoint("[::1]:80").value() == Endpoint{"::1", 80});
  CHECK(name(Endpoint{"::1", 80}) == "[::1]:80");
  for (const char* bad :
       {"", "host", "host:", ":80", "host:65536", "host:-1", "host:8o", "::1:80:", "[::1]"}) {
    INFO(bad);
    CHECK_FALSE(parse_endpoint(bad).has_value());
  }
  CHECK(is_loopback({"127.5.0.1", 1}));
  CHECK(is_loopback({"localhost", 1}));
  CHECK(is_loopback({"::1", 1}));
  CHECK_FALSE(is_loopback({"0.0.0.0", 1}));
  CHECK_FALSE(is_loopback({"10.0.0.1", 1}));
}

TEST_CASE("targets are decoded, and broken escapes stay as they are", "[net]") {
  HttpRequest request;
  parse_target("/api/v1/nodes/a%20b?tail=5&x=%41+b&flag", request);
  CHECK(request.path == "/api/v1/nodes/a b");
  CHECK(request.query.at("tail") == "5");
  CHECK(request.query.at("x") == "A b");
  CHECK(request.query.contains("flag"));
  CHECK(percent_decode("%4", false) == "%4");
  CHECK(percent_decode("%zz", false) == "%zz");
  Random random(3);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (std::uint64_t n = random.below(20); n-- > 0;) text += static_cast<char>(random.below(256));
    CHECK(percent_decode(percent_encode(text), false) == text);
    parse_target(text, request);
  }
}

TEST_CASE("a frame carries its length and checksum", "[net]") {
  const std::string bytes = frame("hello");
  std::array<unsigned char, frame_header_bytes> header{};
  std::copy_n(bytes.begin(), header.size(), header.begin());
  const auto parsed = parse_frame_header(header);
  REQUIRE(parsed.has_value());
  CHECK(parsed->length == 5);
  CHECK(parsed->checksum == frame_checksum("hello"));
  CHECK(frame_checksum("123456789") == 0xcbf43926u);  // the check value of CRC-32
  header = {0xff, 0xff, 0xff, 0x7f};
  CHECK_FALSE(parse_frame_header(header).has_value());
}

}  // namespace trainyard::net
