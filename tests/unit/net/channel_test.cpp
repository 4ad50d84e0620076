#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <numeric>
#include <thread>

#include "common/base/random.hpp"
#include "common/net/data_channel.hpp"

namespace trainyard::net {

namespace {

SharedFloats floats_of(std::size_t count, float first = 0) {
  auto out = std::make_shared<std::vector<float>>(count);
  std::iota(out->begin(), out->end(), first);
  return out;
}

std::unique_ptr<DataServer> bound(std::uint16_t port = 0) {
  auto server = DataServer::bind("127.0.0.1", port);
  // ZeroMQ gives a port back a moment after its socket is closed.
  for (int i = 0; i < 500 && !server && port != 0; ++i) {
    std::this_thread::sleep_for(10ms);
    server = DataServer::bind("127.0.0.1", port);
  }
  REQUIRE(server.has_value());
  return std::move(*server);
}

std::unique_ptr<DataClient> connected(const std::string& endpoint) {
  auto client = DataClient::connect(endpoint);
  REQUIRE(client.has_value());
  return std::move(*client);
}
std::unique_ptr<DataClient> connected(const DataServer& server) { return connected(server.endpoint()); }

std::uint16_t port_of(const std::string& endpoint) {
  return static_cast<std::uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1)));
}

/// Each case over both ways; `shared` is off for one end at least where it says TCP.
enum class Way { shared, tcp };
struct Chosen {
  explicit Chosen(Way way) { ::setenv("TRAINYARD_SHARED_MEMORY", way == Way::shared ? "on" : "off", 1); }
  ~Chosen() { ::unsetenv("TRAINYARD_SHARED_MEMORY"); }
};
Way any_way() { return GENERATE(Way::shared, Way::tcp); }

/// Sends until the server has it: messages may be lost when a connection changes.
std::optional<DataMessage> told(DataClient& client, DataServer& server, const std::string& header) {
  for (int i = 0; i < 50; ++i) {
    client.send(header, nullptr);
    if (auto got = server.receive(200ms)) return got;
  }
  return std::nullopt;
}

}  // namespace

