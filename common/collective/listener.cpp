#include "common/collective/listener.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>

namespace trainyard::collective {

namespace {
constexpr Duration look_every = 50ms;
}

Listener::Listener() : event_(make_event()) {}

Result<std::unique_ptr<Listener>> Listener::bind(const std::string& host) {
  auto listener = std::make_unique<Listener>();
  auto socket = listen_on(host, listener->endpoint_);
  if (!socket) return socket.error();
  listener->socket_ = std::move(*socket);
  return listener;
}

void Listener::adopt(Descriptor socket) {
  const int flags = fcntl(socket.number(), F_GETFL);
  if (flags < 0 || fcntl(socket.number(), F_SETFL, flags | O_NONBLOCK) < 0) return;
  if (!prepare_socket(socket.number())) return;
  {
    const std::lock_guard lock(mutex_);
    if (adopted_.size() >= adopted_max) return;
    adopted_.push_back(std::move(socket));
  }
  signal_event(event_.number());
}

Result<Listener::Incoming> Listener::accept(const Wait& wait) {
  while (true) {
    clear_event(event_.number());
    {
      const std::lock_guard lock(mutex_);
      if (!adopted_.empty()) {
        Incoming incoming{std::move(adopted_.front()), true};
        adopted_.pop_front();
        return incoming;
      }
    }
    if (socket_) {
      Descriptor socket(accept4(socket_.number(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (socket) {
        if (const Status prepared = prepare_socket(socket.number()); !prepared) return prepared.error();
        return Incoming{std::move(socket), false};
      }
      if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) return system_error("accept");
    }
    if (wait.cancelled != nullptr && *wait.cancelled) return Error{Errc::unavailable, "cancelled"};
    const Duration left = wait.until - std::chrono::steady_clock::now();
    if (left <= 0ns) return Error{Errc::unavailable, "nobody connected"};
    pollfd both[2] = {{event_.number(), POLLIN, 0}, {socket_.number(), POLLIN, 0}};
    const auto patience = std::chrono::ceil<std::chrono::milliseconds>(std::min(left, look_every));
    if (poll(both, socket_ ? 2 : 1, static_cast<int>(patience.count())) < 0 && errno != EINTR)
      return system_error("poll");
  }
}

}  // namespace trainyard::collective
