// A checkpoint of some shards goes on over another number of them, to the bit.
#include <catch2/catch.hpp>

#include "common/base/random.hpp"
#include "common/optim/slices.hpp"
#include "daemons/ps/core.hpp"

namespace trainyard::ps {

namespace {

using protocol::DataHeader;
using protocol::DataKind;

constexpr std::uint32_t trainers = 2;
const std::vector<optim::TensorSize> tensors{
    {.length = 700, .decay = 0.01}, {.length = 13, .kind = 1}, {.length = 40, .kind = 2}, {.length = 301}};
constexpr std::uint64_t floats = 700 + 13 + 40 + 301;

std::string bytes_of(const SavedPart& saved) {
  std::string out;
  for (const auto piece : saved.pieces())
    out.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  return out;
}

/// All shards of a gang.
class Shards {
 public:
  Shards(std::uint32_t count, config::TrainSection train, config::StrategySection strategy)
      : strategy_(strategy), slices_(optim::slice_over(tensors, count, 100)) {
    for (std::uint32_t i = 0; i < count; ++i)
      cores_.emplace_back(
          Identity{.job = 1, .incarnation = 1, .shard = i, .trainers = trainers, .shards = count}, train,
          strategy);
  }
  void restore(const std::vector<std::string>& parts) {
    for (Core& core : cores_) REQUIRE(core.restore_from_others(parts).has_value());
  }
  /// Rank 0 gives these, where nothing was restored.
  void begin(const std::vector<float>& values) {
    for (std::uint32_t i = 0; i < cores_.size(); ++i) {
      DataHeader init = header(DataKind::init, 0);
      init.steps_per_epoch = 50;
      for (const optim::Slice& slice : slices_)
        if (slice.shard == i)
          init.slices.push_back({slice.offset, slice.length, static_cast<protocol::SliceKind>(slice.kind),
                                 slice.rate, slice.decay});
      for (const Reply& reply : cores_[i].on(arrival(init, i, values)).replies) FAIL(reply.header.reason);
      for (std::uint32_t trainer = 0; trainer < trainers; ++trainer)
        sequence_ = cores_[i].on({"", header(DataKind::pull, trainer), {}}).replies.at(0).header.sequence;
    }
  }
  /// One step of each trainer; `save`: the parts of a checkpoint after it.
  std::vector<std::string> step(Random& random, bool save = false) {
    std::vector<std::string> parts;
    ++sequence_;
    for (std::uint32_t trainer = 0; trainer < trainers; ++trainer) {
      std::vector<float> gradients(floats);
      for (float& each : gradients) each = static_cast<float>(random.normal());
      for (std::uint32_t i = 0; i < cores_.size(); ++i) {
        DataHeader push = header(DataKind::push, trainer);
        push.sequence = sequence_;
        push.samples = 3;
        if (save && trainer == 0) push.checkpoint = 77;
        if (save && trainer > 0) push.cut = 0;
        const Outcome outcome = cores_[i].on(arrival(push, i, gradients));
        for (const Reply& reply : outcome.replies) REQUIRE(reply.header.kind == DataKind::values);
        for (const SavedPart& saved : outcome.saves) parts.push_back(bytes_of(saved));
      }
    }
    if (save && !config::in_step(strategy_.update)) {  // the cut is whole once the other one has marked it
      DataHeader mark = header(DataKind::mark, 1);
      mark.sequence = sequence_;
      mark.cut = 77;
      for (Core& core : cores_)
        for (const SavedPart& saved : core.on({"", mark, {}}).saves) parts.push_back(bytes_of(saved));
    }
    return parts;
  }
  std::vector<float> values() const {
    std::vector<float> flat(floats);
    std::vector<std::size_t> at(cores_.size(), 0);
    for (const optim::Slice& slice : slices_) {
      const auto& own = *cores_[slice.shard].table()->values();
      std::copy_n(own.data() + at[slice.shard], slice.length, flat.data() + slice.offset);
      at[slice.shard] += slice.length;
    }
    return flat;
  }
  std::uint64_t sequence() const { return sequence_; }
  std::vector<Core>& cores() { return cores_; }

