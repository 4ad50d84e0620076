// Shards whose trainers do not step together, under a network that loses, repeats and delays: every push is
// in the values once, a checkpoint holds the same pushes at every shard, and nobody reads further ahead than
// the bound.
#include <catch2/catch.hpp>
#include <deque>
#include <set>

#include "common/base/random.hpp"
#include "daemons/ps/core.hpp"

namespace trainyard::ps {

namespace {

using config::UpdateRule;
using protocol::DataHeader;
using protocol::DataKind;
using protocol::Ending;

constexpr std::size_t floats = 4;

config::TrainSection plain_sgd() {
  config::TrainSection train;
  train.optimizer = {.learning_rate = 1.0, .momentum = 0.0};
  return train;
}

/// What a trainer pushes in a step: whole numbers, so that sums are exact in any order.
float gradient_of(std::uint32_t trainer, std::uint64_t step) {
  return static_cast<float>(1 + (trainer * 7 + step) % 5);
}

std::string bytes_of(const SavedPart& saved) {
  std::string out;
  for (const auto piece : saved.pieces())
    out.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  return out;
}

/// Trainers and shards, and what is under way between them. Messages of one trainer to one shard keep their
/// order, as on a connection; some are lost, and what is not answered is sent again.
class World {
 public:
  World(std::uint32_t trainers, std::uint32_t shards, config::StrategySection strategy, std::uint64_t seed,
        std::uint64_t steps)
      : strategy_(strategy), random_(seed), shards_(shards), trainers_(trainers), steps_(steps) {
    begin();
  }

  /// Until all have left. Every now and then all die, and begin again from the newest whole checkpoint.
  void run(std::uint32_t deaths) {
    for (std::uint64_t events = 0; !over(); ++events) {
      REQUIRE(events < 2'000'000);
      if (deaths > 0 && events > 500 && random_.chance(0.002)) {
        --deaths;
        ++incarnation_;
        begin();
      }
      one_event();
    }
  }

  std::uint64_t checkpoints() const { return whole_.size(); }
  std::vector<float> values(std::uint32_t shard) const { return *cores_[shard].table()->values(); }
  const Core& core(std::uint32_t shard) const { return cores_[shard]; }
  float expected() const {
    float sum = 0;
    for (std::uint32_t trainer = 0; trainer < trainers_; ++trainer)
      for (std::uint64_t step = 1; step <= people_[trainer].step; ++step) sum += gradient_of(trainer, step);
    return -sum;
  }
  std::uint64_t step_of(std::uint32_t trainer) const { return people_[trainer].step; }
  /// Rank 0 says so with its next push.
  void stop() { stop_ = true; }

 private:
  struct Trainer {
    std::uint64_t step = 0;  // pushed last
    std::uint64_t cut = 0, cut_at = 0;
    bool leaves = false, gone = false, stops = false;
    std::vector<DataHeader> sent;    // by shard: what has no answer yet
    std::set<std::uint32_t> silent;  // shards
    std::uint64_t heard_cut = 0;
  };

  DataHeader header(DataKind kind, std::uint32_t trainer) const {
    return {.kind = kind, .job = 1, .incarnation = incarnation_, .trainer = trainer};
  }

