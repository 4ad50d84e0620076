// A control session over one TCP connection: one reading and one writing coroutine. Private to common/net;
// the rest of the tree sees Session.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <string>

#include "common/net/control.hpp"

namespace trainyard::net {

class TcpSession final : public Session, public std::enable_shared_from_this<TcpSession> {
 public:
  explicit TcpSession(boost::asio::ip::tcp::socket socket);

  /// Begins to read and write. `greeting` goes out first; `received` are bytes that were read already.
  void start(SessionEvents events, std::string greeting, std::string received);

  void send(std::string body) override;
  void close() override;
  std::string peer() const override { return peer_; }
  /// Ends at once; the reason goes to `closed`.
  void fail(const std::string& reason);

 private:
  boost::asio::awaitable<void> read_frames(std::shared_ptr<TcpSession> self, std::string received);
  boost::asio::awaitable<void> write_frames(std::shared_ptr<TcpSession> self);

  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer queued_;  // cancelled to wake the writer
  std::string peer_;
  SessionEvents events_;
  std::deque<std::string> queue_;
  std::size_t queue_bytes_ = 0;
  bool closing_ = false;  // the writer ends the session once the queue is empty
  bool ended_ = false;
};

/// The text of an error code without its category: "Connection refused".
std::string reason_of(const boost::system::error_code& error);

}  // namespace trainyard::net
