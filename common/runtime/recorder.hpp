// Recorder: keeps each event that a shell dispatches and what its core made of it, so that an incident can be
// fed to the core again. Recording: the same, read. Both know bytes, not events. Owned and used by one
// thread.
#pragma once

#include <cstdint>
#include <fstream>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.hpp"
#include "common/base/time.hpp"

namespace trainyard::runtime {

/// What a core made of an event.
struct Decided {
  std::uint32_t digest = 0;  // of the actions in full; 0: none that matter
  std::string outline;       // one line for people; empty: no actions
  friend bool operator==(const Decided&, const Decided&) = default;
};

/// One action: a few words for people, and all that makes it what it is. No detail: it decides nothing.
struct ActionText {
  std::string outline, detail;
};
Decided summary(std::span<const ActionText> actions);

class Recorder {
 public:
  /// Begins a new recording of `program`. An older one at `path` becomes `path`.old, so that what ended a
  /// daemon is still there when its supervisor has started it again. Only the user may read it: it holds what
  /// the daemon was told, secrets included. Errc::conflict: another process records there; Errc::invalid:
  /// what is there is something else.
  static Result<Recorder> create(const std::string& path, const std::string& program,
                                 std::uint64_t bytes_max = std::uint64_t{1} << 30);
  Recorder(Recorder&& other) noexcept;
  Recorder& operator=(Recorder&& other) noexcept;
  ~Recorder();

  /// A piece of the state in which the daemon began; all of them before the first event.
  void begin(Instant at, std::string_view state);
  /// Before the core sees it, so that what ends the daemon is the last event of its recording.
  void event(Instant at, std::string_view event);
  /// Of the event before; nothing is written when there were no actions.
  void decided(Instant at, const Decided& decided);
  /// Why nothing is recorded any more: full, or the disk refused; said once in the log. A gap in the middle
  /// would make a replay lie. Nothing is synced: a recording explains a crash of the daemon, not of the
  /// machine.
  const std::optional<Error>& ended() const { return ended_; }

 private:
  Recorder(int descriptor, std::string path, std::uint64_t bytes_max)
      : descriptor_(descriptor), path_(std::move(path)), bytes_max_(bytes_max), room_(bytes_max) {}
  void write(std::uint32_t kind, std::uint32_t digest, Instant at, std::string_view body);

  int descriptor_ = -1;
  std::string path_;
  std::uint64_t bytes_max_ = 0, room_ = 0;
  std::optional<Error> ended_;
};

struct RecordedEvent {
  Instant at;
  std::string event;
  /// Nothing of the last event: who died in the middle of it wrote no more.
  std::optional<Decided> decided;
  friend bool operator==(const RecordedEvent&, const RecordedEvent&) = default;
};

class Recording {
 public:
  /// Errc::not_found, Errc::corrupt, or Errc::invalid: it is another program's, or another format's.
  static Result<Recording> open(const std::string& path, const std::string& program);

  const std::string& release() const { return release_; }  // of the program that recorded
  Instant began() const { return began_; }
  const std::vector<std::string>& beginning() const { return beginning_; }
  /// Nothing at the end. Errc::corrupt says after which event the file is cut off, or which one is damaged;
  /// nothing comes after that.
  Result<std::optional<RecordedEvent>> next();

 private:
  struct Frame {
    std::uint32_t kind = 0, digest = 0;
    Instant at;
    std::string body;
  };
  Recording(std::string path, std::ifstream file) : path_(std::move(path)), file_(std::move(file)) {}
  Result<std::optional<Frame>> read();
  Error corrupt(const std::string& what) const;

  std::string path_;
  std::ifstream file_;
  std::string release_;
  Instant began_;
  std::vector<std::string> beginning_;
  std::optional<Result<std::optional<Frame>>> ahead_;  // read already
  std::uint64_t events_ = 0;                           // given by next()
};

}  // namespace trainyard::runtime
