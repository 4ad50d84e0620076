#include "daemons/ps/row_service.hpp"

#include <catch2/catch.hpp>
#include <deque>

#include "common/base/random.hpp"
#include "common/rows/ids.hpp"

namespace trainyard::ps {

namespace {

using protocol::RowsHeader;
using protocol::RowsKind;

constexpr std::uint32_t trainers = 3, width = 4;
constexpr std::uint64_t number = 7;

config::TrainSection plain_sgd() {
  config::TrainSection train;
  train.optimizer = {.learning_rate = 1.0, .momentum = 0.0};
  return train;
}

RowService service(std::uint32_t shard = 0, std::uint32_t shards = 1) {
  return {
      {.job = 1, .incarnation = 1, .shard = shard, .trainers = trainers, .shards = shards}, plain_sgd(), ""};
}

RowArrival arrival(RowsKind kind, std::uint32_t trainer, std::vector<std::byte> bytes = {}) {
  const auto owner = std::make_shared<std::vector<std::byte>>(std::move(bytes));
  return {"peer-" + std::to_string(trainer),
          {.kind = kind, .job = 1, .incarnation = 1, .trainer = trainer, .table = number},
          {*owner, owner}};
}

RowArrival create(std::uint32_t trainer, bool on_arrival) {
  RowArrival out = arrival(RowsKind::create, trainer);
  out.header.spec = {.width = width, .on_arrival = on_arrival};
  return out;
}

RowArrival pull(std::uint32_t trainer, const std::vector<std::uint64_t>& ids) {
  std::vector<std::byte> bytes;
  rows::pack_ids(ids, bytes);
  RowArrival out = arrival(RowsKind::pull, trainer, bytes);
  out.header.count = ids.size();
  return out;
}

/// Rows of one number each.
RowArrival push(std::uint32_t trainer, std::uint64_t sequence, const std::vector<std::uint64_t>& ids,
                float value, std::uint32_t samples = 1) {
  const std::vector<float> gradients(ids.size() * width, value);
  const auto view = std::as_bytes(std::span(gradients));
  std::vector<std::byte> bytes(view.begin(), view.end());
  rows::pack_ids(ids, bytes);
  RowArrival out = arrival(RowsKind::push, trainer, bytes);
  out.header.sequence = sequence;
  out.header.samples = samples;
  out.header.count = ids.size();
  return out;
}

std::string refusal(const std::vector<RowReply>& replies) {
  REQUIRE(replies.size() == 1);
  REQUIRE(replies[0].header.kind == RowsKind::refused);
  return replies[0].header.reason;
}

float value_of(RowService& service, std::uint64_t id) {
  const auto replies = service.on(pull(0, {id}));
  REQUIRE(replies.size() == 1);
  REQUIRE(replies[0].header.kind == RowsKind::rows);
  REQUIRE(replies[0].rows->size() == width);
  return replies[0].rows->front();
}

/// Loses, doubles and reorders what goes through it.
template <typename Message>
class BadLine {
 public:
  explicit BadLine(std::uint64_t seed) : random_(seed) {}
  void put(const Message& message) {
    if (random_.chance(0.15)) return;
    lines_.push_back(message);
    if (random_.chance(0.2)) lines_.push_back(message);
  }
  std::optional<Message> take() {
    if (lines_.empty()) return std::nullopt;
    const auto at = static_cast<std::ptrdiff_t>(random_.below(lines_.size()));
    Message out = lines_[static_cast<std::size_t>(at)];
    lines_.erase(lines_.begin() + at);
    return out;
  }

