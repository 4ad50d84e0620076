#include "common/net/tcp_lane.hpp"

#include <algorithm>
#include <array>
#include <mutex>
#include <thread>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/net/data_channel.hpp"

namespace trainyard::net {

namespace {

// Above, a payload is handed over as it is; below, a copy costs less than keeping count of its owner.
constexpr std::size_t copied_bytes_max = std::size_t{64} << 10;
constexpr int queue_frames_max = 2048;  // of small messages: 64 MiB at most
constexpr std::size_t waiting_bytes_max = std::size_t{64} << 20;
constexpr std::size_t peers_counted_max = 1024;
constexpr int handshake_ms = 3000;
constexpr int linger_ms = 1000;
constexpr int reconnect_ms = 50;

void bound(zmq::socket_t& socket) {
  socket.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(data_message_bytes_max));
  socket.set(zmq::sockopt::handshake_ivl, handshake_ms);
  socket.set(zmq::sockopt::linger, linger_ms);
  socket.set(zmq::sockopt::sndhwm, queue_frames_max);
  socket.set(zmq::sockopt::rcvhwm, queue_frames_max);
}

/// One for the process: each has a thread of its own.
std::shared_ptr<zmq::context_t> shared_context() {
  static std::mutex mutex;
  static std::weak_ptr<zmq::context_t> kept;
  const std::lock_guard lock(mutex);
  auto context = kept.lock();
  if (!context) kept = context = std::make_shared<zmq::context_t>(1);
  return context;
}

/// What a message in flight holds on to. ZeroMQ orders our writes before let_go in its own thread;
/// ThreadSanitizer cannot see into the library, so `handed_over` says it once more.
struct Keeper {
  std::shared_ptr<const void> owner;
  WaitingBytes waiting;
  std::size_t bytes = 0;
  std::atomic<bool> handed_over{false};

  static void let_go(void*, void* hint) {
    auto* const keeper = static_cast<Keeper*>(hint);
    static_cast<void>(keeper->handed_over.load(std::memory_order_acquire));
    keeper->waiting->fetch_sub(keeper->bytes, std::memory_order_release);
    delete keeper;
  }
};

/// The bytes of a large payload leave without a copy: ZeroMQ lets go of them when they are sent.
zmq::message_t wrap(SharedBytes bytes, const WaitingBytes& waiting) {
  if (bytes.view.empty()) return {};
  if (bytes.view.size() <= copied_bytes_max) return zmq::message_t(bytes.view.data(), bytes.view.size());
  auto* const keeper = new Keeper{std::move(bytes.owner), waiting, bytes.view.size()};
  waiting->fetch_add(bytes.view.size(), std::memory_order_relaxed);
  keeper->handed_over.store(true, std::memory_order_release);
  return zmq::message_t(const_cast<std::byte*>(bytes.view.data()), bytes.view.size(), Keeper::let_go, keeper);
}

bool has_room(const WaitingBytes& waiting, std::size_t bytes) {
  const std::size_t before = waiting->load(std::memory_order_acquire);
  return bytes <= copied_bytes_max || before + bytes <= std::max(waiting_bytes_max, 3 * bytes);
}

/// Reads one message of `frames` parts; nothing if it has another number of parts or too large a header.
std::optional<TcpMessage> receive_parts(zmq::socket_t& socket, bool with_peer) {
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
  if (count != expected || parts[header].size() > data_header_bytes_max) {
    log::debug("dropped a data message of {} parts", count);
    return std::nullopt;
  }
  TcpMessage message;
  if (with_peer) message.peer = parts[0].to_string();
  message.header = parts[header].to_string();
  auto body = std::make_shared<zmq::message_t>(std::move(parts[header + 1]));
  if (reinterpret_cast<std::uintptr_t>(body->data()) % alignof(float) != 0)
    body = std::make_shared<zmq::message_t>(body->data(), body->size());
  const std::span bytes(static_cast<const std::byte*>(body->data()), body->size());
  message.payload = Payload(bytes, std::move(body));
  return message;
}

std::optional<TcpMessage> receive_from(zmq::socket_t& socket, bool with_peer) {
  try {
    return receive_parts(socket, with_peer);
  } catch (const zmq::error_t& error) {
    if (error.num() != EINTR) log::warn("the data channel failed: {}", error.what());
    return std::nullopt;
  }
}

}  // namespace

