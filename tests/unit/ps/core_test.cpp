#include "daemons/ps/core.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <numeric>

#include "common/base/random.hpp"
#include "common/codec/codec.hpp"

namespace trainyard::ps {

namespace {

using protocol::DataHeader;
using protocol::DataKind;

constexpr std::uint32_t trainers = 3;
constexpr std::size_t floats = 8;  // six of a weight, two of a buffer

config::TrainSection plain_sgd() {
  config::TrainSection train;
  train.optimizer = {.learning_rate = 1.0, .momentum = 0.0};
  return train;
}

DataHeader header(DataKind kind, std::uint32_t trainer) {
  return {.kind = kind, .job = 1, .incarnation = 1, .trainer = trainer};
}

template <typename T>
Payload payload_of(std::vector<T> values) {
  const auto owner = std::make_shared<std::vector<T>>(std::move(values));
  return {std::as_bytes(std::span(*owner)), owner};
}

Arrival arrival(DataHeader head, std::vector<float> values = {}) {
  const std::string peer = "peer-" + std::to_string(head.trainer);
  return {.peer = peer, .header = std::move(head), .payload = payload_of(std::move(values))};
}

Arrival init() {
  DataHeader head = header(DataKind::init, 0);
  head.slices = {{0, 6, protocol::SliceKind::weight}, {6, 2, protocol::SliceKind::buffer}};
  head.steps_per_epoch = 10;
  return arrival(std::move(head), std::vector<float>(floats, 0.0f));
}

Arrival push(std::uint32_t trainer, std::uint64_t step, std::vector<float> gradients,
             std::uint32_t samples = 1) {
  DataHeader head = header(DataKind::push, trainer);
  head.sequence = step;
  head.samples = samples;
  return arrival(std::move(head), std::move(gradients));
}

Core ready() {
  Core core({.job = 1, .incarnation = 1, .shard = 0, .trainers = trainers}, plain_sgd());
  CHECK(core.on(init()).replies.empty());
  return core;
}

std::string bytes_of(const SavedPart& saved) {
  std::string out;
  for (const auto piece : saved.pieces())
    out.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  return out;
}

}  // namespace

TEST_CASE("a pull waits for the first values", "[ps]") {
  Core core({.job = 1, .incarnation = 1, .shard = 0, .trainers = trainers}, plain_sgd());
  CHECK(core.on(arrival(header(DataKind::pull, 1))).replies.empty());
  const auto outcome = core.on(init());
  REQUIRE(outcome.replies.size() == 1);
  CHECK(outcome.replies[0].peer == "peer-1");
  CHECK(outcome.replies[0].header.kind == DataKind::values);
  CHECK(outcome.replies[0].values->size() == floats);
}

TEST_CASE("a push in fewer bytes is the push that it stands for, statistics to the last bit", "[ps]") {
  const std::vector<codec::Part> parts{{6, false}, {2, true}};
  const std::vector<float> gradients{1, -2, 0.5, 4, 0, 96, 0.1f, 0.3f};
  for (const auto how : {config::Compression::bf16, config::Compression::fp16}) {
    Core plain = ready(), coded = ready();
    for (std::uint32_t trainer = 0; trainer < trainers; ++trainer) {
      (void)plain.on(push(trainer, 1, gradients));
      Arrival arrival = push(trainer, 1, {});
      arrival.header.coding = how;
      arrival.payload = payload_of(codec::encode(how, parts, gradients, {}));
      (void)coded.on(std::move(arrival));
    }
    CHECK(coded.step() == 1);
    CHECK(*coded.table()->values() == *plain.table()->values());
  }
}

TEST_CASE("a push whose bytes are not of its coding is refused", "[ps]") {
  Core core = ready();
  for (const auto how : {config::Compression::bf16, config::Compression::int8, config::Compression::topk}) {
    Arrival arrival = push(0, 1, std::vector<float>(floats, 1.0f));
    arrival.header.coding = how;
    const auto outcome = core.on(std::move(arrival));
    REQUIRE(outcome.replies.size() == 1);
    CHECK(outcome.replies[0].header.kind == DataKind::refused);
    CHECK(outcome.replies[0].header.reason.starts_with("a push: "));
  }
  CHECK(core.step() == 0);
}

TEST_CASE("a step is answered to all once all have pushed, and is the mean over the samples", "[ps]") {
  Core core = ready();
  CHECK(core.on(push(0, 1, std::vector<float>(floats, 6.0f), 2)).replies.empty());
  CHECK(core.on(push(2, 1, std::vector<float>(floats, 3.0f), 1)).replies.empty());
  const auto outcome = core.on(push(1, 1, {}, 0));  // had no records in this step
  REQUIRE(outcome.replies.size() == 3);
  for (const Reply& reply : outcome.replies) {
    CHECK(reply.header.sequence == 1);
    CHECK((*reply.values)[0] == -3.0f);  // 0 - 1.0 * 9 / 3
    CHECK((*reply.values)[7] == 3.0f);   // a buffer becomes the mean
  }
}

TEST_CASE("integer gradients under duplicates, delays and repeats add up exactly", "[ps]") {
  Random random(11);
  Core core = ready();
  double expected = 0;
  std::vector<Arrival> old;
  for (std::uint64_t step = 1; step <= 200; ++step) {
    std::vector<std::pair<std::uint32_t, float>> pushes;
    for (std::uint32_t trainer = 0; trainer < trainers; ++trainer) {
      const auto value = static_cast<float>(random.below(10));
      expected -= static_cast<double>(value);
      pushes.insert(pushes.end(), 1 + random.below(3), {trainer, value});
    }
    random.shuffle(pushes);
    for (const auto& [trainer, value] : pushes) {
      (void)core.on(push(trainer, step, std::vector<float>(floats, value * trainers), 1));
      // A late double of an earlier step is answered, not applied.
      if (step > 1 && random.chance(0.3)) {
        const auto outcome = core.on(push(trainer, step - 1, std::vector<float>(floats, 1000.0f), 1));
        CHECK(outcome.replies.size() == (core.step() >= step - 1 ? 1u : 0u));
      }
    }
    REQUIRE(core.step() == step);
  }
  CHECK(static_cast<double>((*core.table()->values())[0]) == expected);
}

TEST_CASE("the order of arrival does not change a bit of the result", "[ps]") {
  Random random(2);
  std::vector<std::vector<float>> gradients(trainers, std::vector<float>(floats));
  for (auto& one : gradients) {
    for (float& value : one) value = static_cast<float>(random.normal());
  }
  std::vector<std::uint32_t> order{0, 1, 2};
  std::optional<std::vector<float>> first;
  do {
    Core core = ready();
    for (const std::uint32_t trainer : order) (void)core.on(push(trainer, 1, gradients[trainer], 5));
    if (!first) first = *core.table()->values();
    CHECK(*first == *core.table()->values());
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("a marked push saves exactly that step, and the part brings the same bits back", "[ps]") {
  Core core = ready();
  auto marked = push(0, 1, std::vector<float>(floats, 1.5f));
  marked.header.checkpoint = 71;
  (void)core.on(std::move(marked));
  (void)core.on(push(1, 1, std::vector<float>(floats, 0.25f)));
  const auto outcome = core.on(push(2, 1, std::vector<float>(floats, 0.5f)));
  REQUIRE(outcome.saves.size() == 1);
  CHECK(outcome.saves[0].checkpoint == 71);
  const std::string part = bytes_of(outcome.saves[0]);

  Core next({.job = 1, .incarnation = 2, .shard = 0, .trainers = trainers}, plain_sgd());
  REQUIRE(next.restore(part).has_value());
  CHECK(next.step() == 1);
  CHECK(next.checkpoint() == 71);
  CHECK(*next.table()->values() == *core.table()->values());
  for (std::size_t cut = 0; cut < part.size(); cut += 3)
    CHECK_FALSE(next.restore(part.substr(0, cut)).has_value());
}

TEST_CASE("`last` reaches every trainer", "[ps]") {
  Core core = ready();
  auto marked = push(0, 1, std::vector<float>(floats, 1.0f));
  marked.header.ending = protocol::Ending::stopped;
  (void)core.on(std::move(marked));
  (void)core.on(push(1, 1, std::vector<float>(floats, 1.0f)));
  const auto outcome = core.on(push(2, 1, std::vector<float>(floats, 1.0f)));
  for (const Reply& reply : outcome.replies) CHECK(reply.header.ending == protocol::Ending::stopped);
}

TEST_CASE("wrong sizes and nonsense are refused, and change nothing", "[ps]") {
  Core core = ready();
  const auto wrong = core.on(push(0, 1, std::vector<float>(3, 1.0f)));
  REQUIRE(wrong.replies.size() == 1);
  CHECK(wrong.replies[0].header.kind == DataKind::refused);
  auto stale = push(0, 1, std::vector<float>(floats, 1.0f));
  stale.header.incarnation = 0;
  CHECK(core.on(std::move(stale)).replies[0].header.kind == DataKind::refused);
  CHECK(core.step() == 0);
  // The right ones still complete the step.
  for (std::uint32_t trainer = 0; trainer < trainers; ++trainer)
    (void)core.on(push(trainer, 1, std::vector<float>(floats, 1.0f)));
  CHECK(core.step() == 1);
}

namespace {

/// A gang that clips by norm: `shards` cores that own one slice of four floats each.
struct ClippedGang {
  std::vector<Core> cores;
  std::vector<std::vector<float>> gradients;  // by rank: what it pushes in this step, the same to each shard

  explicit ClippedGang(std::uint32_t shards) {
    config::TrainSection train = plain_sgd();
    train.clip.norm = 1.0;
    for (std::uint32_t i = 0; i < shards; ++i) {
      cores.emplace_back(
          Identity{.job = 1, .incarnation = 1, .shard = i, .trainers = trainers, .shards = shards}, train);
      DataHeader head = header(DataKind::init, 0);
      head.slices = {{i * 4ull, 4, protocol::SliceKind::weight}};
      head.steps_per_epoch = 10;
      CHECK(cores.back().on(arrival(std::move(head), std::vector<float>(4, 0.0f))).replies.empty());
    }
  }
  Outcome push_to(std::uint32_t shard, std::uint32_t trainer, std::uint64_t step) {
    return cores[shard].on(push(trainer, step, gradients[trainer], 1));
  }
  Outcome tell(std::uint32_t shard, std::uint64_t step, double norm, std::uint32_t trainer = 0) {
    DataHeader head = header(DataKind::norm, trainer);
    head.sequence = step;
    head.norm = norm;
    return cores[shard].on(arrival(std::move(head)));
  }
};

bool is(const Outcome& outcome, DataKind kind) {
  return outcome.replies.size() == 1 && outcome.replies[0].header.kind == kind;
}

}  // namespace

TEST_CASE("a shard tells rank 0 its squares and waits for the norm of all", "[ps]") {
  ClippedGang gang(2);
  gang.gradients.assign(trainers, std::vector<float>(4, 3.0f));
  CHECK(gang.push_to(0, 0, 1).replies.empty());
  CHECK(gang.push_to(0, 1, 1).replies.empty());
  CHECK(is(gang.tell(0, 1, 1.0), DataKind::refused));  // not all are here
  const auto squares = gang.push_to(0, 2, 1);
  REQUIRE(is(squares, DataKind::squares));
  CHECK(squares.replies[0].peer == "peer-0");
  CHECK(squares.replies[0].header.sequence == 1);
  CHECK(squares.replies[0].header.square_sums == std::vector<double>{4 * 9.0});
  // Doubles are answered or wait, and are not added.
  CHECK(is(gang.push_to(0, 0, 1), DataKind::squares));
  CHECK(gang.push_to(0, 1, 1).replies.empty());
  CHECK(gang.cores[0].step() == 0);
  CHECK(is(gang.tell(0, 1, 8.0, 1), DataKind::refused));  // not rank 0
  CHECK(is(gang.tell(0, 2, 8.0), DataKind::refused));
  const auto applied = gang.tell(0, 1, 6.0);
  REQUIRE(applied.replies.size() == trainers);
  for (const Reply& reply : applied.replies) CHECK((*reply.values)[0] == Approx(-3.0 / 6.0));
  // Told again, it answers and does not apply again; a late push as well.
  const auto again = gang.tell(0, 1, 6.0);
  REQUIRE(is(again, DataKind::values));
  CHECK((*again.replies[0].values)[0] == Approx(-0.5));
  CHECK(is(gang.push_to(0, 1, 1), DataKind::values));
  CHECK(gang.cores[0].step() == 1);
}

TEST_CASE("clipping by norm is applied exactly once under doubles, delays and repeats", "[ps]") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Random random(seed);
    const std::uint32_t shards = 2 + static_cast<std::uint32_t>(random.below(2));
    ClippedGang gang(shards);
    std::vector<double> expected(4, 0.0);
    for (std::uint64_t step = 1; step <= 20; ++step) {
      gang.gradients.assign(trainers, std::vector<float>(4));
      std::vector<double> mean(4, 0.0);
      for (auto& one : gang.gradients) {
        for (std::size_t i = 0; i < 4; ++i) {
          one[i] = static_cast<float>(random.normal());
          mean[i] += static_cast<double>(one[i]) / trainers;
        }
      }
      double squares = 0;
      for (const double one : mean) squares += one * one;
      const double norm = std::sqrt(squares * shards);  // each shard holds the same
      for (std::size_t i = 0; i < 4; ++i) expected[i] -= mean[i] * std::min(1.0, 1.0 / (norm + 1e-6));

      std::vector<std::pair<std::uint32_t, std::uint32_t>> pushes;  // shard, trainer
      for (std::uint32_t shard = 0; shard < shards; ++shard) {
        for (std::uint32_t trainer = 0; trainer < trainers; ++trainer)
          pushes.insert(pushes.end(), 1 + random.below(3), {shard, trainer});
      }
      random.shuffle(pushes);
      std::map<std::uint32_t, double> known;
      for (const auto& [shard, trainer] : pushes) {
        if (step > 1 && random.chance(0.3)) (void)gang.tell(shard, step - 1, 1e9);  // late double
        for (const Reply& reply : gang.push_to(shard, trainer, step).replies) {
          REQUIRE(reply.header.kind == DataKind::squares);
          known[shard] = reply.header.square_sums.at(0);
        }
      }
      REQUIRE(known.size() == shards);
      double sum = 0;
      for (const auto& [shard, one] : known) sum += one;
      CHECK(std::sqrt(sum) == Approx(norm));
      for (std::uint32_t shard = 0; shard < shards; ++shard) {
        for (std::uint64_t i = 1 + random.below(2); i > 0; --i) (void)gang.tell(shard, step, std::sqrt(sum));
        REQUIRE(gang.cores[shard].step() == step);
      }
    }
    for (const Core& core : gang.cores) {
      for (std::size_t i = 0; i < 4; ++i)
        CHECK(static_cast<double>((*core.table()->values())[i]) == Approx(expected[i]).margin(1e-4));
    }
  }
}

TEST_CASE("one shard alone clips without asking", "[ps]") {
  ClippedGang gang(1);
  gang.gradients.assign(trainers, std::vector<float>(4, 2.0f));
  (void)gang.push_to(0, 0, 1);
  (void)gang.push_to(0, 1, 1);
  const auto outcome = gang.push_to(0, 2, 1);
  REQUIRE(outcome.replies.size() == trainers);
  CHECK((*outcome.replies[0].values)[0] == Approx(-0.5));  // the mean's norm of 4 becomes 1
}

TEST_CASE("averages are sent to who asks for them, where they are kept", "[ps]") {
  DataHeader ask = header(DataKind::pull, 0);
  ask.averages = true;
  Core without = ready();
  CHECK(is(without.on(arrival(ask)), DataKind::refused));

  config::TrainSection train = plain_sgd();
  train.ema = {.decay = 0.5};
  Core core({.job = 1, .incarnation = 1, .shard = 0, .trainers = trainers}, train);
  CHECK(is(core.on(arrival(ask)), DataKind::refused));  // nothing is here yet
  CHECK(core.on(init()).replies.empty());
  for (std::uint64_t step = 1; step <= 2; ++step) {
    for (std::uint32_t trainer = 0; trainer < trainers; ++trainer)
      (void)core.on(push(trainer, step, std::vector<float>(floats, 1.0f)));
  }
  const auto outcome = core.on(arrival(ask));
  REQUIRE(is(outcome, DataKind::values));
  CHECK(outcome.replies[0].header.averages);
  CHECK(outcome.replies[0].header.sequence == 2);
  CHECK((*outcome.replies[0].values)[0] == -1.5f);  // of -1 and -2
}

TEST_CASE("pushes in rank order are let go of before their step is complete, and a double finds them",
          "[ps]") {
  Core core = ready();
  std::vector<std::weak_ptr<const void>> owners;
  for (std::uint32_t trainer = 0; trainer + 1 < trainers; ++trainer) {
    Arrival one = push(trainer, 1, std::vector<float>(floats, static_cast<float>(trainer + 1)));
    owners.emplace_back(one.payload.owner);
    CHECK(core.on(std::move(one)).replies.empty());
  }
  for (const auto& owner : owners) CHECK(owner.expired());
  Arrival again = push(0, 1, std::vector<float>(floats, 1));
  again.peer = "peer-0, connected anew";
  CHECK(core.on(std::move(again)).replies.empty());
  const auto outcome = core.on(push(trainers - 1, 1, std::vector<float>(floats, 3)));
  REQUIRE(outcome.replies.size() == trainers);
  CHECK(outcome.replies[0].peer == "peer-0, connected anew");
  CHECK((*outcome.replies[0].values)[0] == -2.0f);
  // The next step begins anew, in whatever order.
  for (const std::uint32_t trainer : {2u, 1u})
    CHECK(core.on(push(trainer, 2, std::vector<float>(floats, 3))).replies.empty());
  CHECK((*core.on(push(0, 2, std::vector<float>(floats, 3))).replies[0].values)[0] == -5.0f);
}

}  // namespace trainyard::ps
