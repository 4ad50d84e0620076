#include "common/runtime/recorder.hpp"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "common/store/file.hpp"
#include "tests/support/temp_dir.hpp"

using namespace trainyard;
using Catch::Contains;
using runtime::Decided, runtime::RecordedEvent, runtime::Recorder, runtime::Recording;

namespace {

Instant at(std::int64_t n) { return {Time{} + Duration(n), 1'000 + n}; }

Recorder begun(const std::string& path, std::uint64_t bytes_max = 1 << 20) {
  auto recorder = Recorder::create(path, "trainyard-test", bytes_max);
  REQUIRE(recorder.has_value());
  return std::move(*recorder);
}

/// Three events: one with actions, one without, one in the middle of which the daemon died.
void record_three(const std::string& path) {
  Recorder recorder = begun(path);
  recorder.begin(at(1), "settings");
  recorder.begin(at(2), "state");
  recorder.event(at(3), "first");
  recorder.decided(at(3), {7, "did something"});
  recorder.event(at(4), "second");
  recorder.decided(at(4), {});
  recorder.event(at(5), std::string("thi\0rd", 6));
  CHECK_FALSE(recorder.ended().has_value());
}

const std::vector<RecordedEvent> three = {{at(3), "first", Decided{7, "did something"}},
                                          {at(4), "second", Decided{}},
                                          {at(5), std::string("thi\0rd", 6), std::nullopt}};

/// All events up to the end or an error.
std::pair<std::vector<RecordedEvent>, std::string> read_all(const std::string& path) {
  std::vector<RecordedEvent> events;
  auto recording = Recording::open(path, "trainyard-test");
  if (!recording) return {events, recording.error().message};
  while (true) {
    const auto event = recording->next();
    if (!event) {
      CHECK(event.error().code == Errc::corrupt);
      const auto after = recording->next();
      CHECK((after.has_value() && !after->has_value()));
      return {events, event.error().message};
    }
    if (!*event) return {events, ""};
    events.push_back(**event);
  }
}

}  // namespace

TEST_CASE("a recording gives back its beginning, its events and what was decided", "[runtime]") {
  const test::TempDir dir;
  record_three(dir / "r");
  const auto recording = Recording::open(dir / "r", "trainyard-test");
  REQUIRE(recording.has_value());
  CHECK(recording->release() == TRAINYARD_VERSION);
  CHECK(recording->began() == at(2));
  CHECK(recording->beginning() == std::vector<std::string>{"settings", "state"});
  CHECK(read_all(dir / "r") == std::pair(three, std::string()));
}

TEST_CASE("only its owner may read a recording", "[runtime]") {
  const test::TempDir dir;
  record_three(dir / "r");
  struct stat status {};
  REQUIRE(::stat((dir / "r").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("a recording that is cut off anywhere gives the whole events before the tear, and says so",
          "[runtime]") {
  const test::TempDir dir;
  record_three(dir / "r");
  const std::string bytes = store::read_file(dir / "r").value();
  std::size_t most = 0, clean = 0;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    REQUIRE(store::write_atomic(dir / "cut", std::string_view(bytes).substr(0, size)));
    const auto [events, problem] = read_all(dir / "cut");
    INFO(size << " of " << bytes.size() << ": " << problem);
    REQUIRE(events.size() < 3);
    for (std::size_t i = 0; i < events.size(); ++i) {
      CHECK(events[i].event == three[i].event);
      if (events[i].decided) CHECK(events[i].decided == three[i].decided);
    }
    if (!problem.empty()) CHECK_THAT(problem, Contains("cut off") || Contains("is not a recording"));
    if (problem.empty()) ++clean;  // between two frames nothing is missing that could be known
    most = std::max(most, events.size());
  }
  CHECK(most == 2);
  CHECK(clean <= 6);
}

TEST_CASE("a damaged byte anywhere is an error that says after which event", "[runtime]") {
  const test::TempDir dir;
  record_three(dir / "r");
  const std::string bytes = store::read_file(dir / "r").value();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string broken = bytes;
    broken[i] = static_cast<char>(broken[i] ^ 0x41);
    REQUIRE(store::write_atomic(dir / "broken", broken));
    const auto [events, problem] = read_all(dir / "broken");
    INFO(i << ": " << problem);
    CHECK(!problem.empty());
    CHECK(events.size() < 3);
  }
  std::string broken = bytes;
  broken[broken.size() - 1] = 'x';
  REQUIRE(store::write_atomic(dir / "broken", broken));
  CHECK_THAT(read_all(dir / "broken").second, Contains("damaged after event 2"));
}

TEST_CASE("a recording of another program, no recording and no file are told apart", "[runtime]") {
  const test::TempDir dir;
  record_three(dir / "r");
  CHECK_THAT(Recording::open(dir / "r", "trainyard-other").error().message,
             Contains("is a recording of trainyard-test"));
  REQUIRE(store::write_atomic(dir / "text", "kind: train\n"));
  CHECK_THAT(Recording::open(dir / "text", "trainyard-test").error().message, Contains("is not a recording"));
  CHECK(Recording::open(dir / "none", "trainyard-test").error().code == Errc::not_found);
  CHECK_FALSE(Recording::open(dir.path(), "trainyard-test").has_value());
}

TEST_CASE("a recording stops at its bound and stays readable", "[runtime]") {
  const test::TempDir dir;
  Recorder recorder = begun(dir / "r", 1000);
  int kept = 0;
  while (!recorder.ended()) {
    recorder.event(at(kept), "event");
    if (!recorder.ended()) ++kept;
    REQUIRE(kept < 100);
  }
  CHECK_THAT(recorder.ended()->message, Contains("it is full (1000B)") && Contains("the daemon goes on"));
  recorder.event(at(99), "");  // would fit, and would hide the gap
  const auto [events, problem] = read_all(dir / "r");
  CHECK(problem.empty());
  CHECK(events.size() == static_cast<std::size_t>(kept));
  CHECK(kept > 10);
  CHECK(std::filesystem::file_size(dir / "r") <= 1008);
}

TEST_CASE("the recording before stays beside the new one", "[runtime]") {
  const test::TempDir dir;
  record_three(dir / "r");
  { Recorder recorder = begun(dir / "r"); }
  CHECK(read_all(dir / "r").first.empty());
  CHECK(read_all(dir / "r.old").first == three);
}

TEST_CASE("two processes do not record into one file", "[runtime]") {
  const test::TempDir dir;
  const Recorder first = begun(dir / "r");
  const auto second = Recorder::create(dir / "r", "trainyard-test");
  REQUIRE_FALSE(second.has_value());
  CHECK(second.error().code == Errc::conflict);
  CHECK_THAT(second.error().message, Contains(dir / "r") && Contains("another process"));
  CHECK_THAT(Recorder::create(dir / "none/r", "trainyard-test").error().message,
             Contains("none/r: cannot record events: No such file"));
}

TEST_CASE("what is no recording is never moved out of the way", "[runtime]") {
  const test::TempDir dir;
  REQUIRE(store::write_atomic(dir / "journal.db", "SQLite format 3"));
  REQUIRE(store::write_atomic(dir / "short", "TY"));
  REQUIRE(store::make_directories(dir / "tasks"));
  for (const char* name : {"journal.db", "short", "tasks", "."}) {
    const auto recorder = Recorder::create(dir / name, "trainyard-test");
    REQUIRE_FALSE(recorder.has_value());
    CHECK_THAT(recorder.error().message, Contains("what is there is no recording"));
    CHECK(std::filesystem::exists(dir / name));
    CHECK_FALSE(std::filesystem::exists(dir / (std::string(name) + ".old")));
  }
  REQUIRE(store::write_atomic(dir / "empty", ""));
  CHECK(Recorder::create(dir / "empty", "trainyard-test").has_value());
}

TEST_CASE("the digest is of what is decided, the outline of what is said as well", "[runtime]") {
  using runtime::ActionText;
  const auto digest = [](std::vector<ActionText> texts) { return runtime::summary(texts).digest; };
  CHECK(runtime::summary({}) == Decided{});
  const std::vector<ActionText> both{{"send x", "x"}, {"say \"a\"", ""}};
  CHECK(runtime::summary(both).outline == "send x; say \"a\"");
  CHECK(digest(both) == digest({{"send x", "x"}, {"say \"b\"", ""}}));
  CHECK(digest({{"", "x"}, {"", "y"}}) != digest({{"", "y"}, {"", "x"}}));
  CHECK(digest({{"", "x"}, {"", "y"}}) != digest({{"", "xy"}}));
  CHECK(digest({{"say", ""}}) == 0);
}
