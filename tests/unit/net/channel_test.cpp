#include <catch2/catch.hpp>
#include <numeric>
#include <thread>

#include "common/net/data_channel.hpp"

namespace trainyard::net {

namespace {

SharedFloats floats_of(std::size_t count, float first = 0) {
  auto out = std::make_shared<std::vector<float>>(count);
  std::iota(out->begin(), out->end(), first);
  return out;
}

std::unique_ptr<DataServer> bound() {
  auto server = DataServer::bind("127.0.0.1");
  REQUIRE(server.has_value());
  return std::move(*server);
}

std::unique_ptr<DataClient> connected(const DataServer& server) {
  auto client = DataClient::connect(server.endpoint());
  REQUIRE(client.has_value());
  return std::move(*client);
}

}  // namespace

TEST_CASE("tensors travel with their header, there and back", "[net]") {
  const auto server = bound();
  const auto client = connected(*server);
  const SharedFloats sent = floats_of(1'000'000);
  client->send("push", sent);
  const auto got = server->receive(5s);
  REQUIRE(got.has_value());
  CHECK(got->header == "push");
  REQUIRE(got->payload.floats().size() == sent->size());
  CHECK(std::equal(sent->begin(), sent->end(), got->payload.floats().begin()));
  server->send(got->peer, "values", floats_of(3, 7));
  const auto back = client->receive(5s);
  REQUIRE(back.has_value());
  CHECK(back->header == "values");
  CHECK(back->payload.floats()[2] == 9);
  client->send("empty", nullptr);
  const auto empty = server->receive(5s);
  REQUIRE(empty.has_value());
  CHECK(empty->payload.floats().empty());
}

TEST_CASE("a peer that is gone is no error, and nobody waits for nothing", "[net]") {
  const auto server = bound();
  auto client = connected(*server);
  client->send("hello", nullptr);
  const auto hello = server->receive(5s);
  REQUIRE(hello.has_value());
  client.reset();
  for (int i = 0; i < 10; ++i) server->send(hello->peer, "anybody?", floats_of(1000));
  CHECK_FALSE(server->receive(10ms).has_value());
  const auto next = connected(*server);
  next->send("again", nullptr);
  CHECK(server->receive(5s).has_value());
}

TEST_CASE("a waiting server is woken from another thread", "[net]") {
  const auto server = bound();
  const auto began = std::chrono::steady_clock::now();
  std::thread waker([&] {
    std::this_thread::sleep_for(50ms);
    server->wake();
  });
  CHECK_FALSE(server->receive(20s).has_value());
  waker.join();
  CHECK(std::chrono::steady_clock::now() - began < 10s);
}

}  // namespace trainyard::net
