#include "common/net/data_channel.hpp"

#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <limits>

#include "common/base/check.hpp"
#include "common/base/log.hpp"
#include "common/net/local_server.hpp"
#include "common/net/tcp_lane.hpp"

namespace trainyard::net {

namespace {

constexpr Duration attach_again = 50ms;  // how often a client looks for its server on this node
constexpr Duration send_patience = 1s;
constexpr std::size_t client_pool_bytes_max = 4 * data_message_bytes_max;
constexpr std::size_t rooms_kept_max = 4;
// Of messages through shared memory: how often the rest of the world is looked at while they keep coming.
constexpr std::uint32_t turns_between = 64;
// A sleeper is woken in some 30 us; who has cores to spare looks so long before it sleeps.
constexpr Duration spin = 20us;
constexpr int cores_to_spin_min = 4;
constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr std::size_t huge_bytes_ahead = std::size_t{512} << 20;

Time now() { return std::chrono::steady_clock::now(); }

bool may_spin() {
  static const bool enough = [] {
    cpu_set_t mine;
    return ::sched_getaffinity(0, sizeof(mine), &mine) == 0 && CPU_COUNT(&mine) >= cores_to_spin_min;
  }();
  return enough;
}

/// Calls `look` until it finds something or it is time to sleep.
template <typename Look>
auto spin_for(const Look& look, Time until) {
  auto found = look();
  if (!may_spin()) return found;
  const Time end = std::min(until, now() + spin);
  while (!found && now() < end) found = look();
  return found;
}

bool fits(const std::string& header, const SharedBytes& payload) {
  if (payload.view.size() <= data_message_bytes_max && header.size() <= data_header_bytes_max) return true;
  log::error("a message of {} and {} bytes is above the limits of {} and {} and was dropped", header.size(),
             payload.view.size(), data_header_bytes_max, data_message_bytes_max);
  return false;
}

void wait_on(std::span<pollfd> items, Time until) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now()).count();
  if (left > 0)
    static_cast<void>(::poll(items.data(), items.size(), static_cast<int>(std::min(left, 3'600'000L))));
}

}  // namespace

void keep_freed_memory() {
  mallopt(M_ARENA_MAX, 1);  // what ZeroMQ's thread allocates, ours frees
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  mallopt(M_TOP_PAD, 1 << 20);
  // Large pages for what the heap grows by first: address space alone until it is used.
  void* const ahead = std::malloc(huge_bytes_ahead);
  if (ahead == nullptr) return;
  const auto first = (reinterpret_cast<std::uintptr_t>(ahead) + huge_page - 1) / huge_page * huge_page;
  std::free(ahead);
  static_cast<void>(::madvise(reinterpret_cast<void*>(first), huge_bytes_ahead - huge_page, MADV_HUGEPAGE));
}

struct DataServer::State {
  std::unique_ptr<TcpServer> tcp;
  std::optional<LocalServer> local;
  Descriptor bell{eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  std::uint32_t turns = 0;

  std::optional<DataMessage> receive() {
    const bool aside = ++turns % turns_between == 0;
    if (aside && local) local->awake();
    if (aside)
      if (auto got = receive_tcp()) return got;
    if (local)
      if (auto got = local->receive())
        return DataMessage{"L" + std::to_string(got->link), std::move(got->message.header),
                           std::move(got->message.payload)};
    return receive_tcp();
  }
  std::optional<DataMessage> receive_tcp() {
    auto got = tcp->receive();
    if (!got) return std::nullopt;
    return DataMessage{"T" + got->peer, std::move(got->header), std::move(got->payload)};
  }
};

DataServer::DataServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
DataServer::~DataServer() = default;
std::string DataServer::endpoint() const { return state_->tcp->endpoint(); }

Result<std::unique_ptr<DataServer>> DataServer::bind(const std::string& host, std::uint16_t port) {
  auto tcp = TcpServer::bind(host, port);
  if (!tcp) return tcp.error();
  auto state = std::make_unique<State>();
  check(static_cast<bool>(state->bell), "no event descriptor");
  state->tcp = std::move(*tcp);
  if (shared_memory_wanted()) state->local.emplace(local_name(state->tcp->endpoint()), server_pool_bytes_max);
  return std::unique_ptr<DataServer>(new DataServer(std::move(state)));
}

std::optional<DataMessage> DataServer::receive(Duration patience) {
  const Time until = now() + patience;
  const auto look = [&] { return state_->receive(); };
  while (true) {
    if (auto got = state_->local && !state_->local->idle() ? spin_for(look, until) : look()) return got;
    const bool sleeps = !state_->local || state_->local->sleep();
    // Of no descriptor, -1, poll says nothing.
    std::array<pollfd, 3> items{{{state_->tcp->descriptor(), POLLIN, 0},
                                 {state_->bell.number(), POLLIN, 0},
                                 {state_->local ? state_->local->descriptor() : -1, POLLIN, 0}}};
    if (sleeps) wait_on(items, until);
    if (state_->local) state_->local->awake();
    if (items[1].revents != 0) {
      std::uint64_t count = 0;
      static_cast<void>(!::read(state_->bell.number(), &count, sizeof(count)));
      return state_->receive();
    }
    if (now() >= until) return state_->receive();
  }
}

void DataServer::send(const std::string& peer, const std::string& header, SharedBytes payload) {
  if (!fits(header, payload)) return;
  if (peer.starts_with('T')) {
    state_->tcp->send(peer.substr(1), header, std::move(payload));
  } else if (state_->local && peer.starts_with('L')) {
    state_->local->send(std::stoull(peer.substr(1)), header, payload);
  }
}

void DataServer::wake() {
  const std::uint64_t one = 1;
  static_cast<void>(!::write(state_->bell.number(), &one, sizeof(one)));
}

struct DataClient::State {
  std::string endpoint;
  std::shared_ptr<SlotPool> pool = std::make_shared<SlotPool>(client_pool_bytes_max);
  std::unique_ptr<LocalLink> local;
  std::unique_ptr<TcpClient> tcp;
  bool remote = false;  // it has answered by TCP: no need to look for it here
  Time attach_at{};
  std::vector<std::shared_ptr<std::vector<std::byte>>> rooms;

