#include "common/net/session.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cstring>

#include "common/base/text.hpp"
#include "common/net/frame.hpp"

namespace trainyard::net {

namespace asio = boost::asio;
using asio::ip::tcp;
constexpr auto as_values = asio::as_tuple(asio::use_awaitable);

constexpr std::size_t queue_bytes_max = std::size_t{64} << 20;
constexpr Duration close_patience = 1s;

std::string reason_of(const boost::system::error_code& error) {
  return error == asio::error::eof ? "the peer closed the connection" : error.message();
}

TcpSession::TcpSession(tcp::socket socket) : socket_(std::move(socket)), queued_(socket_.get_executor()) {
  boost::system::error_code error;
  const auto remote = socket_.remote_endpoint(error);
  peer_ = error ? "unknown" : name(Endpoint{remote.address().to_string(), remote.port()});
  socket_.set_option(tcp::no_delay(true), error);
  queued_.expires_at(asio::steady_timer::time_point::max());
}

void TcpSession::start(SessionEvents events, std::string greeting, std::string received) {
  events_ = std::move(events);
  if (!greeting.empty()) {
    queue_bytes_ += greeting.size();
    queue_.push_front(std::move(greeting));  // before what was sent while the session was being made
  }
  asio::co_spawn(socket_.get_executor(), read_frames(shared_from_this(), std::move(received)),
                 asio::detached);
  asio::co_spawn(socket_.get_executor(), write_frames(shared_from_this()), asio::detached);
}

void TcpSession::send(std::string body) {
  if (ended_ || closing_) return;
  queue_.push_back(frame(body));
  queue_bytes_ += queue_.back().size();
  if (queue_bytes_ > queue_bytes_max) {
    asio::post(socket_.get_executor(),
               [self = shared_from_this()] { self->fail("the peer reads too slowly"); });
    return;
  }
  queued_.cancel();
}

void TcpSession::close() {
  if (ended_ || closing_) return;
  closing_ = true;
  queued_.cancel();
  auto timer = std::make_shared<asio::steady_timer>(socket_.get_executor(), close_patience);
  timer->async_wait(
      [self = shared_from_this(), timer](const boost::system::error_code&) { self->fail("closed"); });
}

void TcpSession::fail(const std::string& reason) {
  if (ended_) return;
  ended_ = true;
  boost::system::error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_both, ignored);
  socket_.close(ignored);
  queued_.cancel();
  // The callbacks may own this session: they go before it does.
  const SessionEvents events = std::exchange(events_, {});
  if (events.closed) events.closed(reason);
}

asio::awaitable<void> TcpSession::read_frames(std::shared_ptr<TcpSession> self, std::string received) {
  std::array<unsigned char, frame_header_bytes> header_bytes{};
  const auto take = [&received](void* to, std::size_t size) {
    const std::size_t ready = std::min(size, received.size());
    std::memcpy(to, received.data(), ready);
    received.erase(0, ready);
    return ready;
  };
  while (!self->ended_) {
    const std::size_t ready = take(header_bytes.data(), header_bytes.size());
    const auto [header_error, header_size] = co_await asio::async_read(
        self->socket_, asio::buffer(header_bytes.data() + ready, header_bytes.size() - ready), as_values);
    if (header_error) co_return self->fail(reason_of(header_error));
    const auto header = parse_frame_header(header_bytes);
    if (!header) co_return self->fail(header.error().message);

    std::string body(header->length, '\0');
    const std::size_t body_ready = take(body.data(), body.size());
    const auto [body_error, body_size] = co_await asio::async_read(
        self->socket_, asio::buffer(body.data() + body_ready, body.size() - body_ready), as_values);
    if (body_error) co_return self->fail(reason_of(body_error));
    if (frame_checksum(body) != header->checksum) co_return self->fail("a frame's checksum is wrong");
    if (!self->ended_ && self->events_.frame) {
      const auto deliver = self->events_.frame;  // stays alive even if the callback ends the session
      deliver(body);
    }
  }
}

asio::awaitable<void> TcpSession::write_frames(std::shared_ptr<TcpSession> self) {
  while (!self->ended_) {
    if (self->queue_.empty()) {
      if (self->closing_) co_return self->fail("closed");
      const auto [woken] = co_await self->queued_.async_wait(as_values);
      static_cast<void>(woken);
      self->queued_.expires_at(asio::steady_timer::time_point::max());
      continue;
    }
    const std::string bytes = std::move(self->queue_.front());
    self->queue_.pop_front();
    const auto [error, size] = co_await asio::async_write(self->socket_, asio::buffer(bytes), as_values);
    self->queue_bytes_ -= bytes.size();
    if (error) co_return self->fail(reason_of(error));
  }
}

}  // namespace trainyard::net
