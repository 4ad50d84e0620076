// Tensor traffic between trainers and shards: messages of a header and a payload. To a peer of the same node
// and user they go through shared memory, to any other over TCP; who uses the channel does not see which. A
// server end belongs to the thread that polls it, a client end to its one thread; neither has a thread of its
// own but ZeroMQ's for TCP. A message is received whole or not at all, and may be lost when a peer or a
// connection dies: who needs an answer asks again. Messages above 256 MiB end the peer's connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "common/base/result.hpp"
#include "common/base/time.hpp"
#include "common/net/payload.hpp"

namespace trainyard::net {

inline constexpr std::uint64_t data_message_bytes_max = std::uint64_t{256} << 20;
inline constexpr std::size_t data_header_bytes_max = std::size_t{4} << 20;

/// For a process that receives tensors over TCP, best before it has threads: freed memory stays its own.
/// ZeroMQ allocates each message anew, and fresh pages cost as much as the bytes that come into them. Clients
/// do it themselves when they take to TCP.
void keep_freed_memory();

struct DataMessage {
  std::string peer;  // server end: who sent it, and whom to answer
  std::string header;
  Payload payload;
};

class DataServer {
 public:
  /// Binds tcp://host:port, any port for 0, and where shared memory is not off its name on this node.
  static Result<std::unique_ptr<DataServer>> bind(const std::string& host, std::uint16_t port = 0);
  ~DataServer();
  std::string endpoint() const;  // "127.0.0.1:40001"
  std::optional<DataMessage> receive(Duration patience);
  /// Never waits. A peer that is gone, or does not read what it got, is no error: the message is dropped.
  /// Payloads of the same owner are best sent one after the other, without a receive() between.
  void send(const std::string& peer, const std::string& header, SharedBytes payload);
  /// Ends a receive() in another thread early.
  void wake();

 private:
  struct State;
  explicit DataServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class DataClient {
 public:
  static Result<std::unique_ptr<DataClient>> connect(const std::string& endpoint);
  ~DataClient();
  /// Waits a second at most when the peer has too much unread, then drops the message.
  void send(const std::string& header, SharedBytes payload);
  /// Where to write a payload of so many bytes, to be sent without a copy, as often as wanted.
  Room reserve(std::size_t bytes);
  std::optional<DataMessage> receive(Duration patience);

 private:
  struct State;
  explicit DataClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace trainyard::net
