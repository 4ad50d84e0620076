#include "common/runtime/recorder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <span>
#include <system_error>
#include <utility>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/store/file.hpp"

namespace trainyard::runtime {

namespace {

constexpr std::string_view magic = "TYREC001";
constexpr std::uint32_t body_bytes_max = 16u << 20;
constexpr std::uint64_t beginning_max = 10'000'000;  // pieces
enum Kind : std::uint32_t { beginning = 1, event_came = 2, was_decided = 3 };

// After the magic a recording is frames, each a head and a body. The first body names program and release.
struct FrameHead {
  std::uint32_t checksum = 0;  // CRC-32 of the rest of the head and the body
  std::uint32_t length = 0;    // of the body
  std::uint32_t kind = 0;
  std::uint32_t digest = 0;
  std::int64_t monotonic_nanoseconds = 0;
  std::int64_t wall = 0;
};
static_assert(sizeof(FrameHead) == 32 && std::endian::native == std::endian::little);

std::uint32_t checksum_of(const FrameHead& head, std::string_view body) {
  const auto bytes = std::as_bytes(std::span(&head, 1)).subspan(sizeof head.checksum);
  return store::crc32(std::as_bytes(std::span(body)), store::crc32(bytes));
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

Error cannot_record(const std::string& path, int code) {
  if (code == EWOULDBLOCK || code == EEXIST)
    return {Errc::conflict, format("{}: cannot record events: another process records there", path)};
  return {Errc::io, format("{}: cannot record events: {}", path, std::generic_category().message(code))};
}

/// A recording, or one that was cut off before its first byte.
bool looks_like_one(int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) return false;
  std::array<char, magic.size()> mark{};
  const ssize_t got = ::pread(descriptor, mark.data(), mark.size(), 0);
  return status.st_size == 0 ||
         (got == static_cast<ssize_t>(mark.size()) && std::string_view(mark.data(), mark.size()) == magic);
}

/// Moves an older recording out of the way, unless somebody still writes it. Nothing else is moved.
Status retire(const std::string& path) {
  const int older = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (older < 0) return errno == ENOENT ? Status{} : cannot_record(path, errno);
  Status retired;
  if (!looks_like_one(older)) {
    retired =
        Error{Errc::invalid,
              format("{}: cannot record events: what is there is no recording; name another file", path)};
  } else if (::flock(older, LOCK_EX | LOCK_NB) != 0 || ::rename(path.c_str(), (path + ".old").c_str()) != 0) {
    retired = cannot_record(path, errno);
  }
  ::close(older);
  return retired;
}

}  // namespace

Decided summary(std::span<const ActionText> actions) {
  Decided decided;
  for (const ActionText& action : actions) {
    decided.outline += (decided.outline.empty() ? "" : "; ") + action.outline;
    if (action.detail.empty()) continue;
    const std::uint64_t length = action.detail.size();
    decided.digest = store::crc32(std::as_bytes(std::span(&length, 1)), decided.digest);
    decided.digest = store::crc32(std::as_bytes(std::span(action.detail)), decided.digest);
  }
  return decided;
}

Result<Recorder> Recorder::create(const std::string& path, const std::string& program,
                                  std::uint64_t bytes_max) {
  if (const Status retired = retire(path); !retired) return retired.error();
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor < 0) return cannot_record(path, errno);
  Recorder recorder(descriptor, path, bytes_max);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0 || !write_all(descriptor, magic))
    return cannot_record(path, errno);
  recorder.begin({}, program + "\n" + TRAINYARD_VERSION);
  return recorder;
}

