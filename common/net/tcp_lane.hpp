// Tensor messages over TCP by ZeroMQ: a header frame and a payload frame that is handed over without a copy.
// Of common/net itself: DataServer and DataClient choose it for peers of other nodes. Nothing here waits
// except where it says so; each end belongs to one thread.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <zmq.hpp>

#include "common/base/result.hpp"
#include "common/base/time.hpp"
#include "common/net/payload.hpp"

namespace trainyard::net {

/// Bytes of payloads that wait in the queue to one peer. Counted down in ZeroMQ's thread.
using WaitingBytes = std::shared_ptr<std::atomic<std::size_t>>;

struct TcpMessage {
  std::string peer;  // server end
  std::string header;
  Payload payload;
};

class TcpServer {
 public:
  /// Port 0: any.
  static Result<std::unique_ptr<TcpServer>> bind(const std::string& host, std::uint16_t port);
  ~TcpServer();
  const std::string& endpoint() const { return endpoint_; }
  std::optional<TcpMessage> receive();
  /// A peer that is gone, or whose queue is full, is no error.
  void send(const std::string& peer, const std::string& header, SharedBytes payload);
  /// Becomes readable when receive() may have something; only right after it had nothing.
  int descriptor() const { return socket_.get(zmq::sockopt::fd); }

 private:
  TcpServer();
  WaitingBytes waiting_for(const std::string& peer);
  std::shared_ptr<zmq::context_t> context_;
  zmq::socket_t socket_;
  std::string endpoint_;
  std::unordered_map<std::string, WaitingBytes> waiting_;
};

class TcpClient {
 public:
  static Result<std::unique_ptr<TcpClient>> connect(const std::string& endpoint);
  ~TcpClient();
  /// Waits for room in the queue at most so long, then drops the message.
  void send(const std::string& header, SharedBytes payload, Duration patience);
  std::optional<TcpMessage> receive();
  /// Becomes readable when receive() may have something; only right after it had nothing.
  int descriptor() const { return socket_.get(zmq::sockopt::fd); }

 private:
  TcpClient();
  std::shared_ptr<zmq::context_t> context_;
  zmq::socket_t socket_;
  WaitingBytes waiting_;
};

}  // namespace trainyard::net
