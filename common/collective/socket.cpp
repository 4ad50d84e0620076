#include "common/collective/socket.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <thread>

#include "common/base/check.hpp"
#include "common/base/text.hpp"

namespace trainyard::collective {

namespace {

constexpr Duration look_every = 50ms;  // at `cancelled`
constexpr Duration retry_every = 20ms;
constexpr int backlog = 64;

Time now() { return std::chrono::steady_clock::now(); }

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Result<Addresses> resolved(const std::string& host, const std::string& port, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0)
    return Error{Errc::invalid, format("{}: {}", host, gai_strerror(error))};
  return Addresses(found, freeaddrinfo);
}

std::string endpoint_text(const std::string& host, int port) {
  return host.find(':') == std::string::npos ? format("{}:{}", host, port) : format("[{}]:{}", host, port);
}

}  // namespace

Error system_error(const std::string& what) {
  return {Errc::io, format("{}: {}", what, std::strerror(errno))};
}

Wait Wait::at_most(Duration patience) const { return {std::min(until, now() + patience), cancelled}; }

bool Wait::is_over() const { return now() >= until || (cancelled != nullptr && *cancelled); }

Status Wait::for_event(int descriptor, short events, const std::string& who) const {
  while (true) {
    if (cancelled != nullptr && *cancelled) return Error{Errc::unavailable, "cancelled"};
    const Duration left = until - now();
    if (left <= 0ns) return Error{Errc::unavailable, format("nothing came from {}", who)};
    pollfd one{descriptor, events, 0};
    const auto patience = std::chrono::ceil<std::chrono::milliseconds>(std::min(left, look_every));
    const int ready = poll(&one, 1, static_cast<int>(patience.count()));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return system_error("poll");
  }
}

Result<Descriptor> listen_on(const std::string& host, std::string& endpoint) {
  const auto found = resolved(host, "0", AI_PASSIVE);
  if (!found) return found.error();
  const addrinfo& where = **found;
  Descriptor socket(::socket(where.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return system_error("socket");
  if (bind(socket.number(), where.ai_addr, where.ai_addrlen) != 0 || listen(socket.number(), backlog) != 0)
    return system_error(format("cannot listen on {}", host));
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  if (getsockname(socket.number(), reinterpret_cast<sockaddr*>(&bound), &length) != 0)
    return system_error("getsockname");
  const in_port_t port = bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound).sin6_port
                                                     : reinterpret_cast<sockaddr_in&>(bound).sin_port;
  endpoint = endpoint_text(host, ntohs(port));
  return socket;
}

Status prepare_socket(int socket) {
  const int on = 1;
  if (setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) return system_error("TCP_NODELAY");
  return {};
}

Result<Descriptor> connect_to(const std::string& endpoint, const Wait& wait) {
  const std::size_t colon = endpoint.rfind(':');
  if (colon == std::string::npos) return Error{Errc::invalid, format("'{}' is not host:port", endpoint)};
  std::string host = endpoint.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const auto found = resolved(host, endpoint.substr(colon + 1), 0);
  if (!found) return found.error();
  const addrinfo& where = **found;
  while (true) {
    Descriptor socket(::socket(where.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket) return system_error("socket");
    if (const Status prepared = prepare_socket(socket.number()); !prepared) return prepared.error();
    int error = connect(socket.number(), where.ai_addr, where.ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS || error == EINTR) {
      if (const Status ready = wait.for_event(socket.number(), POLLOUT, endpoint); !ready)
        return ready.error();
      socklen_t length = sizeof error;
      if (getsockopt(socket.number(), SOL_SOCKET, SO_ERROR, &error, &length) != 0)
        return system_error("getsockopt");
    }
    if (error == 0) return socket;
    if (now() + retry_every >= wait.until || (wait.cancelled != nullptr && *wait.cancelled))
      return Error{Errc::unavailable, format("cannot connect to {}: {}", endpoint, std::strerror(error))};
    std::this_thread::sleep_for(retry_every);
  }
}

Status send_all(int socket, std::span<const std::byte> bytes, const Wait& wait, const std::string& who) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (const Status ready = wait.for_event(socket, POLLOUT, who); !ready) return ready;
    } else if (errno != EINTR) {
      return system_error(who);
    }
  }
  return {};
}

Status receive_all(int socket, std::span<std::byte> bytes, const Wait& wait, const std::string& who) {
  while (!bytes.empty()) {
    const ssize_t received = ::recv(socket, bytes.data(), bytes.size(), 0);
    if (received > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(received));
    } else if (received == 0) {
      return Error{Errc::unavailable, format("{} ended the connection", who)};
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (const Status ready = wait.for_event(socket, POLLIN, who); !ready) return ready;
    } else if (errno != EINTR) {
      return system_error(who);
    }
  }
  return {};
}

Descriptor make_event() {
  Descriptor event(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  check(static_cast<bool>(event), "a process can have one more eventfd");
  return event;
}

void signal_event(int event) {
  const std::uint64_t one = 1;
  // A full counter wakes as well.
  [[maybe_unused]] const ssize_t written = ::write(event, &one, sizeof one);
}

void clear_event(int event) {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t read = ::read(event, &count, sizeof count);
}

}  // namespace trainyard::collective
