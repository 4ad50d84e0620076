#include "common/runtime/daemon.hpp"

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/support/temp_dir.hpp"

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
                                          Catch::Contains("PEM files") &&
                                          !Catch::Contains("security.token_file"));
}

TEST_CASE("an error becomes the exit code that scripts rely on", "[runtime]") {
  CHECK(runtime::fail({Errc::invalid, "x"}) == 2);
  CHECK(runtime::fail({Errc::unavailable, "x"}) == 3);
  CHECK(runtime::fail({Errc::not_found, "x"}) == 1);
  CHECK(runtime::fail({Errc::refused, "x"}) == 5);
  CHECK(runtime::fail({Errc::io, "x"}) == 1);
}

TEST_CASE("a reload takes over the log settings alone, and nothing of a bad file", "[runtime]") {
  const test::TempDir dir;
  const std::string file = dir / "cluster.yaml";
  const auto write = [&](const std::string& text) { std::ofstream(file, std::ios::trunc) << text; };
  write("log: {level: info}\nmaster: {lost_after: 20s}\n");
  std::string words[] = {"test", "--config", file, "--log-format", "json"};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  auto loaded = runtime::load_cluster_config("test", "", static_cast<int>(argv.size()), argv.data());
  REQUIRE(loaded.config.has_value());
  CHECK(loaded.config->log.format == "json");

  write("log: {level: error}\nmaster: {lost_after: 40s}\n");
  runtime::reload(loaded);
  CHECK(loaded.config->log.level == "error");
  CHECK(loaded.config->log.format == "json");  // what the command line says stays
  CHECK(loaded.config->master.lost_after == 20s);
  write("log: {level: shout}\n");
  runtime::reload(loaded);
  CHECK(loaded.config->log.level == "error");
}
