#include "common/runtime/recorder.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>
#include <system_error>
#include <utility>

#include "common/base/text.hpp"
#include "common/store/file.hpp"

namespace trainyard::runtime {

namespace {

constexpr std::string_view magic = "TYREC001";
constexpr std::uint32_t event_bytes_max = 16u << 20;

struct FrameHead {
  std::uint32_t length = 0;    // of the event
  std::uint32_t checksum = 0;  // CRC-32 of the two times and the event
  std::int64_t monotonic_nanoseconds = 0;
  std::int64_t wall = 0;
};
static_assert(sizeof(FrameHead) == 24);

std::uint32_t checksum_of(const FrameHead& head, std::string_view event) {
  const std::int64_t times[2] = {head.monotonic_nanoseconds, head.wall};
  return store::crc32(std::as_bytes(std::span(event)), store::crc32(std::as_bytes(std::span(times))));
}

bool write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

Result<Recorder> Recorder::create(const std::string& path, std::uint64_t bytes_max) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (descriptor < 0 || !write_all(descriptor, magic)) {
    const std::string reason = std::generic_category().message(errno);
    if (descriptor >= 0) ::close(descriptor);
    return Error{Errc::io, format("{}: cannot record events: {}", path, reason)};
  }
  return Recorder(descriptor, bytes_max);
}

Recorder::Recorder(Recorder&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), room_(other.room_) {}

Recorder& Recorder::operator=(Recorder&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(room_, other.room_);
  return *this;
}

Recorder::~Recorder() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool Recorder::record(Instant at, std::string_view event) {
  const std::uint64_t size = sizeof(FrameHead) + event.size();
  if (event.size() > event_bytes_max || size > room_) {
    room_ = 0;  // a gap in the middle would make a replay lie
    return false;
  }
  FrameHead head{static_cast<std::uint32_t>(event.size()), 0, at.monotonic.time_since_epoch().count(),
                 at.wall};
  head.checksum = checksum_of(head, event);
  std::string frame(size, '\0');
  std::memcpy(frame.data(), &head, sizeof head);
  std::memcpy(frame.data() + sizeof head, event.data(), event.size());
  room_ -= size;
  if (write_all(descriptor_, frame)) return true;
  room_ = 0;
  return false;
}

Result<Recording> read_recording(const std::string& path) {
  const auto bytes = store::read_file(path, std::uint64_t{2} << 30);
  if (!bytes) return bytes.error();
  std::string_view rest = *bytes;
  if (rest.substr(0, magic.size()) != magic)
    return Error{Errc::corrupt, format("{}: is not a recording", path)};
  rest.remove_prefix(magic.size());
  Recording recording;
  while (!rest.empty()) {
    FrameHead head;
    if (rest.size() < sizeof head) break;
    std::memcpy(&head, rest.data(), sizeof head);
    if (head.length > event_bytes_max) {
      return Error{Errc::corrupt,
                   format("{}: event {} has an impossible length", path, recording.events.size())};
    }
    if (rest.size() - sizeof head < head.length) break;
    const std::string_view event = rest.substr(sizeof head, head.length);
    if (checksum_of(head, event) != head.checksum) {
      return Error{Errc::corrupt,
                   format("{}: the checksum of event {} does not hold", path, recording.events.size())};
    }
    recording.events.push_back({{Time{Duration{head.monotonic_nanoseconds}}, head.wall}, std::string(event)});
    rest.remove_prefix(sizeof head + head.length);
  }
  recording.torn = !rest.empty();
  return recording;
}

}  // namespace trainyard::runtime
