#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/base/text.hpp"
#include "common/net/frame.hpp"
#include "common/net/session.hpp"

namespace trainyard::net {

namespace asio = boost::asio;
using asio::ip::tcp;
constexpr auto as_values = asio::as_tuple(asio::use_awaitable);

struct Connector::State : std::enable_shared_from_this<Connector::State> {
  State(asio::io_context& context, Endpoint peer, Opened opened, Failed failed, Duration retry)
      : peer(std::move(peer)),
        opened(std::move(opened)),
        failed(std::move(failed)),
        retry(retry),
        resolver(context),
        pause(context) {}

  Endpoint peer;
  Opened opened;
  Failed failed;
  Duration retry;
  tcp::resolver resolver;
  asio::steady_timer pause;
  std::shared_ptr<TcpSession> session;
  bool ended = false;

  void end() {
    ended = true;
    resolver.cancel();
    pause.cancel();
    if (session) session->close();
  }

  void start(tcp::socket socket) {
    session = std::make_shared<TcpSession>(std::move(socket));
    SessionEvents events = opened(session);
    const std::weak_ptr<State> weak = shared_from_this();
    events.closed = [weak, theirs = std::move(events.closed)](const std::string& reason) {
      if (theirs) theirs(reason);
      if (const auto self = weak.lock()) {
        self->session.reset();
        self->pause.cancel();
      }
    };
    session->start(std::move(events), std::string(control_magic), "");
  }

  static asio::awaitable<void> run(std::shared_ptr<State> self) {
    while (!self->ended) {
      const auto [resolve_error, addresses] =
          co_await self->resolver.async_resolve(self->peer.host, std::to_string(self->peer.port), as_values);
      boost::system::error_code error = resolve_error;
      tcp::socket socket(self->pause.get_executor());
      if (!error && !self->ended) {
        const auto [connect_error, reached] = co_await asio::async_connect(socket, addresses, as_values);
        error = connect_error;
      }
      if (self->ended) co_return;
      if (!error) {
        self->start(std::move(socket));
        while (self->session && !self->ended) {
          self->pause.expires_at(asio::steady_timer::time_point::max());
          const auto [woken] = co_await self->pause.async_wait(as_values);
          static_cast<void>(woken);
        }
      } else if (self->failed) {
        self->failed(format("cannot reach {}: {}", name(self->peer), reason_of(error)));
      }
      if (self->ended) co_return;
      self->pause.expires_after(self->retry);
      const auto [woken] = co_await self->pause.async_wait(as_values);
      static_cast<void>(woken);
    }
  }
};

Connector::Connector(Reactor& reactor, Endpoint peer, Opened opened, Failed failed, Duration retry)
    : state_(std::make_shared<State>(reactor.context(), std::move(peer), std::move(opened), std::move(failed),
                                     retry)) {
  asio::co_spawn(reactor.context(), State::run(state_), asio::detached);
}

Connector::~Connector() { state_->end(); }

}  // namespace trainyard::net
