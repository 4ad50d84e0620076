#include "daemons/trainer/local_steps.hpp"

#include <algorithm>
#include <utility>

namespace trainyard::trainer {

using config::UpdateRule;

std::vector<optim::TensorSize> LocalSteps::central(std::vector<optim::TensorSize> tensors, UpdateRule rule) {
  for (optim::TensorSize& tensor : tensors) {
    tensor.rate = 1;
    tensor.decay = 0;
    tensor.row = 0;
    if (rule == UpdateRule::local_sgd) tensor.kind = static_cast<std::uint8_t>(optim::ValueKind::buffer);
  }
  return tensors;
}

LocalSteps::LocalSteps(Settings settings, std::unique_ptr<ShardExchange> shards)
    : settings_(std::move(settings)),
      shards_(std::move(shards)),
      own_(settings_.train, settings_.tensors, settings_.steps_per_epoch) {
  for (const optim::TensorSize& tensor : settings_.tensors)
    is_buffer_.insert(is_buffer_.end(), tensor.length,
                      tensor.kind == static_cast<std::uint8_t>(optim::ValueKind::buffer));
}

Result<std::uint64_t> LocalSteps::begin(std::span<float> values) {
  const auto rounds = shards_->begin(values);
  if (!rounds) return rounds.error();
  rounds_ = *rounds;
  read_.assign(values.begin(), values.end());
  if (rounds_ > 0) {
    behind_ = config::in_step(settings_.strategy.update)
                  ? settings_.resume_step
                  : std::min(rounds_ * settings_.strategy.period, settings_.steps);
  }
  own_.begin_at(behind_);
  if (const auto begun = own_.begin(values); !begun) return begun.error();
  return behind_;
}

bool LocalSteps::exchanges(std::uint64_t step) const {
  return step % settings_.strategy.period == 0 || step >= settings_.steps;
}

Result<Stepped> LocalSteps::step(const Push& push, std::span<float> values) {
  auto stepped = own_.step(push, values);
  if (!stepped || !exchanges(push.step)) return stepped;
  return meet(push, values);
}

Result<Stepped> LocalSteps::meet(const Push& push, std::span<float> values) {
  const UpdateRule rule = settings_.strategy.update;
  std::span<const float> sent = values;
  if (rule == UpdateRule::easgd) {
    if (const Status moved = move_towards_centre(values); !moved) return moved.error();
    sent = change_;
  } else if (rule != UpdateRule::local_sgd) {
    const float share =
        rule == UpdateRule::adag ? 1.0F / static_cast<float>(settings_.strategy.period) : 1.0F;
    change_.resize(values.size());
    for (std::size_t i = 0; i < values.size(); ++i)
      change_[i] = is_buffer_[i] ? values[i] : share * (read_[i] - values[i]);
    sent = change_;
  }
  Push round{.step = ++rounds_, .samples = 1, .gradients = sent, .rows = {}, .marks = push.marks};
  round.checkpoint = push.step;
  read_.assign(values.begin(), values.end());  // what no shard owns stays
  auto met = shards_->step(round, read_);
  if (!met) return met.error();
  if (rule != UpdateRule::easgd) {
    std::copy(read_.begin(), read_.end(), values.begin());
    own_.replace(values);
  }
  met->step = push.step;
  return met;
}

Status LocalSteps::move_towards_centre(std::span<float> values) {
  if (const Status pulled = shards_->pull(read_); !pulled) return pulled;
  const auto alpha = static_cast<float>(settings_.strategy.elasticity / settings_.trainers);
  change_.resize(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (is_buffer_[i]) {
      change_[i] = values[i];
      continue;
    }
    const float elastic = alpha * (values[i] - read_[i]);
    values[i] -= elastic;
    change_[i] = -elastic;
  }
  own_.replace(values);
  return {};
}

Status LocalSteps::leave(const Marks& marks, std::uint64_t checkpoint, std::span<float> values) {
  return shards_->leave(marks, checkpoint, values);
}

}  // namespace trainyard::trainer
