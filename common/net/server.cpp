#include <arpa/inet.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/net/frame.hpp"
#include "common/net/http.hpp"
#include "common/net/session.hpp"
#include "common/net/url.hpp"

namespace trainyard::net {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
constexpr auto as_values = asio::as_tuple(asio::use_awaitable);

constexpr std::size_t connections_max = 1024;
constexpr std::size_t http_header_bytes_max = 16 << 10;
constexpr std::size_t http_body_bytes_max = 4 << 20;
constexpr Duration http_idle_max = 30s;
constexpr Duration linger_max = 2s;  // for a client that sends on after its answer
constexpr std::size_t linger_bytes_max = 64 << 20;
constexpr Duration greeting_patience = 5s;

namespace {

/// Answers once; a handler that lets go of it without an answer gives 500.
struct Answer {
  explicit Answer(const asio::any_io_executor& executor) : given(executor) {
    given.expires_at(asio::steady_timer::time_point::max());
  }
  asio::steady_timer given;
  std::optional<HttpResponse> response;

  void give(HttpResponse value) {
    if (response) return;
    response = std::move(value);
    given.cancel();
  }
};

struct Promise {
  std::shared_ptr<Answer> answer;
  explicit Promise(std::shared_ptr<Answer> answer) : answer(std::move(answer)) {}
  Promise(const Promise&) = delete;
  Promise& operator=(const Promise&) = delete;
  ~Promise() {
    answer->give(
        {500, "application/json",
         R"({"error": {"code": "internal", "message": "the request was not answered", "details": {}}})"});
  }
};

HttpRequest plain(const http::request<http::string_body>& message) {
  HttpRequest request;
  request.method = std::string(message.method_string());
  parse_target(std::string_view(message.target().data(), message.target().size()), request);
  for (const auto& field : message) {
    std::string name(field.name_string());
    for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    request.headers[name] = std::string(field.value());
  }
  request.body = message.body();
  return request;
}

HttpResponse parse_failure(const boost::system::error_code& error) {
  const bool large = error == http::error::body_limit || error == http::error::header_limit;
  return {large ? 413 : 400, "application/json",
          format(R"({{"error": {{"code": "invalid", "message": "{}", "details": {{}}}}}})",
                 large ? "the request is too large" : "not a valid HTTP request")};
}

}  // namespace

struct Server::State : std::enable_shared_from_this<Server::State> {
  State(asio::io_context& context, ServerEvents events) : acceptor(context), events(std::move(events)) {}

  tcp::acceptor acceptor;
  ServerEvents events;
  Endpoint bound;
  std::size_t connections = 0;
  bool ended = false;

  static asio::awaitable<void> accept(std::shared_ptr<State> self) {
    while (!self->ended) {
      auto [error, socket] = co_await self->acceptor.async_accept(as_values);
      if (self->ended || error == asio::error::operation_aborted) co_return;
      if (error) {  // out of descriptors, say: not a reason to stop serving
        log::warn("cannot accept a connection: {}", reason_of(error));
        asio::steady_timer pause(self->acceptor.get_executor(), 100ms);
        const auto [woken] = co_await pause.async_wait(as_values);
        static_cast<void>(woken);
        continue;
      }
      if (self->connections >= connections_max) {
        log::warn("refused a connection: {} are open", self->connections);
        continue;
      }
      ++self->connections;
      asio::co_spawn(self->acceptor.get_executor(), greet(self, std::move(socket)), asio::detached);
    }
  }

  /// The first four bytes tell a control session from HTTP.
  static asio::awaitable<void> greet(std::shared_ptr<State> self, tcp::socket socket) {
    beast::tcp_stream stream(std::move(socket));
    stream.expires_after(greeting_patience);
    std::string first(control_magic.size(), '\0');
    const auto [error, size] = co_await asio::async_read(stream, asio::buffer(first), as_values);
    if (!error && first == control_magic) {
      self->open_session(stream.release_socket());
    } else if (!error && self->events.other && first == self->events.other_magic) {
      boost::system::error_code failed;
      const int socket = stream.release_socket().release(failed);
      if (!failed) self->events.other(socket);
      --self->connections;
    } else if (!error) {
      co_await serve_http(self, std::move(stream), first);
      --self->connections;
    } else {
      --self->connections;
    }
  }

  std::vector<std::weak_ptr<TcpSession>> sessions;

  void open_session(tcp::socket socket) {
    if (ended || !events.session) {
      --connections;
      return;
    }
    auto session = std::make_shared<TcpSession>(std::move(socket));
    SessionEvents theirs = events.session(session);
    const std::weak_ptr<State> weak = shared_from_this();
    // Once the server is gone nobody is called any more: its owner may be gone as well.
    theirs.frame = [weak, frame = std::move(theirs.frame)](std::string_view body) {
      const auto self = weak.lock();
      if (self && !self->ended && frame) frame(body);
    };
    theirs.closed = [weak, closed = std::move(theirs.closed)](const std::string& reason) {
      const auto self = weak.lock();
      if (!self) return;
      --self->connections;
      if (!self->ended && closed) closed(reason);
    };
    std::erase_if(sessions, [](const auto& one) { return one.expired(); });
    sessions.push_back(session);
    session->start(std::move(theirs), "", "");
  }

