// HTTP/1.1 as values. The server shares its port with control sessions: the first four bytes of a connection
// tell which it is. Limits: header 16 KiB, body 4 MiB, 1,024 connections, 30 s idle.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "common/net/control.hpp"

namespace trainyard::net {

struct HttpRequest {
  std::string method;                          // "GET"
  std::string path;                            // decoded, without the query: "/api/v1/jobs/7"
  std::map<std::string, std::string> query;    // decoded
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
};

/// How a handler answers: at once or later, once. Dropped unanswered, the client gets 500.
using HttpReply = std::function<void(HttpResponse)>;

struct ServerEvents {
  std::function<void(HttpRequest, HttpReply)> request;
  std::function<SessionEvents(std::shared_ptr<Session>)> session;  // a control peer came
  /// Connections that begin with these four bytes, which were read, are handed over: the descriptor is the
  /// receiver's.
  std::string_view other_magic;
  std::function<void(int)> other;
};

/// Destroyed, it ends its sessions and calls nobody any more.
class Server {
 public:
  /// Port 0 picks a free one. "Address in use" says which address. SO_REUSEADDR is on.
  static Result<std::unique_ptr<Server>> listen(Reactor& reactor, const Endpoint& at, ServerEvents events);
  ~Server();
  Endpoint endpoint() const;  // with the real port

 private:
  struct State;
  explicit Server(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

/// One blocking request, for the CLI. Errc::unavailable when the peer cannot be reached within `patience`.
Result<HttpResponse> http_call(const Endpoint& peer, const HttpRequest& request, Duration patience = 10s);

}  // namespace trainyard::net
