// Time as a value. Cores get it as an argument; only shells own a Clock.
#pragma once

#include <chrono>
#include <cstdint>

namespace trainyard {

using namespace std::chrono_literals;

using Duration = std::chrono::nanoseconds;
/// Monotonic time since an arbitrary origin. Leases and deadlines use nothing else, so that a jump of the
/// wall clock changes nothing.
using Time = std::chrono::time_point<std::chrono::steady_clock, Duration>;
/// Milliseconds since 1970-01-01 UTC, for people and files; never for deadlines.
using WallMillis = std::int64_t;

struct Instant {
  Time monotonic{};
  WallMillis wall = 0;
  friend bool operator==(const Instant&, const Instant&) = default;
};

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() const = 0;
};

class SystemClock final : public Clock {
 public:
  Instant now() const override {
    using namespace std::chrono;
    return {Time{steady_clock::now().time_since_epoch()},
            duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count()};
  }
};

inline double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace trainyard
