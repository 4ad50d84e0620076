// How a ring comes about: greetings with both neighbours, and the choice of the way that values travel.
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "common/base/check.hpp"
#include "common/base/text.hpp"
#include "common/collective/greeting.hpp"
#include "common/collective/ring.hpp"

namespace trainyard::collective {

namespace {

constexpr Duration hello_patience = 2s;  // for one that connected and says nothing
constexpr Duration look_every = 50ms;    // at the next rank's answer

/// An abstract local socket, which only this network namespace sees and no file is left of.
sockaddr_un local_address(const std::string& name, socklen_t& length) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), std::min(name.size(), sizeof address.sun_path - 1));
  length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return address;
}

struct Local {
  Descriptor socket;
  std::string name;  // empty where there is none
};

Local listen_locally() {
  Local local{Descriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
              "trainyard-" + random_token()};
  socklen_t length = 0;
  const sockaddr_un address = local_address(local.name, length);
  if (!local.socket ||
      bind(local.socket.number(), reinterpret_cast<const sockaddr*>(&address), length) != 0 ||
      listen(local.socket.number(), 1) != 0)
    return {};
  return local;
}

class Meeting {
 public:
  Meeting(const RingSettings& settings, Listener& listener)
      : settings_(settings),
        listener_(listener),
        ranks_(static_cast<std::uint32_t>(settings.endpoints.size())),
        own_{ring_version, settings.job, settings.incarnation, settings.rank, ranks_, settings.secret},
        wait_{std::chrono::steady_clock::now() + settings.patience, settings.cancelled} {}

  Result<Neighbours> meet() {
    const std::uint32_t next = (settings_.rank + 1) % ranks_;
    next_name_ = format("rank {} at {}", next, settings_.endpoints[next]);
    if (settings_.shared_memory) local_ = listen_locally();
    if (const Status done = say_hello(settings_.endpoints[next]); !done) return done.error();
    if (const Status done = accept_previous(); !done) return done.error();
    if (const Status done = choose_way(); !done) return done.error();
    if (const Status done = take_way(); !done) return done.error();
    return std::move(neighbours_);
  }

 private:
  Status say_hello(const std::string& endpoint) {
    auto socket = connect_to(endpoint, wait_);
    if (!socket) return socket.error().with(next_name_);
    neighbours_.next = std::move(*socket);
    std::array<std::byte, ring_magic.size() + hello_bytes> bytes{};
    std::memcpy(bytes.data(), ring_magic.data(), ring_magic.size());
    const auto hello = encode(own_);
    std::memcpy(bytes.data() + ring_magic.size(), hello.data(), hello.size());
    return send_all(neighbours_.next.number(), bytes, wait_, next_name_);
  }

  /// Whoever says another hello is sent away.
  Status accept_previous() {
    const std::uint32_t previous = (settings_.rank + ranks_ - 1) % ranks_;
    while (true) {
      auto incoming = listener_.accept(wait_.at_most(look_every));
      if (!incoming && !wait_.is_over()) {
        // A later life refuses this one, whom nobody else will ever connect to.
        if (const Status read = read_welcome_if_there(); !read) return read;
        continue;
      }
      if (!incoming) return incoming.error().with(format("rank {}", previous));
      const auto hello = read_hello(*incoming);
      if (!hello) continue;
      const auto refused = refusal(own_, *hello);
      const auto answer = encode(Welcome{!refused, refused ? *refused : local_.name});
      const Wait short_wait = wait_.at_most(hello_patience);
      const Status sent =
          send_all(incoming->socket.number(), answer, short_wait, format("rank {}", previous));
      if (refused || !sent) continue;
      neighbours_.previous = std::move(incoming->socket);
      return {};
    }
  }

  Result<Hello> read_hello(const Listener::Incoming& incoming) {
    const Wait short_wait = wait_.at_most(hello_patience);
    const int socket = incoming.socket.number();
    if (!incoming.magic_read) {
      std::array<char, ring_magic.size()> magic{};
      const Status read = receive_all(socket, std::as_writable_bytes(std::span(magic)), short_wait, "a peer");
      if (!read) return read.error();
      if (std::string_view(magic.data(), magic.size()) != ring_magic)
        return Error{Errc::corrupt, "not a greeting"};
    }
    std::array<std::byte, hello_bytes> bytes{};
    if (const Status read = receive_all(socket, bytes, short_wait, "a peer"); !read) return read.error();
    return decode_hello(bytes);
  }