TEST_CASE("tensors travel with their header, there and back", "[net]") {
  const Chosen way(any_way());
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

TEST_CASE("a payload of any size comes as it was sent, there and back", "[net]") {
  const Chosen way(any_way());
  const auto server = bound();
  const auto client = connected(*server);
  std::vector<std::size_t> sizes{0, 1, 63, 64, 65, 65'536, 65'537, 1'000'003, std::size_t{64} << 20};
  Random random(5);
  for (int i = 0; i < 40; ++i) sizes.push_back(random.below(300'000));
  for (const std::size_t size : sizes) {
    auto bytes = std::make_shared<std::vector<std::byte>>(size);
    for (std::size_t i = 0; i < size; ++i) (*bytes)[i] = static_cast<std::byte>(i * 31 + size);
    client->send("there", bytes);
    auto got = server->receive(20s);
    REQUIRE(got.has_value());
    CHECK(std::equal(bytes->begin(), bytes->end(), got->payload.bytes().begin(), got->payload.bytes().end()));
    server->send(got->peer, "back", bytes);
    const auto back = client->receive(20s);
    REQUIRE(back.has_value());
    CHECK(
        std::equal(bytes->begin(), bytes->end(), back->payload.bytes().begin(), back->payload.bytes().end()));
  }
}

TEST_CASE("a payload written where the channel said goes out as it is, as often as wanted", "[net]") {
  const Chosen way(any_way());
  const auto server = bound();
  const auto client = connected(*server);
  for (int round = 0; round < 5; ++round) {
    const Room room = client->reserve(400'000);
    REQUIRE(room.floats().size() == 100'000);
    std::iota(room.floats().begin(), room.floats().end(), static_cast<float>(round));
    for (int again = 0; again < 2; ++again) {
      client->send("push", room);
      const auto got = server->receive(5s);
      REQUIRE(got.has_value());
      CHECK(std::equal(room.bytes.begin(), room.bytes.end(), got->payload.bytes().begin()));
    }
  }
}

TEST_CASE("values that go to many are each one's own", "[net]") {
  const Chosen way(any_way());
  const auto server = bound();
  std::vector<std::unique_ptr<DataClient>> clients;
  std::vector<std::string> peers;
  for (int i = 0; i < 6; ++i) {
    clients.push_back(connected(*server));
    clients.back()->send("hello", nullptr);
    const auto got = server->receive(5s);
    REQUIRE(got.has_value());
    peers.push_back(got->peer);
  }
  for (int step = 0; step < 20; ++step) {
    const SharedFloats values = floats_of(50'000, static_cast<float>(step));
    for (const std::string& peer : peers) server->send(peer, std::to_string(step), values);
    static_cast<void>(server->receive(0ms));
    for (const auto& client : clients) {
      const auto got = client->receive(5s);
      REQUIRE(got.has_value());
      CHECK(got->header == std::to_string(step));
      REQUIRE(got->payload.floats().size() == 50'000);
      CHECK(got->payload.floats()[49'999] == static_cast<float>(step + 49'999));
    }
  }
}

TEST_CASE("a peer that is gone is no error, and nobody waits for nothing", "[net]") {
  const Chosen way(any_way());
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

TEST_CASE("a peer that does not read takes nothing from the others", "[net]") {
  const Chosen way(any_way());
  const auto server = bound();
  const auto deaf = connected(*server), good = connected(*server);
  deaf->send("deaf", nullptr);
  const auto from_deaf = server->receive(5s);
  good->send("good", nullptr);
  const auto from_good = server->receive(5s);
  REQUIRE((from_deaf.has_value() && from_good.has_value()));
  const SharedFloats values = floats_of(std::size_t{1} << 20);  // 4 MiB
  for (int i = 0; i < 200; ++i) {
    const auto began = std::chrono::steady_clock::now();
    server->send(from_deaf->peer, "values", values);
    server->send(from_good->peer, std::to_string(i), values);
    CHECK(std::chrono::steady_clock::now() - began < 5s);
    const auto got = good->receive(10s);
    REQUIRE(got.has_value());
    CHECK(got->header == std::to_string(i));
  }
}

TEST_CASE("a client finds the server again that was started anew on its endpoint", "[net]") {
  const Chosen way(any_way());
  auto server = bound();
  const std::string endpoint = server->endpoint();
  const auto client = connected(endpoint);
  const SharedFloats sent = floats_of(500'000);
  client->send("first", sent);
  const auto held = server->receive(5s);
  REQUIRE(held.has_value());
  for (int life = 0; life < 3; ++life) {
    server.reset();
    client->send("nobody hears this", sent);
    server = bound(port_of(endpoint));
    // What the dead server was sent may still come, by TCP.
    auto got = told(*client, *server, "again");
    REQUIRE(got.has_value());
    server->send(got->peer, "values", sent);
    const auto back = client->receive(10s);
    REQUIRE(back.has_value());
    CHECK(back->payload.floats().size() == sent->size());
  }
  // What was received from the first life is still there.
  CHECK(std::equal(sent->begin(), sent->end(), held->payload.floats().begin()));
}

TEST_CASE("a client that came before its server finds it", "[net]") {
  const Chosen way(any_way());
  std::string endpoint = bound()->endpoint();
  const auto client = connected(endpoint);
  client->send("too early", nullptr);
  const auto server = bound(port_of(endpoint));
  CHECK(told(*client, *server, "now").has_value());
}

TEST_CASE("ends of which one has shared memory off meet by TCP", "[net]") {
  const bool server_off = GENERATE(true, false);
  std::unique_ptr<DataServer> server;
  std::unique_ptr<DataClient> client;
  {
    const Chosen way(server_off ? Way::tcp : Way::shared);
    server = bound();
  }
  {
    const Chosen way(server_off ? Way::shared : Way::tcp);
    client = connected(*server);
    client->send("hello", floats_of(100'000));
    const auto got = server->receive(5s);
    REQUIRE(got.has_value());
    CHECK(got->peer.starts_with('T'));
    server->send(got->peer, "values", floats_of(100'000));
    CHECK(client->receive(5s).has_value());
  }
}

TEST_CASE("a trainer that is killed amid its pushes leaves whole ones, and the shard goes on", "[net]") {
  const Chosen way(Way::shared);
  const auto server = bound();
  const pid_t child = ::fork();
  if (child == 0) {
    auto client = DataClient::connect(server->endpoint());
    for (std::uint32_t i = 1; client.has_value(); ++i)
      (*client)->send("push", std::make_shared<std::vector<float>>(400'000, static_cast<float>(i)));
    ::_exit(1);
  }
  int count = 0;
  while (auto got = server->receive(2s)) {
    const auto floats = got->payload.floats();
    REQUIRE(floats.size() == 400'000);
    REQUIRE(std::all_of(floats.begin(), floats.end(), [&](float one) { return one == floats.front(); }));
    if (++count == 10) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
  }
  CHECK(count >= 10);
  const auto next = connected(*server);
  next->send("again", nullptr);
  CHECK(server->receive(5s).has_value());
}

TEST_CASE("many clients on threads of their own are each answered", "[net]") {
  const Chosen way(any_way());
  const auto server = bound();
  constexpr int clients = 8, rounds = 200;
  std::atomic<int> answered{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < clients; ++i)
    threads.emplace_back([&, i] {
      auto client = DataClient::connect(server->endpoint());
      if (!client) return;
      for (int round = 0; round < rounds; ++round) {
        const std::string header = std::to_string(i) + "." + std::to_string(round);
        (*client)->send(header, floats_of(round % 3 == 0 ? 30'000 : 10, static_cast<float>(i)));
        const auto got = (*client)->receive(20s);
        if (got && got->header == header && got->payload.floats()[0] == static_cast<float>(i)) ++answered;
      }
    });
  for (int i = 0; i < clients * rounds; ++i) {
    const auto got = server->receive(20s);
    REQUIRE(got.has_value());
    const auto floats = got->payload.floats();
    server->send(got->peer, got->header, std::make_shared<std::vector<float>>(floats.begin(), floats.end()));
  }
  for (auto& thread : threads) thread.join();
  CHECK(answered == clients * rounds);
}

TEST_CASE("a waiting server is woken from another thread", "[net]") {
  const Chosen way(any_way());
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
