#include "common/runtime/replay.hpp"

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/runtime/daemon.hpp"

namespace trainyard::runtime {

namespace {

void print(std::FILE* out, const std::string& text) { std::fwrite(text.data(), 1, text.size(), out); }

int unusable(const Error& error) {
  log::error("{}", error.message);
  return exit_usage;
}

const char* or_nothing(const std::string& outline) { return outline.empty() ? "nothing" : outline.c_str(); }

int diverged(std::FILE* out, std::uint64_t number, const Recording& recording, const Decided& then,
             const Decided& now) {
  print(
      out,
      format(
          "event {}: the recording and this release part ways\n  recorded by {}: {}\n  decided by {}: {}\n",
          number, recording.release(), or_nothing(then.outline), TRAINYARD_VERSION, or_nothing(now.outline)));
  if (then.outline == now.outline) print(out, "  (the same in outline, different in detail)\n");
  return exit_failed;
}

}  // namespace

int replay(const std::string& path, const std::string& program, ReplayedCore& core, std::FILE* out) {
  auto recording = Recording::open(path, program);
  if (!recording) return unusable(recording.error());
  if (const Status begun = core.begin(recording->began(), recording->beginning()); !begun)
    return unusable(begun.error().with(path));
  std::uint64_t number = 0;
  while (true) {
    const auto event = recording->next();
    std::fflush(out);
    if (!event) return unusable(event.error());
    if (!*event) break;
    const RecordedEvent& recorded = **event;
    const auto outline = core.read(recorded.event);
    if (!outline) return unusable(outline.error().with(format("{}: event {}", path, number + 1)));
    // Flushed before the step: if the core ends the process, the last line says on what.
    print(out, format("{:>7}  {}  {}", ++number, wall_text(recorded.at.wall), *outline));
    std::fflush(out);
    const Decided decided = core.step(recorded.at);
    print(out, decided.outline.empty() ? "\n" : format("  ->  {}\n", decided.outline));
    if (recorded.decided && recorded.decided->digest != decided.digest)
      return diverged(out, number, *recording, *recorded.decided, decided);
  }
  log::info("{}: {} events by {} {}; every decision is the same", path, number, program,
            recording->release());
  return exit_ok;
}

}  // namespace trainyard::runtime
