// Tensor traffic over ZeroMQ: a header frame and a payload frame that is handed over without a copy. A server
// end (ROUTER) belongs to the thread that polls it; a client end (DEALER) to its one thread. Messages above
// 256 MiB end the peer's connection; handshakes must end within 3 s.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.hpp"
#include "common/base/time.hpp"

namespace trainyard::net {

inline constexpr std::uint64_t data_message_bytes_max = std::uint64_t{256} << 20;

/// A payload that was received; owns its bytes. Movable. data() is aligned to 4 bytes at least.
class Payload {
 public:
  Payload();
  ~Payload();
  Payload(Payload&&) noexcept;
  Payload& operator=(Payload&&) noexcept;
  std::span<const std::byte> bytes() const;
  std::span<const float> floats() const;  // empty unless the size is a multiple of 4
  struct Data;                            // of common/net itself
  explicit Payload(std::unique_ptr<Data> data);

 private:
  std::unique_ptr<Data> data_;
};

/// Bytes that several messages may share while they are in flight; never changed once handed over.
using SharedFloats = std::shared_ptr<const std::vector<float>>;
struct SharedBytes {
  SharedBytes() = default;
  SharedBytes(std::nullptr_t) {}
  template <typename T>
  SharedBytes(std::shared_ptr<T> values) : owner(values) {
    if (values) view = std::as_bytes(std::span(*values));
  }
  std::span<const std::byte> view;
  std::shared_ptr<const void> owner;
};

struct DataMessage {
  std::string peer;  // server end: who sent it, and whom to answer
  std::string header;
  Payload payload;
};

class DataServer {
 public:
  /// Binds tcp://host:0; endpoint() has the port.
  static Result<std::unique_ptr<DataServer>> bind(const std::string& host);
  ~DataServer();
  std::string endpoint() const;  // "127.0.0.1:40001"
  std::optional<DataMessage> receive(Duration patience);
  void send(const std::string& peer, const std::string& header,
            SharedBytes payload);  // a gone peer is no error
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
  void send(const std::string& header, SharedBytes payload);
  std::optional<DataMessage> receive(Duration patience);

 private:
  struct State;
  explicit DataClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace trainyard::net
