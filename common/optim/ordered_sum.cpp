#include "common/optim/ordered_sum.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "common/base/check.hpp"
#include "common/optim/kernels.hpp"

namespace trainyard::optim {

namespace {

// Below, waking a team of threads costs more than it saves.
constexpr std::size_t parallel_floats_min = std::size_t{1} << 18;

/// sum = left + right; sum may be left.
void add_to(const float* left, const float* right, float* sum, std::size_t size) {
  const auto& kernels = kernels::best();
  const auto blocks = static_cast<std::int64_t>((size + kernels::block_floats - 1) / kernels::block_floats);
#pragma omp parallel for schedule(static) if (size >= parallel_floats_min)
  for (std::int64_t block = 0; block < blocks; ++block) {
    const kernels::DenormalsAsZero as_in_updates;
    const std::size_t begin = static_cast<std::size_t>(block) * kernels::block_floats;
    const std::size_t length = std::min(kernels::block_floats, size - begin);
    const std::array<const float*, 2> parts{left, right};
    std::array<float, kernels::block_floats> out;
    kernels.sum(parts.data(), parts.size(), begin, length, 1.0F, out.data());
    std::copy_n(out.data(), length, sum + begin);
  }
}

}  // namespace

bool OrderedSum::add(std::uint32_t samples, std::span<const float> gradients,
                     std::shared_ptr<const void> owner) {
  if (samples == 0) return true;
  if (samples > std::numeric_limits<std::uint32_t>::max() - samples_) return false;
  samples_ += samples;
  if (++count_ == 1) {
    first_ = gradients;
    owner_ = std::move(owner);
    return true;
  }
  check(gradients.size() == first_.size(), "contributions have one size");
  sum_.resize(gradients.size());
  add_to(first_.data(), gradients.data(), sum_.data(), sum_.size());
  first_ = sum_;
  owner_.reset();
  return true;
}

Contribution OrderedSum::sum() const { return {samples_, first_, {}}; }

void OrderedSum::clear() {
  samples_ = 0;
  count_ = 0;
  first_ = {};
  owner_.reset();
}

}  // namespace trainyard::optim
