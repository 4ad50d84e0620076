// Recorder: keeps each event that a shell dispatches, with its time, so that an incident can be fed to the
// core again. Knows bytes, not events. Owned and used by the shell's one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.hpp"
#include "common/base/time.hpp"

namespace trainyard::runtime {

class Recorder {
 public:
  /// Begins a new recording; an older one at `path` is replaced. It stops growing at `bytes_max`.
  static Result<Recorder> create(const std::string& path, std::uint64_t bytes_max = std::uint64_t{1} << 30);
  Recorder(Recorder&& other) noexcept;
  Recorder& operator=(Recorder&& other) noexcept;
  ~Recorder();

  /// False once the recording is full or the disk refused; events after that are not recorded. Not synced: a
  /// recording explains a crash of the daemon, not of the machine.
  bool record(Instant at, std::string_view event);

 private:
  Recorder(int descriptor, std::uint64_t bytes_max) : descriptor_(descriptor), room_(bytes_max) {}
  int descriptor_ = -1;
  std::uint64_t room_ = 0;
};

struct Recorded {
  Instant at;
  std::string event;
  friend bool operator==(const Recorded&, const Recorded&) = default;
};

struct Recording {
  std::vector<Recorded> events;
  bool torn = false;  // the last event was cut off by a crash and is left out
};

/// Errc::corrupt names the event whose checksum does not hold.
Result<Recording> read_recording(const std::string& path);

}  // namespace trainyard::runtime
