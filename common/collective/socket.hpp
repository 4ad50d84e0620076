// Blocking talk over sockets with a deadline, as the greetings of a ring need it.
// Any thread; one at a time for each socket.
#pragma once

#include <poll.h>

#include <atomic>
#include <cstddef>
#include <span>
#include <string>

#include "common/base/descriptor.hpp"
#include "common/base/result.hpp"
#include "common/base/time.hpp"

namespace trainyard::collective {

/// Until when somebody waits; `cancelled` ends it early.
struct Wait {
  Time until{};
  const std::atomic<bool>* cancelled = nullptr;
  /// Errc::unavailable with "nothing came from WHO" or "cancelled".
  Status for_event(int descriptor, short events, const std::string& who) const;
  Wait at_most(Duration patience) const;
  bool is_over() const;
};

Error system_error(const std::string& what);  // Errc::io with the text of errno

/// A listening socket that does not block, on a free port. `endpoint` becomes "host:port".
Result<Descriptor> listen_on(const std::string& host, std::string& endpoint);
/// Tries until the peer listens. The socket does not block and does not wait to gather small messages.
Result<Descriptor> connect_to(const std::string& endpoint, const Wait& wait);
Status prepare_socket(int socket);  // the same settings for one that was accepted

Status send_all(int socket, std::span<const std::byte> bytes, const Wait& wait, const std::string& who);
Status receive_all(int socket, std::span<std::byte> bytes, const Wait& wait, const std::string& who);

/// A sequence of wake-ups that poll() can wait for.
Descriptor make_event();
void signal_event(int event);
void clear_event(int event);

}  // namespace trainyard::collective
