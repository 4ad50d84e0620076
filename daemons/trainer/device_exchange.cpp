#include "daemons/trainer/device_exchange.hpp"

#include "common/base/check.hpp"
#include "daemons/trainer/flat.hpp"

namespace trainyard::trainer {

namespace {

/// Places of what a table saves behind its values, in its order.
std::vector<std::size_t> places_of(const config::TrainSection& train) {
  std::vector<std::size_t> places;
  for (const optim::RuleArray& array : optim::rule_arrays(train.optimizer)) places.push_back(array.place);
  if (train.ema) places.push_back(tensor::kUpdateAverage);
  return places;
}

}  // namespace

const tensor::UpdateStep& DeviceExchange::next(std::uint32_t samples) {
  step_ = rule_.step(table_->rate(table_->step() + 1), table_->next_update(), samples);
  return step_;
}

Result<std::uint64_t> DeviceExchange::begin(std::span<float> values) {
  auto step = LocalExchange::begin(values);
  if (!step) return step.error();
  if (const Status kept = network_.keep(rule_.plan()); !kept) return kept.error();
  const optim::Table::Saved saved = table_->save();
  const std::vector<std::size_t> places = places_of(train_);
  check(places.size() == saved.arrays.size(), "a table saves what its rule keeps");
  std::vector<float> flat(values.size());
  for (std::size_t i = 0; i < places.size(); ++i) {
    scatter(slices_, saved.arrays[i], flat);
    network_.write_kept(places[i], flat);
  }
  return step;
}

Result<Stepped> DeviceExchange::step(const Push& push, std::span<float>) {
  check(push.step == table_->step() + 1, "steps come one after the other");
  table_->pass(push.samples > 0);
  return Stepped{push.marks.ending, push.step, 0};
}

Status DeviceExchange::averages(std::span<float> values) {
  std::vector<float> flat(values.size());
  network_.read_kept(tensor::kUpdateAverage, flat);
  for (const optim::Slice& slice : slices_)
    std::copy_n(flat.data() + slice.offset, slice.length, values.data() + slice.offset);
  return {};
}

std::optional<optim::Table::Saved> DeviceExchange::own_state() const {
  if (!table_) return std::nullopt;
  optim::Table::Saved saved = table_->save();
  const auto owned = [&](std::span<const float> flat) {
    std::vector<float> out;
    gather(slices_, flat, out);
    return out;
  };
  saved.values = std::make_shared<const std::vector<float>>(owned(network_.look()));
  const std::vector<std::size_t> places = places_of(train_);
  std::vector<float> flat(network_.model().length);
  for (std::size_t i = 0; i < places.size(); ++i) {
    network_.read_kept(places[i], flat);
    saved.arrays[i] = owned(flat);
  }
  return saved;
}

}  // namespace trainyard::trainer
