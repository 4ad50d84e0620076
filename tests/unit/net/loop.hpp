// A reactor on the test's thread that runs until a condition holds; a raw socket for peers that break the
// rules.
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <functional>
#include <string>

#include "common/net/http.hpp"
#include "common/net/reactor.hpp"

namespace trainyard::net::test {

/// Fails the test when the condition does not hold within five seconds.
inline void run_until(Reactor& reactor, const std::function<bool()>& condition) {
  bool late = false;
  auto alive = std::make_shared<bool>(true);
  const std::function<void()> look = [&, weak = std::weak_ptr(alive)] {
    if (weak.expired()) return;
    if (condition()) return reactor.stop();
    reactor.after(1ms, look);
  };
  reactor.after(5s, [&, weak = std::weak_ptr(alive)] {
    if (weak.expired()) return;
    late = true;
    reactor.stop();
  });
  reactor.after(1ms, look);
  reactor.run();
  alive.reset();
  REQUIRE_FALSE(late);
}

/// A blocking client that sends what it likes.
class RawClient {
 public:
  explicit RawClient(const Endpoint& peer) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(peer.port);
    ::inet_pton(AF_INET, peer.host.c_str(), &address.sin_addr);
    REQUIRE(::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    timeval patience{.tv_sec = 0, .tv_usec = 1000};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  ~RawClient() { ::close(socket_); }

  void send(std::string_view bytes) { (void)!::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  /// What has come so far; `ended` once the peer has closed.
  const std::string& read() {
    char buffer[4096];
    const ssize_t count = ::recv(socket_, buffer, sizeof buffer, 0);
    if (count > 0) received_.append(buffer, static_cast<std::size_t>(count));
    if (count == 0 || (count < 0 && errno == ECONNRESET)) ended = true;
    return received_;
  }
  bool ended = false;

 private:
  int socket_;
  std::string received_;
};

}  // namespace trainyard::net::test