Recorder::Recorder(Recorder&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      path_(std::move(other.path_)),
      bytes_max_(other.bytes_max_),
      room_(other.room_),
      ended_(std::move(other.ended_)) {}

Recorder& Recorder::operator=(Recorder&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  std::swap(bytes_max_, other.bytes_max_);
  std::swap(room_, other.room_);
  std::swap(ended_, other.ended_);
  return *this;
}

Recorder::~Recorder() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Recorder::begin(Instant at, std::string_view state) { write(Kind::beginning, 0, at, state); }
void Recorder::event(Instant at, std::string_view event) { write(Kind::event_came, 0, at, event); }
void Recorder::decided(Instant at, const Decided& decided) {
  if (decided != Decided{}) write(Kind::was_decided, decided.digest, at, decided.outline);
}

void Recorder::write(std::uint32_t kind, std::uint32_t digest, Instant at, std::string_view body) {
  if (ended_) return;
  const auto end = [&](const std::string& why) {
    ended_ = Error{Errc::io, format("{}: {}; the recording ends here, the daemon goes on", path_, why)};
    log::warn("{}", ended_->message);
  };
  if (kind == Kind::was_decided) body = body.substr(0, body_bytes_max);
  const std::uint64_t size = sizeof(FrameHead) + body.size();
  if (body.size() > body_bytes_max) return end(format("an event of {}", size_text(body.size())));
  if (size > room_) return end(format("it is full ({})", size_text(bytes_max_)));
  FrameHead head{0,      static_cast<std::uint32_t>(body.size()), kind,
                 digest, at.monotonic.time_since_epoch().count(), at.wall};
  head.checksum = checksum_of(head, body);
  std::string frame(size, '\0');
  std::memcpy(frame.data(), &head, sizeof head);
  std::memcpy(frame.data() + sizeof head, body.data(), body.size());
  room_ -= size;
  if (!write_all(descriptor_, frame)) end(std::generic_category().message(errno));
}

Error Recording::corrupt(const std::string& what) const {
  const std::string where = events_ == 0 ? "before its first event" : format("after event {}", events_);
  return {Errc::corrupt, format("{}: {} {}", path_, what, where)};
}

Result<std::optional<Recording::Frame>> Recording::read() {
  FrameHead head;
  file_.read(reinterpret_cast<char*>(&head), sizeof head);
  if (file_.gcount() == 0) return std::optional<Frame>{};
  if (file_.gcount() != sizeof head) return corrupt("the recording is cut off");
  if (head.length > body_bytes_max || head.kind < Kind::beginning || head.kind > Kind::was_decided)
    return corrupt("the recording is damaged");
  Frame frame{head.kind, head.digest, {Time{Duration{head.monotonic_nanoseconds}}, head.wall}, {}};
  frame.body.resize(head.length);
  file_.read(frame.body.data(), head.length);
  if (file_.gcount() != head.length) return corrupt("the recording is cut off");
  if (checksum_of(head, frame.body) != head.checksum) return corrupt("the recording is damaged");
  return std::optional(std::move(frame));
}

Result<Recording> Recording::open(const std::string& path, const std::string& program) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return Error{errno == ENOENT ? Errc::not_found : Errc::io,
                 format("{}: cannot open: {}", path, std::generic_category().message(errno))};
  }
  Recording recording(path, std::move(file));
  std::string mark(magic.size(), '\0');
  recording.file_.read(mark.data(), static_cast<std::streamsize>(mark.size()));
  if (mark != magic) return Error{Errc::invalid, format("{}: is not a recording of this release", path)};
  while (true) {
    auto frame = recording.read();
    if (!frame && recording.beginning_.empty()) return frame.error();
    if (!frame || !*frame || (*frame)->kind != Kind::beginning) {
      recording.ahead_ = std::move(frame);
      break;
    }
    recording.began_ = (*frame)->at;
    recording.beginning_.push_back(std::move((*frame)->body));
    if (recording.beginning_.size() > beginning_max) return recording.corrupt("the recording never begins");
  }
  if (recording.beginning_.empty()) return recording.corrupt("the recording is cut off");
  const auto head = split(recording.beginning_.front(), '\n');
  recording.beginning_.erase(recording.beginning_.begin());
  if (head.size() != 2) return recording.corrupt("the recording is damaged");
  if (head[0] != program)
    return Error{Errc::invalid, format("{}: is a recording of {}; give it to that program", path, head[0])};
  recording.release_ = head[1];
  return recording;
}

Result<std::optional<RecordedEvent>> Recording::next() {
  auto came = ahead_ ? *std::exchange(ahead_, std::nullopt) : read();
  if (came && *came && (*came)->kind != Kind::event_came) came = corrupt("the recording is damaged");
  if (!came) {
    file_.setstate(std::ios::failbit);
    return came.error();
  }
  if (!*came) return std::optional<RecordedEvent>{};
  RecordedEvent event{(*came)->at, std::move((*came)->body), std::nullopt};
  ++events_;
  // What is wrong behind this event is told when the next one is asked for.
  auto after = read();
  if (after && *after && (*after)->kind == Kind::was_decided) {
    event.decided = Decided{(*after)->digest, std::move((*after)->body)};
  } else {
    if (after && *after) event.decided = Decided{};
    ahead_ = std::move(after);
  }
  return std::optional(std::move(event));
}

}  // namespace trainyard::runtime
