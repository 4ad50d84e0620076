#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "common/base/text.hpp"
#include "common/collective/flow.hpp"

namespace trainyard::collective {

namespace {

// What one call moves: the other direction has its turn while this is still in the cache.
constexpr std::size_t segment_bytes = 256 << 10;

bool later(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

Error gone() { return {Errc::unavailable, std::strerror(errno)}; }

class StreamOutflow final : public Outflow {
 public:
  explicit StreamOutflow(int socket) : socket_(socket) {}

  Result<std::size_t> put(std::span<const std::byte> first, std::span<const std::byte> second) override {
    second = second.first(std::min(second.size(), segment_bytes));
    std::array<iovec, 2> parts{};
    std::size_t count = 0;
    for (const auto part : {first, second})
      if (!part.empty()) parts[count++] = {const_cast<std::byte*>(part.data()), part.size()};
    if (count == 0) return std::size_t{0};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    const ssize_t sent = sendmsg(socket_, &message, MSG_NOSIGNAL);
    if (sent >= 0) return static_cast<std::size_t>(sent);
    if (later(errno)) return std::size_t{0};
    return gone();
  }

  bool arm(pollfd& one) override {
    one = {socket_, POLLOUT, 0};
    return true;
  }

 private:
  const int socket_;
};

class StreamInflow final : public Inflow {
 public:
  explicit StreamInflow(int socket) : socket_(socket), buffer_(segment_bytes) {}

  Result<std::span<const std::byte>> look() override {
    if (end_ - begin_ < sizeof(float)) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
      const auto more = receive(std::span(buffer_).subspan(end_));
      if (!more) return more.error();
      end_ += *more;
    }
    return std::span<const std::byte>(buffer_).subspan(begin_, end_ - begin_);
  }

  void take(std::size_t bytes) override { begin_ += bytes; }

  Result<std::size_t> read(std::span<std::byte> to) override {
    const std::size_t held = std::min(end_ - begin_, to.size());
    if (held > 0) {
      std::memcpy(to.data(), buffer_.data() + begin_, held);
      begin_ += held;
      return held;
    }
    return receive(to.first(std::min(to.size(), segment_bytes)));
  }

  bool arm(pollfd& one) override {
    one = {socket_, POLLIN, 0};
    return true;
  }

 private:
  Result<std::size_t> receive(std::span<std::byte> to) {
    const ssize_t received = recv(socket_, to.data(), to.size(), 0);
    if (received > 0) return static_cast<std::size_t>(received);
    if (received == 0) return Error{Errc::unavailable, "the connection ended"};
    if (later(errno)) return std::size_t{0};
    return gone();
  }

  const int socket_;
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0, end_ = 0;
};

}  // namespace

std::unique_ptr<Outflow> stream_outflow(int socket) { return std::make_unique<StreamOutflow>(socket); }
std::unique_ptr<Inflow> stream_inflow(int socket) { return std::make_unique<StreamInflow>(socket); }

}  // namespace trainyard::collective
