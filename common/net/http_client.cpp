#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include "common/base/text.hpp"
#include "common/net/http.hpp"
#include "common/net/session.hpp"
#include "common/net/url.hpp"

namespace trainyard::net {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

constexpr std::size_t answer_bytes_max = std::size_t{64} << 20;

Result<HttpResponse> http_call(const Endpoint& peer, const HttpRequest& request, Duration patience) {
  asio::io_context context;
  boost::system::error_code error;
  const auto unavailable = [&](std::string_view doing) {
    const std::string reason = error == beast::error::timeout
                                   ? format("no answer within {}", duration_text(patience))
                                   : reason_of(error);
    return Error{Errc::unavailable, format("{} {}: {}", doing, name(peer), reason)};
  };
  // Every wait goes through the context, since the stream's limit of time applies to asynchronous calls
  // alone.
  const auto run = [&](auto&& start) {
    error = asio::error::would_block;
    start([&error](const boost::system::error_code& result, auto&&...) { error = result; });
    context.restart();
    context.run();
    return !error;
  };

  tcp::resolver resolver(context);
  const auto addresses = resolver.resolve(peer.host, std::to_string(peer.port), error);
  if (error) return unavailable("cannot reach");
  beast::tcp_stream stream(context);
  stream.expires_after(patience);
  if (!run([&](auto done) { stream.async_connect(addresses, done); })) return unavailable("cannot reach");

  http::request<http::string_body> message(http::string_to_verb(request.method), target_of(request), 11);
  message.set(http::field::host, name(peer));
  for (const auto& [key, value] : request.headers) message.set(key, value);
  message.keep_alive(false);
  message.body() = request.body;
  message.prepare_payload();
  if (!run([&](auto done) { http::async_write(stream, message, done); }))
    return unavailable("cannot send to");

  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(answer_bytes_max);
  if (!run([&](auto done) { http::async_read(stream, buffer, parser, done); }))
    return unavailable("no answer from");
  const auto& response = parser.get();
  return HttpResponse{static_cast<int>(response.result_int()),
                      std::string(response[http::field::content_type]), response.body()};
}

}  // namespace trainyard::net
