#include "common/optim/slices.hpp"

#include <algorithm>

#include "common/base/check.hpp"

namespace trainyard::optim {

std::vector<Slice> slice_over(std::span<const TensorSize> tensors, std::uint32_t shards,
                              std::uint64_t slice_floats_max) {
  check(shards > 0 && slice_floats_max > 0, "slices need a shard and a size");
  std::vector<std::uint64_t> load(shards, 0);
  std::vector<Slice> slices;
  std::uint64_t offset = 0;
  for (const auto& tensor : tensors) {
    if (tensor.length == 0) continue;
    if (tensor.frozen) {
      offset += tensor.length;
      continue;
    }
    const std::uint64_t pieces = tensor.row > 0 ? 1 : (tensor.length - 1) / slice_floats_max + 1;
    const std::uint64_t base = tensor.length / pieces;
    const std::uint64_t longer = tensor.length % pieces;  // the first so many pieces get one float more
    for (std::uint64_t piece = 0; piece < pieces; ++piece) {
      const std::uint64_t length = base + (piece < longer ? 1 : 0);
      const auto least = std::min_element(load.begin(), load.end());
      *least += length;
      slices.push_back({static_cast<std::uint32_t>(least - load.begin()), offset, length, tensor.kind,
                        tensor.rate, tensor.decay, tensor.row});
      offset += length;
    }
  }
  return slices;
}

}  // namespace trainyard::optim
