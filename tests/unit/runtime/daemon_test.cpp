#include "common/runtime/daemon.hpp"

#include <catch2/catch.hpp>

using namespace trainyard;

TEST_CASE("an address that others can reach needs a token and TLS, and the message says what is missing",
          "[runtime]") {
  CHECK(runtime::check_listen_allowed({"127.0.0.1", 7077}, {}).has_value());
  CHECK(runtime::check_listen_allowed({"::1", 7077}, {}).has_value());
  const auto refused = runtime::check_listen_allowed({"0.0.0.0", 7077}, {.token_file = "token"});
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == Errc::refused);
  CHECK_THAT(refused.error().message, Catch::StartsWith("refused to listen on 0.0.0.0:7077") &&
                                          Catch::Contains("security.tls_certificate, security.tls_key") &&
                                          !Catch::Contains("security.token_file"));
}

TEST_CASE("an error becomes the exit code that scripts rely on", "[runtime]") {
  CHECK(runtime::fail({Errc::invalid, "x"}) == 2);
  CHECK(runtime::fail({Errc::unavailable, "x"}) == 3);
  CHECK(runtime::fail({Errc::not_found, "x"}) == 4);
  CHECK(runtime::fail({Errc::refused, "x"}) == 5);
  CHECK(runtime::fail({Errc::io, "x"}) == 1);
}
