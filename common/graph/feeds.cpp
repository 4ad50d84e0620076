#include "common/graph/feeds.hpp"

#include <cstring>

#include "common/base/check.hpp"
#include "common/graph/narrow.hpp"

namespace trainyard::graph {

namespace {

constexpr std::size_t kAlignment = 256;

}  // namespace

std::size_t Feeds::bytes_of(const External& external, std::uint32_t count) const {
  if (external.name == "keys") return count * sizeof(std::uint64_t);
  if (external.bytes > 0) return external.bytes;
  return static_cast<std::size_t>(external.of.shape.with_batch(count).elements()) *
         tensor::size_of(external.of.type);
}

Status Feeds::reserve(std::uint32_t batch_max) {
  std::size_t all = 0;
  for (const External& external : graph_.externals) {
    offsets_.push_back(all);
    all += (bytes_of(external, batch_max) + kAlignment - 1) / kAlignment * kAlignment;
  }
  for (Slot& slot : slots_) {
    auto host = ops::Block::of_host(device_, all);
    if (!host) return host.error();
    auto device = ops::Block::of_device(device_, all);
    if (!device) return device.error();
    slot.host = std::move(*host);
    slot.device = std::move(*device);
    for (std::size_t i = 0; i < graph_.externals.size(); ++i) {
      slot.externals.push_back(slot.device.data() + offsets_[i]);
      if (i >= own_inputs_ && graph_.externals[i].name == "outcome") slot.outcome = slot.externals.back();
    }
  }
  return {};
}

const void* Feeds::source(std::size_t index, const Feed& feed) const {
  if (index < own_inputs_) return feed.inputs[index];
  const std::string& name = graph_.externals[index].name;
  if (name == "labels") return feed.labels;
  if (name == "keys") return feed.keys.data();
  if (name == "step") return &feed.step;
  check(name == "outcome" || name == kLossScale, "an external of a network has a source");
  return nullptr;
}

void Feeds::fill(std::size_t slot, const Feed& feed) {
  for (std::size_t i = 0; i < graph_.externals.size(); ++i) {
    const void* const from = source(i, feed);
    if (from != nullptr) copy(slot, i, from, bytes_of(graph_.externals[i], feed.count));
  }
}

void Feeds::scale_loss(std::size_t slot, float scale) {
  for (std::size_t i = own_inputs_; i < graph_.externals.size(); ++i)
    if (graph_.externals[i].name == kLossScale) copy(slot, i, &scale, sizeof(scale));
}

void Feeds::copy(std::size_t slot, std::size_t index, const void* from, std::size_t bytes) {
  std::byte* const host = slots_[slot].host.data() + offsets_[index];
  std::memcpy(host, from, bytes);
  device_.copy_in_beside(slots_[slot].device.data() + offsets_[index], host, bytes);
}

}  // namespace trainyard::graph