  static asio::awaitable<void> serve_http(std::shared_ptr<State> self, beast::tcp_stream stream,
                                          std::string first) {
    beast::flat_buffer buffer;
    buffer.commit(asio::buffer_copy(buffer.prepare(first.size()), asio::buffer(first)));
    while (!self->ended) {
      http::request_parser<http::string_body> parser;
      parser.header_limit(http_header_bytes_max);
      parser.body_limit(http_body_bytes_max);
      stream.expires_after(http_idle_max);
      const auto [error, read] = co_await http::async_read(stream, buffer, parser, as_values);
      if (error == http::error::end_of_stream || error == beast::error::timeout || self->ended) break;
      const auto answer = std::make_shared<Answer>(stream.get_executor());
      const bool keep_alive = !error && parser.get().keep_alive();
      if (error)
        answer->give(parse_failure(error));
      else
        dispatch(*self, plain(parser.get()), answer);
      while (!answer->response) {
        const auto [woken] = co_await answer->given.async_wait(as_values);
        static_cast<void>(woken);
      }
      const bool head = !error && parser.get().method() == http::verb::head;
      const bool written = co_await write_response(stream, *answer->response, keep_alive, head);
      if (!written || !keep_alive) break;
    }
    boost::system::error_code ignored;
    stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
    co_await hear_out(stream);
  }

  /// Closed while it still sends, a client would see a reset in place of the answer.
  static asio::awaitable<void> hear_out(beast::tcp_stream& stream) {
    stream.expires_after(linger_max);
    std::string rest(64 << 10, '\0');
    for (std::size_t heard = 0; heard < linger_bytes_max;) {
      const auto [error, size] = co_await stream.async_read_some(asio::buffer(rest), as_values);
      if (error) break;
      heard += size;
    }
  }

  /// To HEAD the same headers are sent as to GET, and no body.
  static asio::awaitable<bool> write_response(beast::tcp_stream& stream, HttpResponse& answer,
                                              bool keep_alive, bool head) {
    http::response<http::string_body> response(static_cast<http::status>(answer.status), 11);
    response.set(http::field::content_type, answer.content_type);
    response.set(http::field::server, "trainyard");
    response.set(http::field::cache_control, "no-store");
    response.body() = std::move(answer.body);
    response.keep_alive(keep_alive);
    response.prepare_payload();
    stream.expires_after(http_idle_max);
    http::response_serializer<http::string_body> serializer(response);
    serializer.split(head);
    if (head) {
      const auto [error, bytes] = co_await http::async_write_header(stream, serializer, as_values);
      co_return !error;
    }
    const auto [error, bytes] = co_await http::async_write(stream, serializer, as_values);
    co_return !error;
  }

  static void dispatch(State& self, HttpRequest request, const std::shared_ptr<Answer>& answer) {
    const auto promise = std::make_shared<Promise>(answer);
    if (self.events.request) {
      self.events.request(std::move(request),
                          [promise](HttpResponse response) { promise->answer->give(std::move(response)); });
    }
  }
};

Server::Server(std::shared_ptr<State> state) : state_(std::move(state)) {}

Server::~Server() {
  state_->ended = true;
  state_->events = {};
  boost::system::error_code ignored;
  state_->acceptor.close(ignored);
  for (const auto& weak : state_->sessions) {
    if (const auto session = weak.lock()) session->close();
  }
}

Endpoint Server::endpoint() const { return state_->bound; }

Result<std::unique_ptr<Server>> Server::listen(Reactor& reactor, const Endpoint& at, ServerEvents events) {
  const auto failed = [&](const boost::system::error_code& error) {
    const bool taken = error == asio::error::address_in_use;
    return Error{taken ? Errc::conflict : Errc::io,
                 format("cannot listen on {}: {}{}", name(at), error.message(),
                        taken ? "; another process serves this port: stop it or choose another port" : "")};
  };
  boost::system::error_code error;
  tcp::resolver resolver(reactor.context());
  const auto found = resolver.resolve(at.host, std::to_string(at.port), tcp::resolver::passive, error);
  if (error || found.empty()) return failed(error);
  auto state = std::make_shared<State>(reactor.context(), std::move(events));
  const tcp::endpoint where = found.begin()->endpoint();
  state->acceptor.open(where.protocol(), error);
  if (!error) state->acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) state->acceptor.bind(where, error);
  if (!error) state->acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return failed(error);
  state->bound = {at.host, state->acceptor.local_endpoint().port()};
  asio::co_spawn(reactor.context(), State::accept(state), asio::detached);
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

}  // namespace trainyard::net
