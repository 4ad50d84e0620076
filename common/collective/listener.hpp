// Where the previous rank of a ring finds this process: a port of its own, or sockets that the owner of a
// shared port hands over. accept() belongs to one thread, adopt() to any.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "common/base/result.hpp"
#include "common/collective/socket.hpp"

namespace trainyard::collective {

class Listener {
 public:
  /// On a free port of `host`.
  static Result<std::unique_ptr<Listener>> bind(const std::string& host);
  /// Without a port: connections come through adopt().
  Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  const std::string& endpoint() const { return endpoint_; }  // "host:port", empty without a port of its own
  /// A connection that began with ring_magic, which was read from it. Beyond a bound it is closed.
  void adopt(Descriptor socket);

  struct Incoming {
    Descriptor socket;
    bool magic_read = false;
  };
  Result<Incoming> accept(const Wait& wait);

 private:
  static constexpr std::size_t adopted_max = 64;
  Descriptor socket_, event_;
  std::string endpoint_;
  std::mutex mutex_;
  std::deque<Descriptor> adopted_;
};

}  // namespace trainyard::collective