  void begin() {
    cores_.clear();
    links_.clear();
    people_.assign(trainers_, {});
    for (std::uint32_t shard = 0; shard < shards_; ++shard) {
      cores_.emplace_back(Identity{.job = 1,
                                   .incarnation = incarnation_,
                                   .shard = shard,
                                   .trainers = trainers_,
                                   .shards = shards_},
                          plain_sgd(), strategy_);
      if (!whole_.empty()) {
        REQUIRE(cores_.back().restore(newest_.at(shard)).has_value());
        CHECK(cores_.back().checkpoint() == whole_.back());
      }
      DataHeader first = header(DataKind::init, 0);
      first.slices = {{0, floats, protocol::SliceKind::weight}};
      first.steps_per_epoch = 1000;
      const auto zeros = std::make_shared<std::vector<float>>(floats, 0.0F);
      for (const Reply& reply :
           cores_.back().on({"peer-0", first, {std::as_bytes(std::span(*zeros)), zeros}}).replies)
        FAIL(reply.header.reason);
    }
    for (std::uint32_t trainer = 0; trainer < trainers_; ++trainer) {
      const auto outcome = cores_[0].on({"", header(DataKind::pull, trainer), {}});
      people_[trainer].step = outcome.replies.at(0).header.sequence;
      for (std::uint32_t shard = 1; shard < shards_; ++shard)
        CHECK(cores_[shard].on({"", header(DataKind::pull, trainer), {}}).replies.at(0).header.sequence ==
              people_[trainer].step);
    }
    if (!whole_.empty()) CHECK(people_[0].step == whole_.back());
    for (std::uint32_t trainer = 0; trainer < trainers_; ++trainer) go_on(trainer);
    parts_.clear();
  }

  bool over() const {
    return std::all_of(people_.begin(), people_.end(), [](const Trainer& one) { return one.gone; });
  }

  /// The next push, or the last word.
  void go_on(std::uint32_t trainer) {
    Trainer& me = people_[trainer];
    if (me.leaves) {
      me.gone = true;
      return;
    }
    me.sent.clear();
    me.leaves = me.step == steps_ || me.stops;
    DataHeader next = header(me.leaves ? DataKind::leave : DataKind::push, trainer);
    if (!me.leaves) {
      ++me.step;
      next.samples = 1;
      if (trainer == 0 && stop_) next.ending = Ending::stopped;
      if (trainer == 0 && next.ending == Ending::none && me.step < steps_ && random_.chance(0.1))
        next.checkpoint = me.step;
    } else if (trainer == 0) {
      next.checkpoint = me.step;
    }
    next.sequence = me.step;
    next.cut = me.cut;
    if (next.kind == DataKind::push && next.checkpoint > 0) me.cut = next.checkpoint, me.cut_at = me.step;
    for (std::uint32_t shard = 0; shard < shards_; ++shard) {
      me.sent.push_back(next);
      me.silent.insert(shard);
      links_[{trainer, shard}].push_back(next);
    }
  }

  void one_event() {
    const auto trainer = static_cast<std::uint32_t>(random_.below(trainers_));
    const auto shard = static_cast<std::uint32_t>(random_.below(shards_));
    auto& link = links_[{trainer, shard}];
    if (random_.chance(0.02) && people_[trainer].silent.contains(shard) && !people_[trainer].gone)
      link.push_back(people_[trainer].sent[shard]);  // no answer for long
    if (link.empty()) return;
    const DataHeader next = link.front();
    link.pop_front();
    if (random_.chance(0.05)) return;  // lost
    deliver(shard, next);
    if (random_.chance(0.05)) deliver(shard, next);
  }

  void deliver(std::uint32_t shard, const DataHeader& head) {
    const auto values =
        std::make_shared<std::vector<float>>(floats, gradient_of(head.trainer, head.sequence));
    Payload payload;
    if (head.kind == DataKind::push) payload = {std::as_bytes(std::span(*values)), values};
    const Outcome outcome =
        cores_[shard].on({"peer-" + std::to_string(head.trainer), head, std::move(payload)});
    for (const SavedPart& saved : outcome.saves) keep(shard, saved);
    for (const Reply& reply : outcome.replies) {
      if (random_.chance(0.05)) continue;  // lost
      hear(shard, reply.header);
    }
  }

  void keep(std::uint32_t shard, const SavedPart& saved) {
    auto& parts = parts_[saved.checkpoint];
    CHECK(parts.emplace(shard, bytes_of(saved)).second);  // each once
    if (parts.size() < shards_) return;
    // The same pushes at every shard: here, the same values and clocks.
    for (const auto& [other, bytes] : parts) CHECK(bytes == parts.begin()->second);
    whole_.push_back(saved.checkpoint);
    newest_ = parts;
    std::erase_if(parts_, [&](const auto& item) { return item.first < saved.checkpoint; });
  }

