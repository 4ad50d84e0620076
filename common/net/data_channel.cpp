#include "common/net/data_channel.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <zmq.hpp>

#include "common/base/log.hpp"
#include "common/base/text.hpp"

namespace trainyard::net {

namespace {

constexpr std::size_t header_bytes_max = std::size_t{4} << 20;
constexpr int queue_messages_max = 64;
constexpr int handshake_ms = 3000;
constexpr int linger_ms = 1000;
constexpr int reconnect_ms = 50;

void bound(zmq::socket_t& socket) {
  socket.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(data_message_bytes_max));
  socket.set(zmq::sockopt::handshake_ivl, handshake_ms);
  socket.set(zmq::sockopt::linger, linger_ms);
  socket.set(zmq::sockopt::sndhwm, queue_messages_max);
  socket.set(zmq::sockopt::rcvhwm, queue_messages_max);
}

/// What a message in flight holds on to. ZeroMQ orders our writes before let_go in its own thread;
/// ThreadSanitizer cannot see into the library, so `handed_over` says it once more.
struct Keeper {
  std::shared_ptr<const void> owner;
  std::atomic<bool> handed_over{false};

  static void let_go(void*, void* hint) {
    auto* const keeper = static_cast<Keeper*>(hint);
    static_cast<void>(keeper->handed_over.load(std::memory_order_acquire));
    delete keeper;
  }
};

/// The bytes leave without a copy: ZeroMQ lets go of them when they are sent.
zmq::message_t wrap(SharedBytes bytes) {
  if (bytes.view.empty()) return {};
  auto* const keeper = new Keeper{std::move(bytes.owner)};
  keeper->handed_over.store(true, std::memory_order_release);
  return zmq::message_t(const_cast<std::byte*>(bytes.view.data()), bytes.view.size(), Keeper::let_go, keeper);
}

std::chrono::milliseconds whole_ms(Duration patience) {
  return std::max(std::chrono::milliseconds{0}, std::chrono::ceil<std::chrono::milliseconds>(patience));
}

}  // namespace

struct Payload::Data {
  zmq::message_t message;
};

Payload::Payload() = default;
Payload::~Payload() = default;
Payload::Payload(Payload&&) noexcept = default;
Payload& Payload::operator=(Payload&&) noexcept = default;
Payload::Payload(std::unique_ptr<Data> data) : data_(std::move(data)) {}

std::span<const std::byte> Payload::bytes() const {
  if (!data_) return {};
  return {static_cast<const std::byte*>(data_->message.data()), data_->message.size()};
}

std::span<const float> Payload::floats() const {
  const auto all = bytes();
  if (all.size() % sizeof(float) != 0) return {};
  return {reinterpret_cast<const float*>(all.data()), all.size() / sizeof(float)};
}

namespace {

/// Reads one message of `frames` parts; nothing if it has another number of parts or too large a header.
std::optional<DataMessage> receive_parts(zmq::socket_t& socket, bool with_peer) {
  std::array<zmq::message_t, 3> parts;
  const std::size_t expected = with_peer ? 3 : 2;
  std::size_t count = 0;
  bool more = true;
  while (more) {
    zmq::message_t part;
    const auto received = socket.recv(part, count == 0 ? zmq::recv_flags::dontwait : zmq::recv_flags::none);
    if (!received) return std::nullopt;
    more = part.more();
    if (count < expected) parts[count] = std::move(part);
    ++count;
  }
  const std::size_t header = with_peer ? 1 : 0;
  if (count != expected || parts[header].size() > header_bytes_max) {
    log::debug("dropped a data message of {} parts", count);
    return std::nullopt;
  }
  DataMessage message;
  if (with_peer) message.peer = parts[0].to_string();
  message.header = parts[header].to_string();
  auto data = std::make_unique<Payload::Data>();
  data->message = std::move(parts[header + 1]);
  if (reinterpret_cast<std::uintptr_t>(data->message.data()) % alignof(float) != 0) {
    zmq::message_t aligned(data->message.data(), data->message.size());
    data->message = std::move(aligned);
  }
  message.payload = Payload(std::move(data));
  return message;
}

}  // namespace

