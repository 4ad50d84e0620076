#include "common/net/local_server.hpp"

#include <sys/epoll.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "common/base/log.hpp"

namespace trainyard::net {

namespace {

constexpr std::size_t links_max = 1024;
constexpr Duration offer_patience = 3s;
constexpr std::size_t held_bytes_max = std::size_t{64} << 20;
constexpr std::size_t published_bytes_min = std::size_t{64} << 10;
constexpr int events_at_once = 64;

Time now() { return std::chrono::steady_clock::now(); }

void watch(const Descriptor& events, int descriptor, std::uint64_t what) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = what;
  static_cast<void>(::epoll_ctl(events.number(), EPOLL_CTL_ADD, descriptor, &event));
}

}  // namespace

bool shared_memory_wanted() {
  const char* const word = std::getenv("TRAINYARD_SHARED_MEMORY");
  return word == nullptr || std::strcmp(word, "off") != 0;
}

std::string local_name(const std::string& endpoint) { return "trainyard.tensors." + endpoint; }

LocalLink::Bounds local_bounds() {
  return {.header_bytes_max = data_header_bytes_max,
          .payload_bytes_max = data_message_bytes_max,
          .slots_bytes_max = server_pool_bytes_max,
          .held_bytes_max = held_bytes_max};
}

LocalServer::LocalServer(const std::string& name, std::size_t pool_bytes_max)
    : pool_(std::make_shared<SlotPool>(pool_bytes_max)) {
  auto listener = listen_locally(name);
  if (!listener) {
    log::debug("tensors come by TCP alone: {}", listener.error().message);
    return;
  }
  listener_ = std::move(*listener);
  events_ = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
  if (events_) watch(events_, listener_.number(), 0);
}

LocalServer::Links::iterator LocalServer::close(Links::iterator at) {
  // Payloads that are still held keep the socket open: it is not to call for attention until they go.
  static_cast<void>(::epoll_ctl(events_.number(), EPOLL_CTL_DEL, at->second.link->descriptor(), nullptr));
  return links_.erase(at);
}

void LocalServer::accept() {
  while (Descriptor socket = accept_locally(listener_)) {
    for (auto at = links_.begin(); at != links_.end();)
      at = !at->second.heard && now() - at->second.since > offer_patience ? close(at) : std::next(at);
    if (links_.size() >= links_max) continue;
    const std::uint64_t id = ++links_ever_;
    watch(events_, socket.number(), id);
    links_.emplace(id, Open{LocalLink::accept(std::move(socket), pool_, local_bounds()), now()});
  }
}

std::optional<LocalServer::Received> LocalServer::receive() {
  source_ = copy_ = {};
  auto at = links_.upper_bound(last_);
  for (std::size_t left = links_.size(); left > 0; --left) {
    if (at == links_.end()) at = links_.begin();
    auto& [id, open] = *at;
    if (auto message = open.link->receive()) {
      open.heard = true;
      last_ = id;
      return Received{id, std::move(*message)};
    }
    at = open.link->ended() ? close(at) : std::next(at);
  }
  return std::nullopt;
}

SharedBytes LocalServer::published(const SharedBytes& payload) {
  if (payload.view.size() < published_bytes_min || pool_->find(payload.owner.get())) return payload;
  if (source_.owner == payload.owner && source_.view.data() == payload.view.data() &&
      source_.view.size() == payload.view.size())
    return copy_;
  const auto slot = pool_->take(payload.view.size());
  if (!slot) return payload;
  std::memcpy(slot->memory.bytes().data(), payload.view.data(), payload.view.size());
  source_ = payload;
  copy_ = {slot->memory.bytes().first(payload.view.size()), slot};
  return copy_;
}

void LocalServer::close_hungriest() {
  auto worst = links_.end();
  std::size_t most = 0;
  for (auto at = links_.begin(); at != links_.end(); ++at)
    if (const std::size_t held = at->second.link->held_bytes(); held > most) worst = at, most = held;
  if (worst == links_.end()) return;
  log::debug("a peer on this node holds {} bytes and does not let go: its link is closed", most);
  close(worst);
}

void LocalServer::send(std::uint64_t link, const std::string& header, const SharedBytes& payload) {
  const auto at = links_.find(link);
  if (at == links_.end()) return;
  SharedBytes bytes = published(payload);
  if (bytes.owner == payload.owner && payload.view.size() >= published_bytes_min) {
    close_hungriest();
    bytes = published(payload);
  }
  const auto still = links_.find(link);
  if (still == links_.end()) return;
  if (still->second.link->send(header, bytes) == LocalLink::Sent::full)
    log::debug("a peer on this node does not read, an answer to it was dropped");
}

bool LocalServer::sleep() {
  for (auto& [id, open] : links_)
    if (!open.link->sleep()) return false;
  return true;
}

void LocalServer::awake() {
  if (!events_) return;
  for (auto& [id, open] : links_) open.link->awake();
  std::array<epoll_event, events_at_once> events{};
  const int count = ::epoll_wait(events_.number(), events.data(), events_at_once, 0);
  for (int i = 0; i < count; ++i) {
    const std::uint64_t id = events[static_cast<std::size_t>(i)].data.u64;
    if (id == 0) {
      accept();
      continue;
    }
    const auto at = links_.find(id);
    if (at == links_.end()) continue;
    at->second.link->hear();
    if (at->second.link->ended()) close(at);
  }
}

}  // namespace trainyard::net
