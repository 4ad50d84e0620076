// Replay of a core of three lines: a sum that is told when it passes ten.
#include "common/runtime/replay.hpp"

#include <catch2/catch.hpp>
#include <cstdio>

#include "common/base/text.hpp"
#include "common/store/file.hpp"
#include "tests/support/temp_dir.hpp"

using namespace trainyard;
using Catch::Contains;
using runtime::Decided, runtime::Recorder;

namespace {

class Sum final : public runtime::ReplayedCore {
 public:
  explicit Sum(int limit = 10) : limit_(limit) {}
  Status begin(Instant, std::span<const std::string> state) override {
    if (state.size() != 1) return Error{Errc::corrupt, "no sum to begin with"};
    sum_ = static_cast<int>(*parse_int(state.front()));
    return {};
  }
  Result<std::string> read(std::string_view event) override {
    const auto number = parse_int(event);
    if (!number) return Error{Errc::corrupt, "not a number"};
    next_ = static_cast<int>(*number);
    return format("add {}", next_);
  }
  Decided step(Instant) override {
    sum_ += next_;
    const std::string told = sum_ > limit_ ? format("tell {}", sum_) : "";
    const std::vector<runtime::ActionText> actions(told.empty() ? 0 : 1, {told, told});
    return runtime::summary(actions);
  }

 private:
  int limit_, sum_ = 0, next_ = 0;
};

Instant at(int n) { return {Time{} + n * 1s, 1'000'000 + n * 1000}; }

/// As a daemon records: 3 and 4 and 5 on top of 2.
void record(const std::string& path) {
  auto recorder = Recorder::create(path, "trainyard-sum");
  REQUIRE(recorder.has_value());
  const std::string beginning = "2";
  recorder->begin(at(0), beginning);
  Sum sum;
  REQUIRE(sum.begin(at(0), std::span(&beginning, 1)).has_value());
  for (const int number : {3, 4, 5, 0}) {
    recorder->event(at(number), std::to_string(number));
    REQUIRE(sum.read(std::to_string(number)).has_value());
    recorder->decided(at(number), sum.step(at(number)));
  }
}

struct Replayed {
  int exit_code = 0;
  std::vector<std::string> lines;
};
Replayed replay(const test::TempDir& dir, const std::string& path, Sum core) {
  std::FILE* out = std::fopen((dir / "out").c_str(), "w");
  REQUIRE(out != nullptr);
  Replayed result{runtime::replay(path, "trainyard-sum", core, out), {}};
  std::fclose(out);
  result.lines = split(store::read_file(dir / "out").value(), '\n');
  if (result.lines.back().empty()) result.lines.pop_back();
  return result;
}

}  // namespace

TEST_CASE("a replay prints a line an event with what was done, and ends with 0", "[runtime]") {
  const test::TempDir dir;
  record(dir / "r");
  const Replayed replayed = replay(dir, dir / "r", Sum{});
  CHECK(replayed.exit_code == 0);
  CHECK(replayed.lines == std::vector<std::string>{"      1  1970-01-01T00:16:43.000Z  add 3",
                                                   "      2  1970-01-01T00:16:44.000Z  add 4",
                                                   "      3  1970-01-01T00:16:45.000Z  add 5  ->  tell 14",
                                                   "      4  1970-01-01T00:16:40.000Z  add 0  ->  tell 14"});
}

TEST_CASE("a core that decides otherwise is told at the first event where it does", "[runtime]") {
  const test::TempDir dir;
  record(dir / "r");
  for (const auto& [limit, number] : {std::pair(8, 2), std::pair(14, 3)}) {
    const Replayed replayed = replay(dir, dir / "r", Sum{limit});
    CHECK(replayed.exit_code == 1);
    REQUIRE(replayed.lines.size() == static_cast<std::size_t>(number) + 3);
    CHECK_THAT(replayed.lines[number], Contains(format("event {}: ", number)) && Contains("part ways"));
    CHECK_THAT(replayed.lines[number + 1], Contains(limit == 8 ? "nothing" : "tell 14"));
    CHECK_THAT(replayed.lines[number + 2], Contains(limit == 8 ? "tell 9" : "nothing"));
  }
}

TEST_CASE("a recording that is torn, damaged or not one ends a replay with 2, after what is whole",
          "[runtime]") {
  const test::TempDir dir;
  record(dir / "r");
  const std::string bytes = store::read_file(dir / "r").value();
  REQUIRE(store::write_atomic(dir / "torn", std::string_view(bytes).substr(0, bytes.size() - 1)));
  CHECK(replay(dir, dir / "torn", Sum{}).exit_code == 2);
  CHECK(replay(dir, dir / "torn", Sum{}).lines.size() == 4);
  std::string damaged = bytes;
  damaged[bytes.size() - 40] ^= 1;
  REQUIRE(store::write_atomic(dir / "damaged", damaged));
  CHECK(replay(dir, dir / "damaged", Sum{}).exit_code == 2);
  CHECK(replay(dir, dir / "none", Sum{}).exit_code == 2);
  REQUIRE(store::write_atomic(dir / "text", "hello"));
  CHECK(replay(dir, dir / "text", Sum{}).exit_code == 2);
}

TEST_CASE("an event that the program cannot read ends a replay with 2", "[runtime]") {
  const test::TempDir dir;
  auto recorder = Recorder::create(dir / "r", "trainyard-sum");
  REQUIRE(recorder.has_value());
  recorder->begin(at(0), "2");
  recorder->event(at(1), "1");
  recorder->event(at(2), "one");
  const Replayed replayed = replay(dir, dir / "r", Sum{});
  CHECK(replayed.exit_code == 2);
  CHECK(replayed.lines.size() == 1);
}

TEST_CASE("the last event is replayed though nobody knows what was made of it", "[runtime]") {
  const test::TempDir dir;
  auto recorder = Recorder::create(dir / "r", "trainyard-sum");
  REQUIRE(recorder.has_value());
  recorder->begin(at(0), "2");
  recorder->event(at(1), "100");
  const Replayed replayed = replay(dir, dir / "r", Sum{});
  CHECK(replayed.exit_code == 0);
  CHECK_THAT(replayed.lines.at(0), Contains("->  tell 102"));
}
