#include "tests/bench/replay.hpp"

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>

#include "common/base/check.hpp"
#include "common/optim/parameters.hpp"

namespace trainyard::bench {

using protocol::DataHeader;
using protocol::DataKind;

namespace {

DataHeader header(DataKind kind, std::uint32_t trainer, std::uint64_t sequence) {
  return {.kind = kind, .job = 1, .incarnation = 1, .trainer = trainer, .sequence = sequence};
}

ps::Payload copy_of(std::span<const float> floats) {
  const auto own = std::make_shared<const std::vector<float>>(floats.begin(), floats.end());
  return {std::as_bytes(std::span(*own)), own};
}

std::vector<protocol::SliceInfo> slices_of(const graph::Network& network, const config::TrainSection& train) {
  std::vector<optim::NamedTensor> names;
  for (const graph::TensorInfo& tensor : network.tensors())
    names.push_back({tensor.name, tensor.length, static_cast<optim::ValueKind>(tensor.kind)});
  const auto sizes = optim::tensor_sizes(train, names);
  check(sizes.has_value(), "no setting of single tensors");
  std::vector<protocol::SliceInfo> slices;
  for (const optim::Slice& slice : optim::slice_over(*sizes, 1))
    slices.push_back(
        {slice.offset, slice.length, static_cast<protocol::SliceKind>(slice.kind), slice.rate, slice.decay});
  return slices;
}

}  // namespace

Replay::Replay(graph::Network& network, const ReplaySettings& settings)
    : network_(network),
      settings_(settings),
      core_({.job = 1, .incarnation = 1, .shard = 0, .trainers = settings.trainers, .shards = 1},
            settings.train, settings.strategy),
      read_(settings.trainers),
      steps_(settings.trainers, 0),
      random_(settings.seed) {
  check(!config::steps_locally(settings.strategy.update), "trainers push every batch");
  DataHeader first = header(DataKind::init, 0, 0);
  first.slices = slices_of(network, settings.train);
  // The schedule counts updates, of which a round makes one where trainers step together.
  const std::uint64_t pushes_an_update = config::in_step(settings.strategy.update) ? settings.trainers : 1;
  first.steps_per_epoch = std::max<std::uint64_t>(1, settings.pushes_per_epoch / pushes_an_update);
  take(core_.on({"", first, copy_of(network.look())}));
  for (std::uint32_t rank = 0; rank < settings.trainers; ++rank)
    take(core_.on({"", header(DataKind::pull, rank, 0), {}}));
}

void Replay::take(const ps::Outcome& outcome) {
  for (const ps::Reply& reply : outcome.replies) {
    check(reply.header.kind == DataKind::values, "the shard refuses nothing that a trainer may do");
    read_[reply.header.trainer] = reply.values;
  }
}

std::uint32_t Replay::next_turn() {
  if (round_.empty()) {
    round_.resize(settings_.trainers);
    std::iota(round_.rbegin(), round_.rend(), 0U);
    if (settings_.turns == Turns::shuffled) random_.shuffle(round_);
  }
  const std::uint32_t rank = round_.back();
  round_.pop_back();
  return rank;
}

graph::StepResult Replay::push(std::span<const float> images, std::span<const std::int32_t> labels,
                               std::span<const std::uint64_t> keys) {
  const std::uint32_t rank = next_turn();
  const std::vector<float>& read = *read_[rank];
  std::copy(read.begin(), read.end(), network_.values().begin());
  const std::uint64_t step = ++steps_[rank];
  const graph::StepResult result = network_.train_step(images, labels, keys, step);
  if (!result.finite) return result;
  DataHeader push = header(DataKind::push, rank, step);
  push.samples = static_cast<std::uint32_t>(labels.size());
  take(core_.on({"", push, copy_of(network_.gradients())}));
  return result;
}

}  // namespace trainyard::bench