 private:
  static DataHeader header(DataKind kind, std::uint32_t trainer) {
    return {.kind = kind, .job = 1, .incarnation = 1, .trainer = trainer};
  }
  Arrival arrival(const DataHeader& head, std::uint32_t shard, const std::vector<float>& flat) const {
    const auto own = std::make_shared<std::vector<float>>();
    for (const optim::Slice& slice : slices_)
      if (slice.shard == shard)
        own->insert(own->end(), flat.begin() + static_cast<std::ptrdiff_t>(slice.offset),
                    flat.begin() + static_cast<std::ptrdiff_t>(slice.offset + slice.length));
    return {"peer", head, {std::as_bytes(std::span(*own)), own}};
  }

  config::StrategySection strategy_;
  std::vector<optim::Slice> slices_;
  std::vector<Core> cores_;
  std::uint64_t sequence_ = 0;
};

config::TrainSection adam() {
  config::TrainSection train;
  train.epochs = 1;
  train.optimizer = config::optimizer_defaults(config::OptimizerKind::adam);
  train.ema = {.decay = 0.9};
  return train;
}

}  // namespace

TEST_CASE("a checkpoint goes on over any number of shards, to the bit", "[ps]") {
  for (const auto rule : {config::UpdateRule::sync, config::UpdateRule::dc_asgd}) {
    config::StrategySection strategy{.update = rule};
    Random first(4);
    std::vector<float> begin(floats);
    for (float& each : begin) each = static_cast<float>(first.normal());
    Shards two(2, adam(), strategy);
    two.begin(begin);
    for (int i = 0; i < 5; ++i) (void)two.step(first);
    const auto parts = two.step(first, true);
    REQUIRE(parts.size() == 2);
    for (const std::uint32_t count : {1u, 3u, 5u}) {
      INFO(count << " shards");
      Shards others(count, adam(), strategy);
      others.restore(parts);
      others.begin(std::vector<float>(floats, 9.0F));  // not looked at
      CHECK(others.sequence() == 6);
      CHECK(others.values() == two.values());
      CHECK(others.cores()[0].checkpoint() == 77);
      Shards again(2, adam(), strategy);
      again.restore(parts);
      again.begin(begin);
      Random left(8), right(8);
      for (int i = 0; i < 4; ++i) {
        (void)others.step(left);
        (void)again.step(right);
        REQUIRE(others.values() == again.values());
      }
    }
  }
}

TEST_CASE("parts that are not of one checkpoint, or lack one, are told apart", "[ps]") {
  Random random(4);
  Shards two(2, adam(), {});
  two.begin(std::vector<float>(floats, 1.0F));
  const auto early = two.step(random, true);
  const auto late = two.step(random, true);
  Core core({.job = 1, .incarnation = 1, .shard = 0, .trainers = trainers, .shards = 1}, adam());
  CHECK_FALSE(core.restore_from_others(std::vector<std::string>{}).has_value());
  Shards one(1, adam(), {});
  REQUIRE(one.cores()[0].restore_from_others(std::vector<std::string>{early[0], late[1]}).has_value());
  DataHeader init{.kind = DataKind::init, .job = 1, .incarnation = 1};
  init.steps_per_epoch = 50;
  init.slices = {{0, 700, protocol::SliceKind::weight, 1, 0.01}};
  const auto mixed = one.cores()[0].on({"", init, {}});
  REQUIRE(mixed.replies.size() == 1);
  CHECK_THAT(mixed.replies[0].header.reason, Catch::Contains("different steps"));
  Shards lacking(1, adam(), {});
  REQUIRE(lacking.cores()[0].restore_from_others(std::vector<std::string>{late[0]}).has_value());
  const auto lacked = lacking.cores()[0].on({"", init, {}});
  REQUIRE(lacked.replies.size() == 1);
  CHECK_THAT(lacked.replies[0].header.reason, Catch::Contains("no part of the checkpoint has value"));
}

}  // namespace trainyard::ps
