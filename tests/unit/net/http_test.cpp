#include "common/net/http.hpp"

#include <thread>

#include "tests/unit/net/loop.hpp"

namespace trainyard::net::test {

namespace {

struct Site {
  Reactor reactor;
  std::vector<HttpRequest> requests;
  std::vector<HttpReply> held;
  std::unique_ptr<Server> server;

  Site() {
    auto listening = Server::listen(reactor, {"127.0.0.1", 0},
                                    {.request =
                                         [this](HttpRequest request, HttpReply reply) {
                                           requests.push_back(request);
                                           if (request.path == "/later") {
                                             held.push_back(reply);
                                           } else if (request.path != "/never") {
                                             reply({201, "text/plain", request.method + " " + request.body});
                                           }
                                         },
                                     .session = [](std::shared_ptr<Session>) { return SessionEvents{}; }});
    REQUIRE(listening.has_value());
    server = std::move(*listening);
  }

  std::string raw(const std::string& bytes) {
    RawClient client(server->endpoint());
    client.send(bytes);
    run_until(reactor, [&] {
      client.read();
      return client.ended;
    });
    return client.read();
  }
};

}  // namespace

TEST_CASE("a request reaches the handler decoded, and its answer comes back", "[net]") {
  Site site;
  std::optional<Result<HttpResponse>> response;
  std::thread client([&] {
    response = http_call(site.server->endpoint(), {.method = "POST",
                                                   .path = "/a b",
                                                   .query = {{"k", "v&w"}},
                                                   .headers = {{"x-y", "z"}},
                                                   .body = "body"});
    site.reactor.stop();
  });
  site.reactor.run();
  client.join();
  REQUIRE(response->has_value());
  CHECK((*response)->status == 201);
  CHECK((*response)->body == "POST body");
  REQUIRE(site.requests.size() == 1);
  CHECK(site.requests[0].path == "/a b");
  CHECK(site.requests[0].query.at("k") == "v&w");
  CHECK(site.requests[0].headers.at("x-y") == "z");
}

TEST_CASE("answers may come later, and a forgotten request gets 500", "[net]") {
  Site site;
  CHECK(site.raw("GET /never HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").find("500") !=
        std::string::npos);
  RawClient client(site.server->endpoint());
  client.send("GET /later HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  run_until(site.reactor, [&] { return site.held.size() == 1; });
  site.held[0]({200, "text/plain", "at last"});
  run_until(site.reactor, [&] {
    client.read();
    return client.ended;
  });
  CHECK(client.read().ends_with("at last"));
}

TEST_CASE("malformed and oversized requests are refused without harm", "[net]") {
  Site site;
  (void)site.raw("GARBAGE\r\n\r\n");
  CHECK(site.raw("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\nConnection: close\r\n\r\n")
            .find("201") == std::string::npos);
  CHECK(site.raw("GET / HTTP/1.1\r\nX: " + std::string(40'000, 'a') + "\r\n\r\n").find("201") ==
        std::string::npos);
  CHECK(site.raw("GARBAGE\r\n\r\n").find(R"("details": {}})") != std::string::npos);
  CHECK(site.requests.empty());
  CHECK(site.raw("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").find("201") != std::string::npos);
}

TEST_CASE("a client that sends too much still hears why", "[net]") {
  Site site;
  std::optional<Result<HttpResponse>> response;
  std::thread client([&] {
    response = http_call(site.server->endpoint(),
                         {.method = "POST", .path = "/", .body = std::string(20 << 20, 'x')});
    site.reactor.stop();
  });
  site.reactor.run();
  client.join();
  REQUIRE(response->has_value());
  CHECK((*response)->status == 413);
  CHECK((*response)->body.find("too large") != std::string::npos);
}

TEST_CASE("HEAD is answered with the headers of GET and no body", "[net]") {
  Site site;
  const std::string answer =
      site.raw("HEAD /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  CHECK(answer.find("Content-Length: 5\r\n") != std::string::npos);  // "HEAD ", as a GET would have had it
  CHECK(answer.find("HEAD ") == std::string::npos);
  CHECK(answer.ends_with("GET "));
}

TEST_CASE("one connection carries several requests", "[net]") {
  Site site;
  const std::string answer =
      site.raw("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  CHECK(site.requests.size() == 2);
  CHECK(answer.find("201", answer.find("201") + 3) != std::string::npos);
}

TEST_CASE("a peer that is away is an error within the patience", "[net]") {
  Endpoint gone;
  {
    Site site;
    gone = site.server->endpoint();
  }
  const auto refused = http_call(gone, {.method = "GET", .path = "/"}, 1s);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == Errc::unavailable);
  CHECK(refused.error().message.find(name(gone)) != std::string::npos);
  // A server that accepts and says nothing: its reactor never runs.
  Site silent;
  const auto began = std::chrono::steady_clock::now();
  const auto slow = http_call(silent.server->endpoint(), {.method = "GET", .path = "/"}, 200ms);
  CHECK_FALSE(slow.has_value());
  CHECK(std::chrono::steady_clock::now() - began < 3s);
}

}  // namespace trainyard::net::test