TcpServer::TcpServer() : context_(shared_context()), socket_(*context_, zmq::socket_type::router) {}
TcpServer::~TcpServer() = default;

Result<std::unique_ptr<TcpServer>> TcpServer::bind(const std::string& host, std::uint16_t port) {
  try {
    std::unique_ptr<TcpServer> server(new TcpServer());
    bound(server->socket_);
    server->socket_.bind(port == 0 ? format("tcp://{}:*", host) : format("tcp://{}:{}", host, port));
    server->endpoint_ =
        server->socket_.get(zmq::sockopt::last_endpoint).substr(std::string_view("tcp://").size());
    return server;
  } catch (const zmq::error_t& error) {
    return Error{Errc::io, format("cannot listen for tensors on {}: {}", host, error.what())};
  }
}

std::optional<TcpMessage> TcpServer::receive() { return receive_from(socket_, true); }

WaitingBytes TcpServer::waiting_for(const std::string& peer) {
  auto& waiting = waiting_[peer];
  if (waiting) return waiting;
  waiting = std::make_shared<std::atomic<std::size_t>>(0);
  auto kept = waiting;
  // ZeroMQ does not say who has left; whose queue is empty needs no count.
  if (waiting_.size() > peers_counted_max)
    std::erase_if(waiting_, [](const auto& one) { return one.second->load() == 0; });
  return kept;
}

void TcpServer::send(const std::string& peer, const std::string& header, SharedBytes payload) {
  const WaitingBytes waiting = waiting_for(peer);
  if (!has_room(waiting, payload.view.size())) {
    log::debug("a peer of the data channel does not read, an answer to it was dropped");
    return;
  }
  try {
    const auto flags = zmq::send_flags::sndmore | zmq::send_flags::dontwait;
    zmq::message_t to(peer), first(header), second = wrap(std::move(payload), waiting);
    if (!socket_.send(to, flags)) return;
    socket_.send(first, zmq::send_flags::sndmore);
    socket_.send(second, zmq::send_flags::none);
  } catch (const zmq::error_t& error) {
    log::debug("a peer of the data channel is gone: {}", error.what());
  }
}

TcpClient::TcpClient()
    : context_(shared_context()),
      socket_(*context_, zmq::socket_type::dealer),
      waiting_(std::make_shared<std::atomic<std::size_t>>(0)) {}
TcpClient::~TcpClient() = default;

Result<std::unique_ptr<TcpClient>> TcpClient::connect(const std::string& endpoint) {
  try {
    std::unique_ptr<TcpClient> client(new TcpClient());
    bound(client->socket_);
    client->socket_.set(zmq::sockopt::reconnect_ivl, reconnect_ms);
    client->socket_.connect("tcp://" + endpoint);
    return client;
  } catch (const zmq::error_t& error) {
    return Error{Errc::io, format("cannot connect to {}: {}", endpoint, error.what())};
  }
}

void TcpClient::send(const std::string& header, SharedBytes payload, Duration patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!has_room(waiting_, payload.view.size()) && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(1ms);
  if (!has_room(waiting_, payload.view.size())) {
    log::debug("a shard does not read, a message to it was dropped");
    return;
  }
  try {
    zmq::message_t first(header), second = wrap(std::move(payload), waiting_);
    const auto flags = zmq::send_flags::sndmore | zmq::send_flags::dontwait;
    auto sent = socket_.send(first, flags);
    if (!sent) {
      std::array<zmq::pollitem_t, 1> items{{{socket_.handle(), 0, ZMQ_POLLOUT, 0}}};
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
      zmq::poll(items, std::max(left, std::chrono::milliseconds{0}));
      sent = socket_.send(first, flags);
    }
    if (!sent) return;
    socket_.send(second, zmq::send_flags::none);
  } catch (const zmq::error_t& error) {
    log::debug("a message to a shard was dropped: {}", error.what());
  }
}

std::optional<TcpMessage> TcpClient::receive() { return receive_from(socket_, false); }

}  // namespace trainyard::net
