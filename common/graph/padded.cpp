#include "common/graph/padded.hpp"

#include <algorithm>

#include "common/base/check.hpp"
#include "common/ops/update.hpp"

namespace trainyard::graph {

namespace {

constexpr auto kFloats = static_cast<std::uint64_t>(ops::kUpdateStretch);  // 256 bytes

}  // namespace

Padded::Padded(std::span<const TensorInfo> tensors) {
  for (const TensorInfo& tensor : tensors) {
    check(stretches_.empty() || stretches_.back().offset + stretches_.back().length <= tensor.offset,
          "tensors of a model lie one after the other");
    stretches_.push_back({tensor.offset, length_, tensor.length});
    length_ += (tensor.length + kFloats - 1) / kFloats * kFloats;
  }
}

std::vector<std::uint8_t> Padded::stretched(std::span<const std::uint8_t> of_tensors) const {
  check(of_tensors.size() == stretches_.size(), "each tensor has a group");
  std::vector<std::uint8_t> out;
  for (std::size_t i = 0; i < of_tensors.size(); ++i)
    out.insert(out.end(), (stretches_[i].length + kFloats - 1) / kFloats, of_tensors[i]);
  return out;
}

std::uint64_t Padded::place(std::uint64_t offset) const {
  const auto above = std::upper_bound(stretches_.begin(), stretches_.end(), offset,
                                      [](std::uint64_t at, const Stretch& s) { return at < s.offset; });
  check(above != stretches_.begin(), "an offset is of a tensor");
  const Stretch& of = *std::prev(above);
  check(offset - of.offset <= of.length, "an offset is of a tensor");
  return of.place + (offset - of.offset);
}

std::uint64_t Padded::offset(std::uint64_t place) const {
  const auto above = std::upper_bound(stretches_.begin(), stretches_.end(), place,
                                      [](std::uint64_t at, const Stretch& s) { return at < s.place; });
  check(above != stretches_.begin(), "a place is of a tensor");
  const Stretch& of = *std::prev(above);
  return of.offset + (place - of.place);
}

void Padded::apply(Graph& graph) const {
  for (Value& value : graph.values)
    if (value.place == Place::parameter || value.place == Place::gradient) value.offset = place(value.offset);
}

void Padded::spread(std::span<const float> close, float* with_gaps) const {
  for (const Stretch& s : stretches_)
    std::copy_n(close.begin() + static_cast<std::ptrdiff_t>(s.offset), s.length, with_gaps + s.place);
}

void Padded::gather(const float* with_gaps, std::span<float> close) const {
  for (const Stretch& s : stretches_)
    std::copy_n(with_gaps + s.place, s.length, close.begin() + static_cast<std::ptrdiff_t>(s.offset));
}

}  // namespace trainyard::graph
