#include "common/base/check.hpp"
#include "daemons/trainer/exchange.hpp"
#include "daemons/trainer/flat.hpp"

namespace trainyard::trainer {

LocalExchange::LocalExchange(const config::TrainSection& train, std::vector<optim::TensorSize> tensors,
                             std::uint64_t steps_per_epoch)
    : train_(train), steps_per_epoch_(steps_per_epoch) {
  const bool whole = optim::needs_whole_tensors(train.optimizer.kind);
  slices_ = optim::slice_over(tensors, 1, whole ? optim::slice_floats_whole : optim::slice_floats_usual);
}

Status LocalExchange::restore(std::string_view bytes) {
  auto table = optim::Table::load(train_, bytes);
  if (!table) return table.error();
  if (table->slices() != slices_ || table->steps_per_epoch() != steps_per_epoch_) {
    return Error{
        Errc::corrupt,
        "the checkpoint is of another model, batch size, data set or settings of tensors than the job"};
  }
  table_ = std::move(*table);
  return {};
}

Result<std::uint64_t> LocalExchange::begin(std::span<float> values) {
  if (!table_) {
    std::vector<float> own;
    gather(slices_, values, own);
    auto table = optim::Table::make(train_, slices_, steps_per_epoch_, std::move(own));
    if (!table) return table.error();
    table_ = std::move(*table);
    table_->begin_at(first_);
  }
  scatter(slices_, *table_->values(), values);
  return table_->step();
}

void LocalExchange::replace(std::span<const float> values) {
  std::vector<float> own;
  own.reserve(table_->size());
  gather(slices_, values, own);
  table_->replace(own);
}

Result<Stepped> LocalExchange::step(const Push& push, std::span<float> values) {
  check(push.step == table_->step() + 1, "steps come one after the other");
  optim::Contribution own{push.samples, push.gradients, push.rows};
  if (push.samples > 0 && table_->size() != push.gradients.size()) {  // something is frozen
    gathered_.resize(table_->size());
    std::size_t at = 0;
    for (const optim::Slice& slice : slices_) {
      if (slice.row == 0)
        std::copy_n(push.gradients.data() + slice.offset, slice.length, gathered_.data() + at);
      at += slice.length;
    }
    own.gradients = gathered_;
  }
  table_->apply(std::span(&own, 1));
  take_values(push, values);
  return Stepped{push.marks.ending, push.step, 0};
}

/// What the step changed: of a tensor with rows, those.
void LocalExchange::take_values(const Push& push, std::span<float> values) const {
  if (!table_->by_rows()) return scatter(slices_, *table_->values(), values);
  const optim::Table::Values from = table_->values();
  std::size_t at = 0;
  for (const optim::Slice& slice : slices_) {
    const float* const own = from->data() + at;
    if (slice.row == 0) std::copy_n(own, slice.length, values.data() + slice.offset);
    for (const tensor::RowGradient& part : push.rows) {
      if (slice.row == 0 || part.offset != slice.offset || push.samples == 0) continue;
      for (const std::int32_t id : part.ids) {
        const std::size_t row = static_cast<std::size_t>(id) * slice.row;
        std::copy_n(own + row, slice.row, values.data() + slice.offset + row);
      }
    }
    at += slice.length;
  }
}

Status LocalExchange::averages(std::span<float> values) {
  const auto averages = table_->averages();
  check(averages != nullptr, "averages are asked for where they are kept");
  scatter(slices_, *averages, values);
  return {};
}

std::optional<optim::Table::Saved> LocalExchange::own_state() const {
  return table_ ? std::optional(table_->save()) : std::nullopt;
}

}  // namespace trainyard::trainer
