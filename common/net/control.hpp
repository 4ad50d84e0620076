// Framed control connections over TCP. A connection opens with the magic "TYC1"; a frame is a little-endian
// uint32 length, the CRC-32 of the body, and the body (at most 4 MiB). Carries bytes, knows no messages.
// All callbacks come on the reactor's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/result.hpp"
#include "common/net/endpoint.hpp"
#include "common/net/reactor.hpp"

namespace trainyard::net {

/// One open connection; ends itself on a bad frame. Copies of the pointer keep nothing alive on the wire:
/// close() or a dead peer ends it, and send() on an ended one does nothing.
class Session {
 public:
  virtual ~Session() = default;
  virtual void send(std::string body) = 0;  // queued, in order; a queue above 64 MiB closes the session
  virtual void close() = 0;                 // what is queued is sent first, for at most a second
  virtual std::string peer() const = 0;     // "127.0.0.1:41234"
};

struct SessionEvents {
  std::function<void(std::string_view body)> frame;
  std::function<void(const std::string& reason)> closed;  // exactly once, never from inside send()
};

/// Keeps one connection to a peer, trying again every `retry` after a failure. `opened` gets each new session
/// and returns what to do with it. Ends when destroyed.
class Connector {
 public:
  using Opened = std::function<SessionEvents(std::shared_ptr<Session>)>;
  using Failed = std::function<void(const std::string& reason)>;  // each failed attempt
  Connector(Reactor& reactor, Endpoint peer, Opened opened, Failed failed, Duration retry = 200ms);
  ~Connector();
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace trainyard::net
