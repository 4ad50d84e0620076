// Copies between tensors whose elements lie at any strides, of any size of element: what movement consists
// of. A value. Private to this backend.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace trainyard::ops::cpu {

class Box {
 public:
  /// Element (i, j, ...) goes from from_base + i * from[0] + ... to to_base + i * to[0] + ..., all in
  /// elements of `size` bytes (1, 2, 4 or 8). A stride of 0 in `from` repeats. Outermost axis first.
  Box(std::size_t size, const std::vector<std::int64_t>& extents, const std::vector<std::int64_t>& from,
      std::int64_t from_base, const std::vector<std::int64_t>& to, std::int64_t to_base);
  void copy(const void* from, void* to) const;

 private:
  struct Axis {
    std::int64_t extent = 1, from = 0, to = 0;
  };
  std::size_t size_;
  std::vector<Axis> outer_;  // innermost first
  Axis inner_;
  std::int64_t from_base_, to_base_, rows_ = 0, part_ = 1, parts_ = 1;
};

/// Every element of `to` becomes the low `size` bytes of `bits`.
void fill(void* to, std::int64_t count, std::size_t size, std::uint64_t bits);

}  // namespace trainyard::ops::cpu