 private:
  Random random_;
  std::vector<Message> lines_;
};

}  // namespace

TEST_CASE("a window tells what was applied, whatever the order", "[ps][rows]") {
  PushWindow window;
  using enum PushWindow::Verdict;
  CHECK(window.look(1) == fresh);
  CHECK(window.look(64) == fresh);
  CHECK(window.look(65) == far);
  window.take(64);
  CHECK(window.look(64) == known);
  for (std::uint64_t i = 63; i > 1; --i) window.take(i);
  CHECK(window.through() == 0);
  window.take(1);
  CHECK(window.through() == 64);
  CHECK(window.look(1) == known);
  CHECK(window.look(65) == fresh);
  CHECK(window.look(128) == fresh);
  CHECK(window.look(129) == far);
}

TEST_CASE("a step of rows is applied once, when all have pushed, as the mean over the samples",
          "[ps][rows]") {
  RowService shard = service();
  for (std::uint32_t trainer = 0; trainer < trainers; ++trainer)
    CHECK(shard.on(create(trainer, false))[0].header.kind == RowsKind::created);
  CHECK(shard.on(push(0, 1, {5, 9}, 6, 2)).empty());
  CHECK(shard.on(push(2, 1, {9}, 3, 1)).empty());
  CHECK(shard.on(push(2, 1, {9}, 3, 1)).empty());  // again: takes the place of the first one
  CHECK(value_of(shard, 9) == 0);
  const auto replies = shard.on(push(1, 1, {}, 0, 0));  // had no records in this step
  REQUIRE(replies.size() == 3);
  for (const RowReply& reply : replies) {
    CHECK(reply.header.kind == RowsKind::applied);
    CHECK(reply.header.sequence == 1);
    CHECK(reply.peer == "peer-" + std::to_string(reply.header.trainer));
  }
  CHECK(value_of(shard, 5) == -2);
  CHECK(value_of(shard, 9) == -3);
  CHECK(shard.on(push(0, 1, {5}, 6, 2))[0].header.kind == RowsKind::applied);  // late: answered alone
  CHECK(value_of(shard, 5) == -2);
  CHECK(shard.on(create(1, false))[0].header.sequence == 1);
  CHECK(refusal(shard.on(push(0, 3, {5}, 6, 2))) == "step 3 is pushed, step 2 is due");
}

TEST_CASE("what makes no sense is refused in words and changes nothing", "[ps][rows]") {
  RowService shard = service(0, 2);
  CHECK(refusal(shard.on(pull(0, {1}))) == "nobody created table 7");
  RowArrival bad = create(0, true);
  bad.header.spec.width = 0;
  CHECK(refusal(shard.on(bad)).find("width") != std::string::npos);
  (void)shard.on(create(0, true));
  CHECK(shard.on(create(1, true))[0].header.kind == RowsKind::created);
  CHECK(refusal(shard.on(create(1, false))) == "table 7 is there with other settings");

  std::vector<std::uint64_t> own, others;
  for (std::uint64_t id = 0; own.size() < 3 || others.empty(); ++id)
    (rows::owner_of({rows::Spread::hash, 2}, id) == 0 ? own : others).push_back(id);
  const auto refused = [&](auto change) {
    RowArrival message = push(0, 1, {own[0]}, 1);
    change(message);
    return refusal(shard.on(message));
  };
  CHECK(refused([](RowArrival& a) { a.header.incarnation = 2; }) ==
        "of incarnation 2; this shard is of incarnation 1");
  CHECK(refused([](RowArrival& a) { a.header.job = 2; }) == "of job 2; this shard is of job 1");
  CHECK(refused([](RowArrival& a) { a.header.trainer = 3; }) == "of rank 3; there are 3 trainers");
  CHECK(refused([](RowArrival& a) { a.header.shard = 1; }) == "for shard 1; this is shard 0");
  CHECK(refused([](RowArrival& a) { a.header.sequence = 0; }) == "a push has a number from 1 on");
  CHECK(refused([](RowArrival& a) { a.header.samples = 0; }) == "rows of no sample");
  CHECK(
      refused([](RowArrival& a) { a.header.sequence = 65; }).starts_with("push 65 came, push 1 is missing"));
  CHECK(refused([](RowArrival& a) { a.header.count = 0; }).find("a row of this table has 4 floats") !=
        std::string::npos);
  CHECK(refused([](RowArrival& a) { a.header.count = protocol::rows_bytes_max; }).find("bytes for") !=
        std::string::npos);
  CHECK(refused([](RowArrival& a) { a.payload = {}; }).find("bytes for 1 rows of 4 floats") !=
        std::string::npos);
  CHECK(refused([&](RowArrival& a) {
          a = push(0, 1, {own[1], own[0]}, 1);
        }).find("ascending") != std::string::npos);
  CHECK(refused([&](RowArrival& a) { a = push(0, 1, {others[0]}, 1); }) ==
        "row " + std::to_string(others[0]) + " is shard 1's");
  RowArrival wide = pull(0, {own[0]});
  wide.header.count = protocol::rows_bytes_max;
  CHECK(refusal(shard.on(wide)).find("ask for fewer than") != std::string::npos);
  CHECK(shard.table(number)->clock() == 0);
  CHECK(shard.table(number)->counts().rows == 0);
  // The right one still goes in.
  CHECK(shard.on(push(0, 1, {own[0]}, 1))[0].header.kind == RowsKind::applied);
}

TEST_CASE("a job that clips by norm or keeps averages has no tables of rows", "[ps][rows]") {
  config::TrainSection clips = plain_sgd(), averages = plain_sgd();
  clips.clip.norm = 1;
  averages.ema.emplace();
  for (const auto& train : {clips, averages}) {
    RowService shard({.job = 1, .incarnation = 1, .trainers = trainers}, train, "");
    CHECK(refusal(shard.on(create(0, false))).starts_with("train."));
  }
}

TEST_CASE("pushes over a line that loses, doubles and reorders are in the table exactly once", "[ps][rows]") {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Random random(seed);
    RowService shard = service();
    BadLine<RowArrival> to_shard(seed + 100);
    std::vector<BadLine<RowReply>> to_trainer;
    for (std::uint32_t rank = 0; rank < trainers; ++rank) {
      (void)shard.on(create(rank, true));
      to_trainer.emplace_back(seed * 10 + rank);
    }
    constexpr std::uint64_t pushes = 60;
    constexpr std::size_t under_way = 8;
    struct Trainer {
      std::uint64_t begun = 0;
      std::map<std::uint64_t, RowArrival> open;  // sent, not acknowledged
    };
    std::vector<Trainer> all(trainers);
    std::map<std::uint64_t, float> acknowledged;  // sums by id
    std::map<std::uint64_t, std::vector<std::pair<std::uint64_t, float>>> content;
    bool busy = true;
    for (int round = 0; busy; ++round) {
      REQUIRE(round < 20'000);
      busy = false;
      for (std::uint32_t rank = 0; rank < trainers; ++rank) {
        Trainer& trainer = all[rank];
        while (trainer.open.size() < under_way && trainer.begun < pushes) {
          std::vector<std::uint64_t> ids;
          for (std::uint64_t id = 0; id < 10; ++id)
            if (random.chance(0.4)) ids.push_back(id);
          const auto value = static_cast<float>(random.below(50));
          const std::uint64_t sequence = ++trainer.begun;
          trainer.open[sequence] = push(rank, sequence, ids, value);
          for (const std::uint64_t id : ids) content[rank * 1000 + sequence].push_back({id, value});
        }
        for (const auto& [sequence, message] : trainer.open)
          if (random.chance(0.3)) to_shard.put(message);  // the first time, or again
        while (const auto reply = to_trainer[rank].take()) {
          // An open push may lie 64 or more beyond one that is still missing: it is sent again later.
          if (reply->header.kind == RowsKind::refused) continue;
          if (trainer.open.erase(reply->header.sequence) == 0) continue;
          for (const auto& [id, value] : content[rank * 1000 + reply->header.sequence])
            acknowledged[id] -= value;
        }
        busy = busy || !trainer.open.empty() || trainer.begun < pushes;
      }
      for (int i = 0; i < 8; ++i)
        if (const auto message = to_shard.take())
          for (const RowReply& reply : shard.on(*message)) to_trainer[reply.header.trainer].put(reply);
    }
    for (const auto& [id, sum] : acknowledged) REQUIRE(value_of(shard, id) == sum);
    REQUIRE(shard.table(number)->clock() == pushes * trainers);
  }
}

TEST_CASE("steps over a line that loses, doubles and reorders are applied exactly once", "[ps][rows]") {
  RowService shard = service();
  for (std::uint32_t rank = 0; rank < trainers; ++rank) (void)shard.on(create(rank, false));
  Random random(5);
  BadLine<RowArrival> to_shard(6);
  BadLine<RowReply> to_trainers(7);
  std::vector<RowArrival> old;
  float sum = 0;
  for (std::uint64_t step = 1; step <= 100; ++step) {
    std::map<std::uint32_t, RowArrival> open;
    for (std::uint32_t rank = 0; rank < trainers; ++rank) {
      const auto value = static_cast<float>(random.below(20));
      sum -= value;
      open[rank] = push(rank, step, {3}, value * trainers);
    }
    for (int round = 0; !open.empty(); ++round) {
      REQUIRE(round < 10'000);
      for (const auto& [rank, message] : open) to_shard.put(message);
      if (!old.empty() && random.chance(0.5)) to_shard.put(old[random.below(old.size())]);
      for (int i = 0; i < 4; ++i)
        if (const auto message = to_shard.take())
          for (const RowReply& reply : shard.on(*message)) to_trainers.put(reply);
      while (const auto reply = to_trainers.take()) {
        if (reply->header.sequence != step) continue;
        const auto it = open.find(reply->header.trainer);
        if (it == open.end()) continue;
        old.push_back(it->second);
        open.erase(it);
      }
    }
    REQUIRE(value_of(shard, 3) == sum);
  }
}

TEST_CASE("tables go on on another number of shards from what they saved", "[ps][rows]") {
  config::TrainSection train = plain_sgd();
  train.optimizer = config::optimizer_defaults(config::OptimizerKind::adam);
  const auto gang = [&](std::uint32_t shards, std::uint32_t incarnation) {
    std::deque<RowService> out;
    for (std::uint32_t i = 0; i < shards; ++i) {
      out.emplace_back(
          Identity{.job = 1, .incarnation = incarnation, .shard = i, .trainers = 1, .shards = shards}, train,
          "");
    }
    return out;
  };
  const auto steps = [](std::deque<RowService>& shards, std::uint32_t incarnation, std::uint64_t from,
                        std::uint64_t to) {
    const rows::Partition partition{rows::Spread::hash, static_cast<std::uint32_t>(shards.size())};
    for (std::uint32_t i = 0; i < shards.size(); ++i) {
      RowArrival begin = create(0, false);
      begin.header.incarnation = incarnation;
      begin.header.shard = i;
      REQUIRE(shards[i].on(begin)[0].header.sequence == from);
    }
    for (std::uint64_t step = from + 1; step <= to; ++step) {
      for (std::uint32_t i = 0; i < shards.size(); ++i) {
        std::vector<std::uint64_t> ids;
        for (std::uint64_t id = step % 3; id < 60; id += 3)
          if (rows::owner_of(partition, id) == i) ids.push_back(id);
        RowArrival message = push(0, step, ids, static_cast<float>(step) / 7);
        message.header.incarnation = incarnation;
        message.header.shard = i;
        REQUIRE(shards[i].on(message)[0].header.kind == RowsKind::applied);
      }
    }
  };
  const auto values = [](const std::deque<RowService>& shards) {
    std::vector<float> out;
    for (std::uint64_t id = 0; id < 60; ++id) {
      const rows::Partition partition{rows::Spread::hash, static_cast<std::uint32_t>(shards.size())};
      std::vector<float> row(width);
      REQUIRE(shards[rows::owner_of(partition, id)].table(number)->pull({&id, 1}, row).has_value());
      out.insert(out.end(), row.begin(), row.end());
    }
    return out;
  };
  auto whole = gang(1, 1);
  steps(whole, 1, 0, 20);
  auto before = gang(3, 1);
  steps(before, 1, 0, 11);
  std::vector<std::string> files;
  for (const RowService& shard : before) {
    files.emplace_back();
    REQUIRE(shard
                .save(number,
                      [&](std::vector<std::byte> piece) -> Status {
                        files.back().append(reinterpret_cast<const char*>(piece.data()), piece.size());
                        return {};
                      })
                .has_value());
  }
  auto after = gang(2, 2);
  for (RowService& shard : after) shard.restore(number, files);
  steps(after, 2, 11, 20);
  CHECK(values(after) == values(whole));

  auto broken = gang(1, 3);
  files[1][9] = static_cast<char>(files[1][9] ^ 1);
  broken[0].restore(number, files);
  RowArrival begin = create(0, false);
  begin.header.incarnation = 3;
  CHECK(refusal(broken[0].on(begin)).starts_with("saved rows: "));
  CHECK(broken[0].save(99, {}).error().code == Errc::not_found);
}

}  // namespace trainyard::ps