  void hear(std::uint32_t shard, const DataHeader& reply) {
    Trainer& me = people_[reply.trainer];
    if (reply.kind == DataKind::refused) FAIL(reply.reason);
    if (reply.kind == DataKind::cut) {
      if (!me.gone && !me.leaves) mark(reply.trainer, std::max(reply.cut, me.cut), shard);
      return;
    }
    if (me.gone || !me.silent.contains(shard) || reply.sequence < me.step || (me.leaves && !reply.last))
      return;
    if (strategy_.update == UpdateRule::ssp) {
      for (const Trainer& other : people_) {
        if (!other.leaves)  // what it has pushed beyond doubt
          CHECK(other.step + strategy_.staleness + 1 > me.step);
      }
    }
    me.silent.erase(shard);
    me.heard_cut = std::max(me.heard_cut, reply.cut);
    me.stops = me.stops || reply.ending != Ending::none;
    if (!me.silent.empty()) return;
    if (me.heard_cut > me.cut) mark(reply.trainer, me.heard_cut, shard);
    go_on(reply.trainer);
  }

  /// After its newest push, at all shards; again to the one that asks again.
  void mark(std::uint32_t trainer, std::uint64_t cut, std::uint32_t asks) {
    Trainer& me = people_[trainer];
    const bool again = cut == me.cut;
    if (!again) me.cut_at = me.step;
    me.cut = cut;
    DataHeader mark = header(DataKind::mark, trainer);
    mark.sequence = me.cut_at;
    mark.cut = cut;
    for (std::uint32_t each = 0; each < shards_; ++each)
      if (!again || each == asks) links_[{trainer, each}].push_back(mark);
  }

  config::StrategySection strategy_;
  Random random_;
  std::uint32_t shards_, trainers_, incarnation_ = 1;
  std::uint64_t steps_;
  bool stop_ = false;
  std::vector<Core> cores_;
  std::vector<Trainer> people_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::deque<DataHeader>> links_;  // trainer, shard
  std::map<std::uint64_t, std::map<std::uint32_t, std::string>> parts_;              // checkpoint -> shard
  std::map<std::uint32_t, std::string> newest_;                                      // parts of whole_.back()
  std::vector<std::uint64_t> whole_;  // checkpoints that all shards have saved
};

}  // namespace

TEST_CASE("every push is in the values once, through losses, repeats, checkpoints and deaths", "[ps]") {
  std::uint64_t checkpoints = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    const auto trainers = static_cast<std::uint32_t>(1 + random.below(4));
    const auto shards = static_cast<std::uint32_t>(1 + random.below(3));
    const bool bounded = random.chance(0.5);
    config::StrategySection strategy{.update = bounded ? UpdateRule::ssp : UpdateRule::async};
    strategy.staleness = static_cast<std::uint32_t>(random.below(4));
    INFO("seed " << seed << ", trainers " << trainers << ", shards " << shards);
    World world(trainers, shards, strategy, seed, 60);
    world.run(static_cast<std::uint32_t>(random.below(4)));
    for (std::uint32_t trainer = 0; trainer < trainers; ++trainer) CHECK(world.step_of(trainer) == 60);
    for (std::uint32_t shard = 0; shard < shards; ++shard) {
      CHECK(world.values(shard) == std::vector<float>(floats, world.expected()));
      CHECK(world.core(shard).step() == trainers * 60);
    }
    checkpoints += world.checkpoints();
  }
  CHECK(checkpoints > 200);
}

TEST_CASE("who stops before the last step takes the others along, and all they pushed is saved", "[ps]") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    World world(3, 2, {.update = UpdateRule::async}, seed, 1000);
    world.stop();
    world.run(0);
    CHECK(world.step_of(0) == 2);  // one was under way
    CHECK(world.values(0) == std::vector<float>(floats, world.expected()));
    CHECK(world.values(1) == world.values(0));
    CHECK(world.checkpoints() >= 1);
  }
}

}  // namespace trainyard::ps