struct DataServer::State {
  zmq::context_t context{1};
  zmq::socket_t socket{context, zmq::socket_type::router};
  int wake_descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  std::string endpoint;
  ~State() {
    if (wake_descriptor >= 0) ::close(wake_descriptor);
  }
};

DataServer::DataServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
DataServer::~DataServer() = default;
std::string DataServer::endpoint() const { return state_->endpoint; }

Result<std::unique_ptr<DataServer>> DataServer::bind(const std::string& host) {
  try {
    auto state = std::make_unique<State>();
    check(state->wake_descriptor >= 0, "no event descriptor");
    bound(state->socket);
    state->socket.bind(format("tcp://{}:*", host));
    state->endpoint =
        state->socket.get(zmq::sockopt::last_endpoint).substr(std::string_view("tcp://").size());
    return std::unique_ptr<DataServer>(new DataServer(std::move(state)));
  } catch (const zmq::error_t& error) {
    return Error{Errc::io, format("cannot listen for tensors on {}: {}", host, error.what())};
  }
}

std::optional<DataMessage> DataServer::receive(Duration patience) {
  try {
    if (auto message = receive_parts(state_->socket, true)) return message;
    std::array<zmq::pollitem_t, 2> items{
        {{state_->socket.handle(), 0, ZMQ_POLLIN, 0}, {nullptr, state_->wake_descriptor, ZMQ_POLLIN, 0}}};
    zmq::poll(items, whole_ms(patience));
    if (items[1].revents != 0) {
      std::uint64_t count = 0;
      static_cast<void>(!::read(state_->wake_descriptor, &count, sizeof(count)));
    }
    return receive_parts(state_->socket, true);
  } catch (const zmq::error_t& error) {
    if (error.num() != EINTR) log::warn("the data channel failed: {}", error.what());
    return std::nullopt;
  }
}

void DataServer::send(const std::string& peer, const std::string& header, SharedBytes payload) {
  try {
    const auto flags = zmq::send_flags::sndmore | zmq::send_flags::dontwait;
    zmq::message_t to(peer), first(header), second = wrap(std::move(payload));
    if (!state_->socket.send(to, flags)) return;
    state_->socket.send(first, zmq::send_flags::sndmore);
    state_->socket.send(second, zmq::send_flags::none);
  } catch (const zmq::error_t& error) {
    log::debug("a peer of the data channel is gone: {}", error.what());
  }
}

void DataServer::wake() {
  const std::uint64_t one = 1;
  static_cast<void>(!::write(state_->wake_descriptor, &one, sizeof(one)));
}

struct DataClient::State {
  zmq::context_t context{1};
  zmq::socket_t socket{context, zmq::socket_type::dealer};
};

DataClient::DataClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
DataClient::~DataClient() = default;

Result<std::unique_ptr<DataClient>> DataClient::connect(const std::string& endpoint) {
  try {
    auto state = std::make_unique<State>();
    bound(state->socket);
    state->socket.set(zmq::sockopt::reconnect_ivl, reconnect_ms);
    state->socket.connect("tcp://" + endpoint);
    return std::unique_ptr<DataClient>(new DataClient(std::move(state)));
  } catch (const zmq::error_t& error) {
    return Error{Errc::io, format("cannot connect to {}: {}", endpoint, error.what())};
  }
}

void DataClient::send(const std::string& header, SharedBytes payload) {
  try {
    zmq::message_t first(header), second = wrap(std::move(payload));
    if (!state_->socket.send(first, zmq::send_flags::sndmore | zmq::send_flags::dontwait)) return;
    state_->socket.send(second, zmq::send_flags::none);
  } catch (const zmq::error_t& error) {
    log::debug("a message to a shard was dropped: {}", error.what());
  }
}

std::optional<DataMessage> DataClient::receive(Duration patience) {
  try {
    if (auto message = receive_parts(state_->socket, false)) return message;
    std::array<zmq::pollitem_t, 1> items{{{state_->socket.handle(), 0, ZMQ_POLLIN, 0}}};
    zmq::poll(items, whole_ms(patience));
    return receive_parts(state_->socket, false);
  } catch (const zmq::error_t& error) {
    if (error.num() != EINTR) log::warn("the data channel failed: {}", error.what());
    return std::nullopt;
  }
}

}  // namespace trainyard::net