  /// Looks for the server on this node, but not too often.
  void attach() {
    if (local || remote || now() < attach_at || !shared_memory_wanted()) return;
    attach_at = now() + attach_again;
    Descriptor socket = connect_locally(local_name(endpoint));
    if (!socket) return;
    auto link = LocalLink::offer(std::move(socket), pool, local_bounds());
    if (!link) {
      log::debug("no shared memory with {}: {}", endpoint, link.error().message);
      return;
    }
    local = std::move(*link);
    tcp.reset();  // what waits there was lost with the server that it was for
  }
  Status need_tcp() {
    if (local || tcp) return {};
    keep_freed_memory();  // for the values that come
    auto made = TcpClient::connect(endpoint);
    if (!made) return made.error();
    tcp = std::move(*made);
    return {};
  }
  std::optional<DataMessage> receive() {
    if (local) {
      if (auto got = local->receive())
        return DataMessage{{}, std::move(got->header), std::move(got->payload)};
      if (local->ended()) local.reset();
    }
    if (!tcp) return std::nullopt;
    auto got = tcp->receive();
    if (!got) return std::nullopt;
    remote = true;
    return DataMessage{{}, std::move(got->header), std::move(got->payload)};
  }
};

DataClient::DataClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
DataClient::~DataClient() = default;

Result<std::unique_ptr<DataClient>> DataClient::connect(const std::string& endpoint) {
  auto state = std::make_unique<State>();
  state->endpoint = endpoint;
  state->attach();
  if (const Status connected = state->need_tcp(); !connected) return connected.error();
  return std::unique_ptr<DataClient>(new DataClient(std::move(state)));
}

void DataClient::send(const std::string& header, SharedBytes payload) {
  if (!fits(header, payload)) return;
  state_->attach();
  if (state_->local) {
    switch (state_->local->send(header, payload, send_patience)) {
      case LocalLink::Sent::yes:
        return;
      case LocalLink::Sent::full:
        log::debug("the shard at {} does not read, a message to it was dropped", state_->endpoint);
        return;
      case LocalLink::Sent::ended:
        state_->local.reset();
        state_->attach();
    }
    if (state_->local) {
      static_cast<void>(state_->local->send(header, payload));
      return;
    }
  }
  if (const Status connected = state_->need_tcp(); !connected) {
    log::debug("a message to {} was dropped: {}", state_->endpoint, connected.error().message);
    return;
  }
  state_->tcp->send(header, std::move(payload), send_patience);
}

Room DataClient::reserve(std::size_t bytes) {
  if (state_->local) {
    if (const auto slot = state_->pool->take(bytes)) return {slot->memory.bytes().first(bytes), slot};
  }
  for (auto& room : state_->rooms) {
    if (room.use_count() != 1 || room->size() != bytes) continue;
    { const auto joined = room; }  // orders the last owner's reads before the caller's writes
    return {*room, room};
  }
  if (state_->rooms.size() >= rooms_kept_max) state_->rooms.erase(state_->rooms.begin());
  state_->rooms.push_back(std::make_shared<std::vector<std::byte>>(bytes));
  return {*state_->rooms.back(), state_->rooms.back()};
}

std::optional<DataMessage> DataClient::receive(Duration patience) {
  const Time until = now() + patience;
  const auto look = [&] { return state_->receive(); };
  while (true) {
    if (auto got = state_->local ? spin_for(look, until) : look()) return got;
    if (now() >= until) return std::nullopt;
    const bool sleeps = !state_->local || state_->local->sleep();
    std::array<pollfd, 2> items{{{state_->local ? state_->local->descriptor() : -1, POLLIN, 0},
                                 {state_->tcp ? state_->tcp->descriptor() : -1, POLLIN, 0}}};
    if (sleeps) wait_on(items, until);
    if (state_->local) {
      state_->local->awake();
      state_->local->hear();
    }
    if (!state_->local && !state_->tcp) {
      state_->attach();
      if (const Status connected = state_->need_tcp(); !connected) return std::nullopt;
    }
  }
}

}  // namespace trainyard::net
