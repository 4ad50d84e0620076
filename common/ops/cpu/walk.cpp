#include "common/ops/cpu/walk.hpp"

namespace trainyard::ops::cpu {

Walk::Walk(const std::vector<std::int64_t>& result, const std::vector<std::vector<std::int64_t>>& operands) {
  // From the innermost axis outwards; one that all operands pass as they passed the one before goes into it.
  std::vector<Axis> axes;
  Offsets next;
  next.fill(1);
  elements_ = 1;
  for (std::size_t i = result.size(); i-- > 0;) {
    Axis axis{.extent = result[i]};
    for (std::size_t k = 0; k < operands.size(); ++k) {
      if (operands[k][i] == 1) continue;
      axis.strides[k] = next[k];
      next[k] *= operands[k][i];
    }
    elements_ *= axis.extent;
    if (axis.extent == 1) continue;
    bool same = !axes.empty();
    for (std::size_t k = 0; same && k < kOperands; ++k)
      same = axis.strides[k] == axes.back().strides[k] * axes.back().extent;
    if (same)
      axes.back().extent *= axis.extent;
    else
      axes.push_back(axis);
  }
  if (elements_ == 0) return;
  if (!axes.empty()) inner_ = axes[0];
  // Short rows go together: calls cost more than they do.
  long_rows_ = inner_.extent >= 1024 || axes.size() < 2;
  if (!long_rows_) rows_ = axes[1];
  for (std::size_t i = axes.size(); i-- > (long_rows_ ? 1u : 2u);) outer_.push_back(axes[i]);
  const std::int64_t along = long_rows_ ? inner_.extent : rows_.extent;
  part_ = long_rows_ ? kTileFloats : std::max<std::int64_t>(1, kTileFloats / inner_.extent);
  parts_ = (along + part_ - 1) / part_;
  pieces_ = parts_;
  for (const Axis& axis : outer_) pieces_ *= axis.extent;
}

}  // namespace trainyard::ops::cpu
