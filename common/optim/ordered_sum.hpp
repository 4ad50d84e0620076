// The sum of contributions that come one after the other, in their order: bit for bit what Table::apply makes
// of all of them at once, so that each can be let go of as soon as it is in. Pure; belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/optim/table.hpp"

namespace trainyard::optim {

class OrderedSum {
 public:
  /// The next contribution in order; all have one size, none has rows. The first one is kept by its owner
  /// and not copied, the others are read now. False: the samples would not fit any more, nothing was added.
  bool add(std::uint32_t samples, std::span<const float> gradients, std::shared_ptr<const void> owner);
  /// What stands for all that was added; valid until add() or clear(). Without samples if nothing was.
  Contribution sum() const;
  /// Its memory stays for the next step.
  void clear();

 private:
  std::uint32_t samples_ = 0;
  std::size_t count_ = 0;
  std::span<const float> first_;
  std::shared_ptr<const void> owner_;
  std::vector<float> sum_;  // of two and more
};

}  // namespace trainyard::optim
