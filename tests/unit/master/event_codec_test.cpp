#include "daemons/master/event_codec.hpp"

#include <catch2/catch.hpp>
#include <set>

#include "common/protocol/codec.hpp"
#include "daemons/master/outline.hpp"
#include "daemons/master/replay.hpp"
#include "tests/unit/master/cluster.hpp"
#include "tests/unit/protocol/generate.hpp"

namespace trainyard::master {

namespace {

JobOrder any_order() {
  JobOrder order = test::order(3, 2);
  order.queue = "q \"x\"";
  order.priority = 7;
  order.require = {{"zone", "a"}};
  order.spread = true;
  order.restarts = 9;
  order.time_limit_ms = 5000;
  order.yaml = std::string("a: 1\nb: \xff\0", 10);
  return order;
}

/// One of each alternative, none of whose fields has its default.
std::vector<Event> samples() {
  return {Recovered{"c1"},
          MessageReceived{PeerId{5}, protocol::Registered{250, "c1"}},
          PeerClosed{PeerId{~std::uint64_t{0}}},
          JobSubmitted{1, any_order(), "secret", true},
          CancelAsked{2, JobId{3}},
          LogAsked{3, JobId{4}, "trainer-0\xfe", true, 1ull << 40, 20},
          ShutdownAsked{4, true},
          Tick{}};
}

}  // namespace

TEST_CASE("every event of the master comes back from its bytes", "[master]") {
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
    const Event event = MessageReceived{PeerId{kind}, protocol::generate(kind, random)};
    CHECK(decode_event(encode(event)).value() == event);
  }
}

TEST_CASE("bytes that are no event of the master are errors, never crashes", "[master]") {
  for (const char* wrong :
       {"", "{}", "[]", "{\"event\":\"tock\"}", "{\"event\":\"message\",\"peer\":1}",
        "{\"event\":\"tick\"}\nx", "{\"event\":\"message\",\"peer\":1}\n",
        "{\"event\":\"message\",\"peer\":-1}\n\x12", "{\"event\":\"cancel_asked\",\"job\":\"3\"}",
        "{\"event\":\"job_submitted\",\"order\":{\"roles\":[{\"role\":9}]}}"}) {
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

TEST_CASE("settings come back from the beginning of a recording", "[master]") {
  const Settings settings{.heartbeat_every = 1ms,
                          .unreachable_after = 2ms,
                          .lost_after = 3ms,
                          .recovery_grace = 4ms,
                          .register_within = 5ms,
                          .jobs_kept = 6};
  CHECK(decode_settings(encode(settings)).value() == settings);
  CHECK_FALSE(decode_settings("{\"jobs_kept\":-1}").has_value());
  CHECK_FALSE(decode_settings("settings").has_value());
}

TEST_CASE("what is printed of events and decisions holds no secret", "[master]") {
  test::Cluster cluster;
  cluster.add(test::node("n1"));
  const JobSubmitted submitted{1, test::order(), "s3cret", false};
  std::string printed = outline(submitted) + summary(cluster.act(submitted)).outline;
  const protocol::RegisterTask registered{cluster.key(JobId{1}, Role::ps, 0), "s3cret", "127.0.0.1:9", 100};
  printed += outline(MessageReceived{PeerId{9}, registered});
  CHECK_THAT(printed, Catch::Contains("submit 'flowers'") && Catch::Contains("remember job_accepted job 1") &&
                          Catch::Contains("send peer 1 LaunchTask 1/trainer-0#1 of 'flowers'") &&
                          Catch::Contains("RegisterTask 1/ps-0#1") && !Catch::Contains("s3cret"));
}

TEST_CASE("another decision has another digest, other words in the log have not", "[master]") {
  const auto digest = [](const Actions& actions) { return summary(actions).digest; };
  const Actions base{Append{FirstStepDone{JobId{1}, 5}}, Send{PeerId{1}, protocol::Dismiss{}}, Say{"a"}};
  CHECK(digest(base) ==
        digest({Append{FirstStepDone{JobId{1}, 5}}, Send{PeerId{1}, protocol::Dismiss{}}, Say{"b"}}));
  const std::vector<Actions> others = {
      {Append{FirstStepDone{JobId{1}, 6}}, Send{PeerId{1}, protocol::Dismiss{}}},
      {Append{FirstStepDone{JobId{1}, 5}}, Send{PeerId{2}, protocol::Dismiss{}}},
      {Append{FirstStepDone{JobId{1}, 5}}, Send{PeerId{1}, protocol::StopTraining{""}}},
      {Append{FirstStepDone{JobId{1}, 5}}},
      {Answer{1, Closing{}}},
      {Answer{2, Closing{}}},
      {Answer{1, Cancelling{JobId{1}, JobState::stopping}}},
      {Answer{1, LogText{"trainer-0", false, "x", 0, 1}}},
      {Answer{1, LogText{"trainer-0", false, "y", 0, 1}}},
      {Answer{1, Accepted{JobId{1}, "flowers", {{TaskId{}, "n1", {}}}, true}}},
      {Answer{1, Accepted{JobId{1}, "flowers", {{TaskId{}, "n2", {}}}, true}}},
      {Answer{1, Error{Errc::invalid, "x"}}},
      {Answer{1, Error{Errc::refused, "x"}}},
      {Close{PeerId{1}}},
      {Close{PeerId{2}}},
      {Quit{}}};
  std::set<std::uint32_t> digests{digest(base)};
  for (const Actions& actions : others) CHECK(digests.insert(digest(actions)).second);
}

TEST_CASE("a replay from the records of an earlier master decides as the master did", "[master]") {
  // A first life: a job runs. Its records are what the second life begins with.
  test::Cluster first;
  first.add(test::node("n1"));
  const JobId job = first.submit(test::order());
  first.gather(job);
  std::vector<std::string> records;
  for (const Record& record : first.records) records.push_back(encode(record));

  State state;
  state.settings.recovery_grace = 7s;
  for (const Record& record : first.records) fold(state, record);
  Replay replay;
  std::vector<std::string> beginning{encode(state.settings)};
  beginning.insert(beginning.end(), records.begin(), records.end());
  REQUIRE(replay.begin({}, beginning).has_value());

  const auto trainer = first.key(job, Role::trainer, 0);
  const std::vector<Event> events{
      Recovered{"other"},
      MessageReceived{PeerId{1}, test::node("n1")},
      MessageReceived{PeerId{2}, protocol::RegisterTask{trainer, "secret", "", 100}},
      MessageReceived{PeerId{2}, protocol::Progress{.key = trainer, .phase = "train", .step = 1, .steps = 9}},
      CancelAsked{5, job},
      Tick{}};
  for (std::size_t i = 0; i < events.size(); ++i) {
    const Instant at{Time{} + i * 3s, static_cast<WallMillis>(i)};
    const runtime::Decided expected = summary(step(state, events[i], at));
    REQUIRE(replay.read(encode(events[i])).has_value());
    CHECK(replay.step(at) == expected);
  }
  CHECK(replay.state().jobs.at(job).state == JobState::stopping);
  CHECK_FALSE(Replay().begin({}, {}).has_value());
  CHECK_FALSE(Replay().begin({}, std::vector<std::string>{"{}", "{\"record\":\"x\"}"}).has_value());
}

}  // namespace trainyard::master
