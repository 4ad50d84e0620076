#include "common/protocol/codec.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "generate.hpp"

using namespace trainyard;
using namespace trainyard::protocol;
using Catch::Contains;

namespace {

constexpr std::size_t kinds = std::variant_size_v<Message>;
const TaskKey key{{JobId{7}, Role::ps, 3}, Incarnation{2}};

// Mutations as a broken peer or an attacker would send them.
std::string mutated(std::string bytes, Random& random) {
  switch (random.below(4)) {
    case 0:
      bytes.resize(random.below(bytes.size() + 1));
      break;
    case 1:
      for (std::uint64_t i = 1 + random.below(4); i > 0 && !bytes.empty(); --i)
        bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
      break;
    case 2:
      bytes.insert(random.below(bytes.size() + 1), 1 + random.below(9), static_cast<char>(random.below(256)));
      break;
    case 3:
      if (!bytes.empty()) bytes.erase(random.below(bytes.size()), 1 + random.below(9));
      break;
  }
  return bytes;
}

}  // namespace

TEST_CASE("every kind of message comes back as it was sent", "[protocol]") {
  Random random(1);
  for (std::size_t kind = 0; kind < kinds; ++kind)
    for (int round = 0; round < 50; ++round) {
      const Message sent = generate(kind, random);
      const auto got = decode(encode(sent));
      INFO(name(sent) << ": " << (got ? "" : got.error().message));
      REQUIRE(got);
      REQUIRE(*got == sent);
    }
}

TEST_CASE("each kind has a name of its own", "[protocol]") {
  Random random(1);
  std::set<std::string> names;
  for (std::size_t kind = 0; kind < kinds; ++kind) names.insert(name(generate(kind, random)));
  CHECK(names.size() == kinds);
  CHECK(std::string(name(Dismiss{})) == "Dismiss");
  CHECK(std::string(name(ReadLog{})) == "ReadLog");
}

TEST_CASE("broken bytes give an error or a message that can be sent again, never a crash", "[protocol]") {
  Random random(2);
  std::size_t refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    const auto got = decode(mutated(encode(generate(random.below(kinds), random)), random));
    if (!got) {
      ++refused;
      REQUIRE(!got.error().message.empty());
      continue;
    }
    const auto again = decode(encode(*got));
    INFO((again ? "" : again.error().message));
    REQUIRE(again);
  }
  CHECK(refused > 1000);
}

TEST_CASE("a message that lost its end is refused or smaller", "[protocol]") {
  const std::string bytes = encode(RegisterTask{key, "secret", "127.0.0.1:40001", 17});
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK_FALSE(decode(std::string_view(bytes).substr(0, size)));
}

TEST_CASE("an unknown kind of message is an error, also an empty one", "[protocol]") {
  CHECK(decode("").error().code == Errc::invalid);
  const std::string kind_100 = {'\xa2', '\x06', '\x00'};
  CHECK_THAT(decode(kind_100).error().message, Contains("unknown kind"));
}

TEST_CASE("too many elements are refused before memory is spent on them", "[protocol]") {
  // Heartbeat{node "n", 1,000,000 empty task reports}: two bytes each.
  std::string heartbeat = {'\x0a', '\x01', 'n'};
  for (int i = 0; i < 1'000'000; ++i) heartbeat += {'\x1a', '\x00'};
  std::string bytes = {'\x12'};
  for (std::size_t left = heartbeat.size();; left >>= 7) {
    bytes += static_cast<char>((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
    if (left <= 0x7f) break;
  }
  const auto got = decode(bytes + heartbeat);
  REQUIRE_FALSE(got);
  CHECK_THAT(got.error().message, Contains("more than 100000 elements"));
}

TEST_CASE("a message above four mebibytes is refused", "[protocol]") {
  const auto got = decode(std::string(message_bytes_max + 1, '\0'));
  REQUIRE_FALSE(got);
  CHECK(got.error().code == Errc::corrupt);
  CHECK_THAT(got.error().message, Contains("limit"));
}

TEST_CASE("what the plain structs cannot hold is refused by name", "[protocol]") {
  const auto fault = [](const Message& message) {
    const auto got = decode(encode(message));
    REQUIRE_FALSE(got);
    CHECK(got.error().code == Errc::invalid);
    return got.error().message;
  };
  CHECK(fault(Heartbeat{}) == "Heartbeat: field \"node\" is missing or out of range");
  CHECK_THAT(fault(ForgetTask{{key.task, Incarnation{0}}}), Contains("\"incarnation\""));
  CHECK_THAT(fault(ForgetTask{{{JobId{0}, Role::ps, 0}, Incarnation{1}}}), Contains("\"task.job\""));
  CHECK_THAT(fault(ForgetTask{{{JobId{1}, static_cast<Role>(9), 0}, Incarnation{1}}}), Contains("\"role\""));
  CHECK_THAT(fault(StopTask{key, ~std::uint64_t{0}}), Contains("StopTask: field \"grace_ms\""));
  CHECK_THAT(fault(RegisterTask{key, "s", "a", -1}), Contains("\"pid\""));
  Heartbeat beat{"n1", 1, {TaskReport{.key = key}}};
  beat.tasks[0].exit_code = 256;
  CHECK_THAT(fault(beat), Contains("\"exit_code\""));
  beat.tasks[0] = {.key = key, .state = static_cast<ProcessState>(7)};
  CHECK_THAT(fault(beat), Contains("\"state\""));
  CHECK_THAT(fault(RegisterNode{.node = "n1", .capacity = {.cpu_millis = 1, .memory = ~0ull}}),
             Contains("\"memory\""));
}

TEST_CASE("what only people read is cut to its bound by the sender", "[protocol]") {
  Heartbeat beat{"n1", 1, {TaskReport{.key = key}}};
  for (int i = 0; i < 30; ++i) beat.tasks[0].last_lines.push_back(std::to_string(i) + std::string(600, 'x'));
  const auto got = decode(encode(beat));
  REQUIRE(got);
  const auto& lines = std::get<Heartbeat>(*got).tasks[0].last_lines;
  REQUIRE(lines.size() == 20);
  CHECK(lines.front().substr(0, 2) == "10");
  CHECK(lines.back().size() == 500);

  const auto chunk =
      decode(encode(LogChunk{.request = 1, .bytes = std::string(300'000, 'x'), .offset = 5, .end = 400'000}));
  REQUIRE(chunk);
  CHECK(std::get<LogChunk>(*chunk).bytes.size() == 256 * 1024);
}

TEST_CASE("a node with very many ended tasks still gets its heartbeat through", "[protocol]") {
  Heartbeat beat{"n1", 1, {}};
  for (std::uint32_t i = 0; i < 1000; ++i) {
    beat.tasks.push_back(
        {.key = {{JobId{7}, Role::trainer, i}, Incarnation{1}}, .state = ProcessState::exited});
    beat.tasks.back().last_lines.assign(20, std::string(500, 'x'));
  }
  const auto got = decode(encode(beat));
  REQUIRE(got);
  CHECK(std::get<Heartbeat>(*got).tasks.size() == 1000);
  CHECK(std::get<Heartbeat>(*got).tasks[999].last_lines.empty());
}

TEST_CASE("a loss that is not a number travels", "[protocol]") {
  const auto got =
      decode(encode(Progress{.key = key, .phase = "train", .metrics = {{"train/loss", std::nan("")}}}));
  REQUIRE(got);
  CHECK(std::isnan(std::get<Progress>(*got).metrics.at("train/loss")));
}
