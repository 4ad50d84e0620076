#include "daemons/executor/event_codec.hpp"

#include <catch2/catch.hpp>
#include <set>

#include "daemons/executor/outline.hpp"
#include "daemons/executor/replay.hpp"
#include "tests/unit/protocol/generate.hpp"

namespace trainyard::executor {

namespace {

const TaskKey key{{JobId{3}, Role::ps, 1}, Incarnation{2}};

protocol::TaskReport report() {
  return {.key = key,
          .state = protocol::ProcessState::exited,
          .pid = 17,
          .exit_code = 3,
          .signal = 9,
          .memory_peak = 1ull << 40,
          .error = "no \xff",
          .last_lines = {"a", std::string("\xfe\0", 2)}};
}

/// One of each alternative, none of whose fields has its default.
std::vector<Event> samples() {
  return {SessionOpened{},
          SessionClosed{},
          MessageReceived{protocol::ForgetTask{key}},
          TaskStarted{key, 17},
          TaskExited{key, 3, 9, 1ull << 40, "no \xff", {"a", std::string("\xfe\0", 2)}},
          TaskFound{report(), "c1"},
          TaskRemembered{key, "c1"},
          Tick{}};
}

NodeFacts facts() {
  return {.node = "n1",
          .session = ~std::uint64_t{0},
          .address = "127.0.0.1",
          .capacity = {4000, 1 << 30, 2},
          .labels = {{"zone", "a"}},
          .gpu_models = {"fake", "\xff"},
          .orphan_after = 3s,
          .stop_grace = 1500ms};
}

}  // namespace

TEST_CASE("every event of the executor comes back from its bytes", "[executor]") {
  const auto all = samples();
  REQUIRE(all.size() == std::variant_size_v<Event>);
  for (std::size_t i = 0; i < all.size(); ++i) {
    REQUIRE(all[i].index() == i);
    const auto back = decode_event(encode(all[i]));
    INFO(i << ": " << (back ? "" : back.error().message));
    REQUIRE(back.has_value());
    CHECK(*back == all[i]);
  }
  Random random(1);
  for (std::size_t kind = 0; kind < std::variant_size_v<protocol::Message>; ++kind) {
    const Event event = MessageReceived{protocol::generate(kind, random)};
    CHECK(decode_event(encode(event)).value() == event);
  }
}

TEST_CASE("bytes that are no event of the executor are errors, never crashes", "[executor]") {
  for (const char* wrong :
       {"", "{}", "{\"event\":\"tock\"}", "{\"event\":\"message\"}", "{\"event\":\"message\"}\n",
        "{\"event\":\"tick\"}\n\x12", "{\"event\":\"task_started\",\"pid\":3000000000}",
        "{\"event\":\"task_found\",\"report\":{\"state\":3}}",
        "{\"event\":\"task_remembered\",\"key\":{\"task\":{\"role\":4}}}"}) {
    INFO(wrong);
    CHECK_FALSE(decode_event(wrong).has_value());
  }
  Random random(2);
  for (const Event& event : samples()) {
    const std::string bytes = encode(event);
    for (int round = 0; round < 500; ++round) {
      std::string broken = bytes;
      for (std::uint64_t n = 1 + random.below(3); n-- > 0;)
        broken[random.below(broken.size())] = static_cast<char>(random.below(256));
      if (random.chance(0.3)) broken.resize(random.below(broken.size()));
      if (const auto read = decode_event(broken)) CHECK(!outline(*read).empty());
    }
  }
}

TEST_CASE("a node comes back from the beginning of a recording", "[executor]") {
  CHECK(decode_facts(encode(facts())).value() == facts());
  CHECK_FALSE(decode_facts("{\"capacity\":{\"gpus\":-1}}").has_value());
  CHECK_FALSE(decode_facts("facts").has_value());
}

TEST_CASE("each action has a digest of its own, what goes to the log has none", "[executor]") {
  const auto digest = [](const Action& action) { return summary({action}).digest; };
  const std::vector<Action> all{Send{protocol::Heartbeat{"n1", 1, {}}},
                                Send{protocol::Heartbeat{"n1", 2, {}}},
                                Spawn{protocol::LaunchTask{.key = key, .job_yaml = "a"}, "c1"},
                                Spawn{protocol::LaunchTask{.key = key, .job_yaml = "b"}, "c1"},
                                Spawn{protocol::LaunchTask{.key = key, .job_yaml = "b"}, "c2"},
                                Stop{key, 1s},
                                Stop{key, 2s},
                                Destroy{key},
                                Remove{key},
                                AnswerLog{{.request = 1, .key = key}},
                                AnswerLog{{.request = 2, .key = key}},
                                Quit{"a"},
                                Quit{"b"}};
  std::set<std::uint32_t> digests{0};
  for (const Action& action : all) CHECK(digests.insert(digest(action)).second);
  CHECK(digest(Say{"a"}) == 0);
  CHECK(summary({Say{"a\nb"}, Stop{key, 1s}}).outline == "say \"a b\"; stop 3/ps-1#2 within 1s");
}

TEST_CASE("a replay decides as the executor did from its start on", "[executor]") {
  const Instant start{Time{} + 5s, 100};
  State state = make_state(facts(), start);
  Replay replay;
  REQUIRE(replay.begin(start, std::vector<std::string>{encode(facts())}).has_value());
  const TaskKey next{key.task, Incarnation{3}};
  protocol::TaskReport running{.key = key, .state = protocol::ProcessState::running, .pid = 5};
  const std::vector<Event> events{TaskFound{running, "c1"},
                                  SessionOpened{},
                                  MessageReceived{protocol::Registered{250, "c1"}},
                                  MessageReceived{protocol::LaunchTask{.key = next, .job_name = "j"}},
                                  TaskExited{.key = key, .signal = 9},
                                  TaskStarted{next, 6},
                                  SessionClosed{},
                                  Tick{},
                                  Tick{},
                                  Tick{}};
  std::string said;
  for (std::size_t i = 0; i < events.size(); ++i) {
    const Instant at{start.monotonic + i * 1s, 100};
    const runtime::Decided expected = summary(step(state, events[i], at));
    REQUIRE(replay.read(encode(events[i])).has_value());
    CHECK(replay.step(at) == expected);
    said += expected.outline + "\n";
  }
  CHECK(replay.state() == state);
  CHECK_THAT(said, Catch::Contains("stop 3/ps-1#2 within 1500ms") && Catch::Contains("start 3/ps-1#3") &&
                       Catch::Contains("stop 3/ps-1#3 within 1500ms"));
  CHECK_FALSE(Replay().begin(start, {}).has_value());
  CHECK_FALSE(Replay().begin(start, std::vector<std::string>{"x"}).has_value());
}

}  // namespace trainyard::executor
