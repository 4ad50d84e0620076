#include "common/net/control.hpp"

#include "common/net/frame.hpp"
#include "tests/unit/net/loop.hpp"

namespace trainyard::net::test {

namespace {

/// Sends every frame back.
struct Echo {
  Reactor& reactor;
  std::unique_ptr<Server> server;
  std::shared_ptr<Session> session;
  std::vector<std::string> received, closed;

  explicit Echo(Reactor& on, std::uint16_t port = 0) : reactor(on) {
    auto listening = Server::listen(
        reactor, {"127.0.0.1", port},
        {.request =
             [](HttpRequest, HttpReply reply) {
               reply({200, "text/plain", "http"});
             },
         .session =
             [this](std::shared_ptr<Session> opened) {
               session = opened;
               return SessionEvents{.frame =
                                        [this, weak = std::weak_ptr(opened)](std::string_view body) {
                                          received.emplace_back(body);
                                          if (const auto alive = weak.lock()) alive->send(std::string(body));
                                        },
                                    .closed = [this](const std::string& why) { closed.push_back(why); }};
             }});
    if (!listening) FAIL(listening.error().message);
    server = std::move(*listening);
  }
};

}  // namespace

TEST_CASE("frames travel both ways in order, large ones too", "[net]") {
  Reactor reactor;
  Echo echo(reactor);
  std::vector<std::string> back;
  std::shared_ptr<Session> session;
  Connector connector(
      reactor, echo.server->endpoint(),
      [&](std::shared_ptr<Session> opened) {
        session = opened;
        session->send("a");
        session->send(std::string(3 << 20, 'x'));
        session->send("");
        return SessionEvents{.frame = [&](std::string_view body) { back.emplace_back(body); },
                             .closed = [](const std::string&) {}};
      },
      [](const std::string&) {});
  run_until(reactor, [&] { return back.size() == 3; });
  CHECK(back[0] == "a");
  CHECK(back[1].size() == 3u << 20);
  CHECK(back[2].empty());
}

TEST_CASE("a connector finds its peer again after it was gone", "[net]") {
  Reactor reactor;
  auto echo = std::make_unique<Echo>(reactor);
  const Endpoint at = echo->server->endpoint();
  int opened = 0, failed = 0, closed = 0;
  Connector connector(
      reactor, at,
      [&](std::shared_ptr<Session> session) {
        ++opened;
        session->send("hello");
        return SessionEvents{.frame = [](std::string_view) {},
                             .closed = [&](const std::string&) { ++closed; }};
      },
      [&](const std::string&) { ++failed; }, 20ms);
  run_until(reactor, [&] { return opened == 1 && !echo->received.empty(); });
  echo->session->close();
  echo.reset();
  run_until(reactor, [&] { return closed == 1 && failed >= 2; });
  echo = std::make_unique<Echo>(reactor, at.port);
  run_until(reactor, [&] { return opened == 2 && !echo->received.empty(); });
}

TEST_CASE("peers that break the framing are cut off, and nothing else is", "[net]") {
  Reactor reactor;
  Echo echo(reactor);
  const auto meets_its_end = [&](const std::string& bytes) {
    RawClient client(echo.server->endpoint());
    client.send(bytes);
    run_until(reactor, [&] {
      client.read();
      return client.ended;
    });
  };
  std::string wrong = frame("hello");
  wrong[9] ^= 1;
  meets_its_end("TYC1" + wrong);                                       // checksum
  meets_its_end("TYC1" + std::string("\xff\xff\xff\x7f\0\0\0\0", 8));  // length
  CHECK(echo.received.empty());
  RawClient good(echo.server->endpoint());
  good.send("TYC1" + frame("one") + frame("two").substr(0, 5));
  run_until(reactor, [&] { return echo.received.size() == 1; });
  good.send(frame("two").substr(5));
  run_until(reactor, [&] { return echo.received.size() == 2; });
  CHECK(echo.received[1] == "two");
}

TEST_CASE("control sessions and HTTP share a port", "[net]") {
  Reactor reactor;
  Echo echo(reactor);
  RawClient control(echo.server->endpoint()), http(echo.server->endpoint());
  control.send("TYC1" + frame("x"));
  http.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  run_until(reactor, [&] {
    http.read();
    control.read();
    return http.ended && control.read().size() >= 9;
  });
  CHECK(http.read().find("200 OK") != std::string::npos);
  CHECK(control.read().ends_with("x"));
}

TEST_CASE("a port that is taken is named", "[net]") {
  Reactor reactor;
  Echo echo(reactor);
  const auto second = Server::listen(reactor, echo.server->endpoint(), {});
  REQUIRE_FALSE(second.has_value());
  CHECK(second.error().message.find(name(echo.server->endpoint())) != std::string::npos);
}

}  // namespace trainyard::net::test
