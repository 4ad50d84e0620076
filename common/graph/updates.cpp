#include "common/graph/updates.hpp"

#include <cmath>
#include <cstring>

#include "common/base/check.hpp"

namespace trainyard::graph {

Result<std::unique_ptr<Updates>> Updates::make(const ops::Backend& backend, const tensor::UpdatePlan& plan,
                                               const Padded& padded) {
  std::unique_ptr<Updates> made(new Updates(backend, plan, static_cast<std::int64_t>(padded.length())));
  ops::Device& device = made->device_;
  Status taken;
  const auto take = [&](ops::Block& block, Result<ops::Block> of) {
    if (of)
      block = std::move(*of);
    else
      taken = of.error().with("what the optimizer keeps");
  };
  for (std::size_t i = 0; i < made->arrays_.size() && taken; ++i)
    if (i == tensor::kUpdateAverage ? plan.average : plan.arrays[i])
      take(made->arrays_[i], ops::Block::of_device(device, padded.length() * sizeof(float)));
  const std::vector<std::uint8_t> groups = padded.stretched(plan.groups);
  if (taken) take(made->groups_, ops::Block::of_device(device, groups.size()));
  if (taken) take(made->step_, ops::Block::of_device(device, sizeof(tensor::UpdateStep)));
  if (taken) take(made->norm_, ops::Block::of_device(device, sizeof(ops::UpdateNorm)));
  if (taken) take(made->scratch_, ops::Block::of_device(device, ops::update_scratch_bytes(made->length_)));
  if (taken) take(made->step_here_, ops::Block::of_host(device, sizeof(tensor::UpdateStep)));
  if (taken) take(made->norm_here_, ops::Block::of_host(device, sizeof(ops::UpdateNorm)));
  if (!taken) return taken.error();
  device.copy_in(made->groups_.data(), groups.data(), groups.size());
  if (const Status done = device.wait(); !done) return done.error();
  return made;
}

void Updates::set(const tensor::UpdateStep& step) { std::memcpy(step_here_.data(), &step, sizeof(step)); }

Status Updates::enqueue(const float* gradients, float* values, const ops::Outcome* outcome) {
  device_.copy_in(step_.data(), step_here_.data(), sizeof(tensor::UpdateStep));
  ops::UpdateMemory at{.length = length_,
                       .groups = reinterpret_cast<const std::uint8_t*>(groups_.data()),
                       .gradients = gradients,
                       .values = values,
                       .step = reinterpret_cast<const tensor::UpdateStep*>(step_.data()),
                       .outcome = outcome,
                       .norm = reinterpret_cast<ops::UpdateNorm*>(norm_.data()),
                       .scratch = scratch_.data()};
  for (std::size_t i = 0; i < arrays_.size(); ++i) at.arrays[i] = reinterpret_cast<float*>(arrays_[i].data());
  if (const Status done = backend_.update(plan_, at); !done) return done;
  device_.copy_out(norm_here_.data(), norm_.data(), sizeof(ops::UpdateNorm));
  return {};
}

bool Updates::finite() const {
  const auto& norm = *reinterpret_cast<const ops::UpdateNorm*>(norm_here_.data());
  return std::isfinite(norm.square_sum) && std::isfinite(norm.buffers);
}

}  // namespace trainyard::graph
