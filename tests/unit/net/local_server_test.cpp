#include "common/net/local_server.hpp"

#include <poll.h>
#include <unistd.h>

#include <catch2/catch.hpp>

namespace trainyard::net {

namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

std::string own_name(const char* what) { return "trainyard.test." + std::to_string(::getpid()) + "." + what; }

std::unique_ptr<LocalLink> connected(const std::string& name) {
  auto link = LocalLink::offer(connect_locally(name), std::make_shared<SlotPool>(64 * mib), local_bounds());
  REQUIRE(link.has_value());
  return std::move(*link);
}

/// The next message, as a server waits for it.
std::optional<LocalServer::Received> next(LocalServer& server) {
  for (int i = 0; i < 100; ++i) {
    if (auto got = server.receive()) return got;
    pollfd item{server.descriptor(), POLLIN, 0};
    if (server.sleep()) ::poll(&item, 1, 50);
    server.awake();
  }
  return std::nullopt;
}

std::uint64_t greeted(LocalServer& server, LocalLink& link) {
  REQUIRE(link.send("hello", nullptr) == LocalLink::Sent::yes);
  const auto got = next(server);
  REQUIRE(got.has_value());
  return got->link;
}

SharedBytes some(std::size_t bytes, int value) {
  return std::make_shared<std::vector<std::byte>>(bytes, static_cast<std::byte>(value));
}

}  // namespace

TEST_CASE("who holds what others need is cut off, and the others go on", "[net]") {
  const std::string name = own_name("hungry");
  LocalServer server(name, 8 * mib);
  const auto deaf = connected(name), good = connected(name);
  const std::uint64_t to_deaf = greeted(server, *deaf), to_good = greeted(server, *good);
  // It takes messages, and never lets go of them.
  std::vector<LocalMessage> held;
  for (int i = 0; i < 20; ++i) {
    server.send(to_deaf, "values", some(mib, i));
    if (auto got = deaf->receive(0ms)) held.push_back(std::move(*got));
    static_cast<void>(server.receive());
    server.send(to_good, std::to_string(i), some(mib, i));
    const auto got = good->receive(5s);
    REQUIRE(got.has_value());
    CHECK(got->header == std::to_string(i));
    CHECK(got->payload.bytes().back() == static_cast<std::byte>(i));
    static_cast<void>(server.receive());
  }
  CHECK(held.size() >= 4);
  CHECK_FALSE(deaf->receive(5s).has_value());
  CHECK(deaf->ended());
  // What it was given before stays as it was.
  for (std::size_t i = 0; i < held.size(); ++i)
    CHECK(held[i].payload.bytes().front() == static_cast<std::byte>(i));
}

TEST_CASE("what goes to many lies in one slot", "[net]") {
  const std::string name = own_name("many");
  LocalServer server(name, 3 * mib);
  std::vector<std::unique_ptr<LocalLink>> links;
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 10; ++i) {
    links.push_back(connected(name));
    ids.push_back(greeted(server, *links.back()));
  }
  // Ten copies would not fit.
  const SharedBytes values = some(mib, 7);
  for (const std::uint64_t id : ids) server.send(id, "values", values);
  std::vector<LocalMessage> held;
  for (const auto& link : links) {
    auto got = link->receive(5s);
    REQUIRE(got.has_value());
    CHECK(got->payload.bytes()[mib - 1] == std::byte{7});
    held.push_back(std::move(*got));
  }
}

TEST_CASE("what a dead peer sent can be held, and nobody is called for it again and again", "[net]") {
  const std::string name = own_name("dead");
  LocalServer server(name, 8 * mib);
  auto link = connected(name);
  REQUIRE(link->send("push", some(mib, 5)) == LocalLink::Sent::yes);
  const auto held = next(server);
  REQUIRE(held.has_value());
  link.reset();
  for (int i = 0; i < 3; ++i) {
    CHECK_FALSE(server.receive().has_value());
    static_cast<void>(server.sleep());
    server.awake();
  }
  CHECK(server.idle());
  pollfd item{server.descriptor(), POLLIN, 0};
  CHECK(::poll(&item, 1, 50) == 0);
  CHECK(held->message.payload.bytes().front() == std::byte{5});
}

TEST_CASE("links are heard in turn", "[net]") {
  const std::string name = own_name("turns");
  LocalServer server(name, 8 * mib);
  const auto loud = connected(name), quiet = connected(name);
  const std::uint64_t from_loud = greeted(server, *loud), from_quiet = greeted(server, *quiet);
  for (int i = 0; i < 100; ++i) REQUIRE(loud->send("again", nullptr) == LocalLink::Sent::yes);
  REQUIRE(quiet->send("once", nullptr) == LocalLink::Sent::yes);
  bool heard = false;
  for (int i = 0; i < 2; ++i) {
    const auto got = next(server);
    REQUIRE(got.has_value());
    CHECK((got->link == from_loud || got->link == from_quiet));
    heard = heard || got->link == from_quiet;
  }
  CHECK(heard);
}

TEST_CASE("a name that is taken leaves a server without links, and no harm", "[net]") {
  const std::string name = own_name("taken");
  LocalServer first(name, mib);
  LocalServer second(name, mib);
  CHECK(first.descriptor() >= 0);
  CHECK(second.descriptor() < 0);
  CHECK_FALSE(second.receive().has_value());
  CHECK(second.sleep());
  second.awake();
}

}  // namespace trainyard::net
