// Flat arrays in which each tensor begins at a multiple of 256 bytes, as a device's libraries want it, and
// the way to and from arrays without gaps. A value.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/graph/model.hpp"

namespace trainyard::graph {

class Padded {
 public:
  explicit Padded(std::span<const TensorInfo> tensors);

  /// Floats of an array with gaps.
  std::uint64_t length() const { return length_; }
  /// For each kUpdateStretch floats of the array with gaps, what `of_tensors` says of their tensor.
  std::vector<std::uint8_t> stretched(std::span<const std::uint8_t> of_tensors) const;
  /// Where a float of the array without gaps lies, and the way back.
  std::uint64_t place(std::uint64_t offset) const;
  std::uint64_t offset(std::uint64_t place) const;
  /// Parameters and gradients of the graph lie with gaps from now on.
  void apply(Graph& graph) const;
  /// What lies in the gaps stays.
  void spread(std::span<const float> close, float* with_gaps) const;
  void gather(const float* with_gaps, std::span<float> close) const;

 private:
  struct Stretch {
    std::uint64_t offset = 0, place = 0, length = 0;
  };
  std::vector<Stretch> stretches_;  // by offset and place alike
  std::uint64_t length_ = 0;
};

}  // namespace trainyard::graph
