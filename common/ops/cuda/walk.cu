#include "common/ops/cuda/walk.hpp"

namespace trainyard::ops::cuda {

bool make_walk(const std::vector<std::int64_t>& dims, const std::vector<std::int64_t>& strides,
               std::int64_t base, Walk& walk) {
  std::vector<std::int64_t> extents, steps;
  std::int64_t count = 1;
  for (std::size_t axis = 0; axis < dims.size(); ++axis) {
    count *= dims[axis];
    if (dims[axis] == 1) continue;
    if (!extents.empty() && steps.back() == strides[axis] * dims[axis]) {
      extents.back() *= dims[axis];
      steps.back() = strides[axis];
    } else {
      extents.push_back(dims[axis]);
      steps.push_back(strides[axis]);
    }
  }
  if (extents.size() > Walk::kRankMax) return false;
  walk = {};
  walk.rank = static_cast<int>(extents.size());
  walk.narrow = count < (std::int64_t{1} << 31);
  walk.base = base;
  for (std::size_t axis = 0; axis < extents.size(); ++axis) {
    walk.dims[axis] = extents[axis];
    walk.strides[axis] = steps[axis];
  }
  return true;
}

bool broadcast_walk(const Shape& from, const Shape& to, Walk& walk) {
  std::vector<std::int64_t> steps(to.rank(), 0);
  const std::vector<std::int64_t> strides = strides_of(from);
  for (std::size_t i = 1; i <= from.rank(); ++i)
    if (from[from.rank() - i] != 1) steps[to.rank() - i] = strides[from.rank() - i];
  return make_walk(to.dims(), steps, 0, walk);
}

}  // namespace trainyard::ops::cuda