  Status read_welcome_if_there() {
    pollfd one{neighbours_.next.number(), POLLIN, 0};
    return !welcome_ && poll(&one, 1, 0) > 0 ? read_welcome() : Status();
  }

  Status read_welcome() {
    std::array<std::byte, welcome_bytes> bytes{};
    const Status read = receive_all(neighbours_.next.number(), bytes, wait_, next_name_);
    if (!read) return read;
    const auto welcome = decode_welcome(bytes);
    if (!welcome) return welcome.error().with(next_name_);
    if (!welcome->accepted) return Error{Errc::refused, format("{} refuses: {}", next_name_, welcome->text)};
    welcome_ = *welcome;
    return {};
  }

  /// The next rank's answer, and how values will go there.
  Status choose_way() {
    if (!welcome_) {
      if (const Status read = read_welcome(); !read) return read;
    }
    const int next = neighbours_.next.number();
    neighbours_.out = settings_.shared_memory ? share_with(welcome_->text) : nullptr;
    const Way way = neighbours_.out ? Way::shared : Way::stream;
    if (!neighbours_.out) neighbours_.out = stream_outflow(next);
    return send_all(next, std::as_bytes(std::span(&way, 1)), wait_, next_name_);
  }

  /// Nothing where the peer is on another node or takes no shared memory.
  static std::unique_ptr<Outflow> share_with(const std::string& name) {
    if (name.empty()) return nullptr;
    const Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    socklen_t length = 0;
    const sockaddr_un address = local_address(name, length);
    if (!socket || connect(socket.number(), reinterpret_cast<const sockaddr*>(&address), length) != 0)
      return nullptr;
    auto ends = make_shared_ends();
    if (!ends || !send_ends(socket.number(), *ends)) return nullptr;
    auto out = shared_outflow(std::move(*ends));
    return out ? std::move(*out) : nullptr;
  }

  Status take_way() {
    const std::string who = format("rank {}", (settings_.rank + ranks_ - 1) % ranks_);
    Way way = Way::stream;
    const int previous = neighbours_.previous.number();
    const Status read = receive_all(previous, std::as_writable_bytes(std::span(&way, 1)), wait_, who);
    if (!read) return read;
    if (way == Way::stream) {
      neighbours_.in = stream_inflow(previous);
      return {};
    }
    if (way != Way::shared || !local_.socket)
      return Error{Errc::corrupt, format("{} chose a way that does not exist", who)};
    if (const Status ready = wait_.for_event(local_.socket.number(), POLLIN, who); !ready) return ready;
    const Descriptor socket(accept4(local_.socket.number(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket) return system_error(who);
    auto ends = receive_ends(socket.number(), wait_);
    if (!ends) return ends.error().with(who);
    auto in = shared_inflow(std::move(*ends));
    if (!in) return in.error().with(who);
    neighbours_.in = std::move(*in);
    return {};
  }

  const RingSettings& settings_;
  Listener& listener_;
  const std::uint32_t ranks_;
  const Hello own_;
  const Wait wait_;
  std::string next_name_;
  Local local_;
  std::optional<Welcome> welcome_;
  Neighbours neighbours_;
};

}  // namespace

Result<std::unique_ptr<Group>> connect_ring(RingSettings settings, Listener& listener) {
  check(settings.rank < settings.endpoints.size(), "a rank has an endpoint");
  if (settings.secret.size() > secret_bytes_max)
    return Error{Errc::invalid, format("a secret of a ring has at most {} bytes", secret_bytes_max)};
  if (settings.endpoints.size() == 1)
    return std::unique_ptr<Group>(std::make_unique<Ring>(std::move(settings), Neighbours{}));
  auto neighbours = Meeting(settings, listener).meet();
  if (!neighbours) return neighbours.error();
  return std::unique_ptr<Group>(std::make_unique<Ring>(std::move(settings), std::move(*neighbours)));
}

}  // namespace trainyard::collective
