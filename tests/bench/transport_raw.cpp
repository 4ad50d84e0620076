// The rungs below ours: what the machine, the kernel and ZeroMQ give by themselves.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <zmq.hpp>

#include "tests/bench/transport_pair.hpp"

namespace trainyard::bench {

void add(std::vector<float>& into, const void* from, std::size_t bytes, std::size_t first) {
  const auto* const values = static_cast<const float*>(from);
  float* const sums = into.data() + first;
  const std::size_t count = bytes / sizeof(float);
  for (std::size_t i = 0; i < count; ++i) sums[i] += values[i];
}

namespace {

constexpr std::size_t piece = std::size_t{256} << 10;

void whole_read(int socket, std::byte* to, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t got = ::read(socket, to, bytes);
    if (got <= 0) ::_exit(0);
    to += got;
    bytes -= static_cast<std::size_t>(got);
  }
}

void whole_write(int socket, const std::byte* from, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t sent = ::send(socket, from, bytes, MSG_NOSIGNAL);
    if (sent <= 0) ::_exit(0);
    from += sent;
    bytes -= static_cast<std::size_t>(sent);
  }
}

void at_once(int socket) {
  const int one = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

double copy(const Load& load) {
  std::vector<std::byte> from(load.bytes, std::byte{1}), to(load.bytes);
  return pace(
      load, [&] { std::memcpy(to.data(), from.data(), load.bytes); },
      [&] {
        asm volatile("" : : "r"(to.data()) : "memory");
      });
}

enum class Sums : std::uint8_t { no, yes };

double tcp(const Load& load, Sums sums) {
  return in_two_processes(
      [&](const Line& line) {
        const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address = loopback(0);
        socklen_t length = sizeof(address);
        if (::bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0) std::abort();
        if (::listen(listener, 1) != 0) std::abort();
        ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
        line.say(std::to_string(ntohs(address.sin_port)));
        const int socket = ::accept(listener, nullptr, nullptr);
        at_once(socket);
        std::vector<std::byte> buffer(load.bytes);
        std::vector<float> sum(load.bytes / sizeof(float));
        const std::byte answer[8] = {};
        while (true) {
          for (std::size_t at = 0; at < load.bytes; at += piece) {
            const std::size_t some = std::min(piece, load.bytes - at);
            whole_read(socket, buffer.data() + at, some);
            if (sums == Sums::yes) add(sum, buffer.data() + at, some, at / sizeof(float));
          }
          whole_write(socket, answer, sizeof(answer));
        }
      },
      [&](const Line& line) {
        const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
        const sockaddr_in address = loopback(static_cast<std::uint16_t>(std::atoi(line.hear().c_str())));
        if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
          std::abort();
        at_once(socket);
        const std::vector<std::byte> buffer(load.bytes, std::byte{0});
        std::byte answer[8];
        const double rate = pace(
            load, [&] { whole_write(socket, buffer.data(), load.bytes); },
            [&] { whole_read(socket, answer, sizeof(answer)); });
        ::close(socket);
        return rate;
      });
}

double zeromq(const Load& load, Sums sums) {
  return in_two_processes(
      [&](const Line& line) {
        zmq::context_t context(1);
        zmq::socket_t socket(context, zmq::socket_type::router);
        socket.bind("tcp://127.0.0.1:*");
        line.say(socket.get(zmq::sockopt::last_endpoint));
        std::vector<float> sum(load.bytes / sizeof(float));
        while (true) {
          zmq::message_t peer, header, payload;
          static_cast<void>(socket.recv(peer));
          static_cast<void>(socket.recv(header));
          static_cast<void>(socket.recv(payload));
          if (sums == Sums::yes) add(sum, payload.data(), payload.size());
          socket.send(peer, zmq::send_flags::sndmore);
          socket.send(header, zmq::send_flags::none);
        }
      },
      [&](const Line& line) {
        zmq::context_t context(1);
        zmq::socket_t socket(context, zmq::socket_type::dealer);
        socket.connect(line.hear());
        std::vector<std::byte> buffer(load.bytes, std::byte{0});
        const auto kept = [](void*, void*) {};
        const double rate = pace(
            load,
            [&] {
              socket.send(zmq::message_t(std::string("push")), zmq::send_flags::sndmore);
              socket.send(zmq::message_t(buffer.data(), buffer.size(), kept, nullptr), zmq::send_flags::none);
            },
            [&] {
              zmq::message_t answer;
              static_cast<void>(socket.recv(answer));
            });
        socket.set(zmq::sockopt::linger, 0);
        return rate;
      });
}

/// Slots in anonymous memory of both processes; counters that both spin on, giving way to each other.
struct Counters {
  alignas(64) std::atomic<std::uint64_t> sent{0};
  alignas(64) std::atomic<std::uint64_t> done{0};
};

double ring(const Load& load, Sums sums) {
  constexpr std::size_t slots = 4;
  const std::size_t room = sizeof(Counters) + slots * load.bytes;
  void* const memory = ::mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  auto* const counters = new (memory) Counters;
  std::byte* const first = static_cast<std::byte*>(memory) + sizeof(Counters);
  const double rate = in_two_processes(
      [&](const Line&) {
        std::vector<float> sum(load.bytes / sizeof(float));
        for (std::uint64_t next = 0;; ++next) {
          while (counters->sent.load(std::memory_order_acquire) == next) std::this_thread::yield();
          if (sums == Sums::yes) add(sum, first + next % slots * load.bytes, load.bytes);
          counters->done.store(next + 1, std::memory_order_release);
        }
      },
      [&](const Line&) {
        const std::vector<std::byte> buffer(load.bytes, std::byte{0});
        std::uint64_t sent = 0, heard = 0;
        Load bounded = load;
        bounded.window = std::min(load.window, slots);
        return pace(
            bounded,
            [&] {
              std::memcpy(first + sent % slots * load.bytes, buffer.data(), load.bytes);
              counters->sent.store(++sent, std::memory_order_release);
            },
            [&] {
              while (counters->done.load(std::memory_order_acquire) <= heard) std::this_thread::yield();
              ++heard;
            });
      });
  ::munmap(memory, room);
  return rate;
}

}  // namespace

std::vector<Rung> raw_rungs() {
  return {
      {"memcpy", copy},
      {"shared-memory ring, 1 copy", [](const Load& load) { return ring(load, Sums::no); }},
      {"shared-memory ring, 1 copy + sum", [](const Load& load) { return ring(load, Sums::yes); }},
      {"raw TCP", [](const Load& load) { return tcp(load, Sums::no); }},
      {"raw TCP + sum", [](const Load& load) { return tcp(load, Sums::yes); }},
      {"raw ZeroMQ", [](const Load& load) { return zeromq(load, Sums::no); }},
      {"raw ZeroMQ + sum", [](const Load& load) { return zeromq(load, Sums::yes); }},
  };
}

}  // namespace trainyard::bench
