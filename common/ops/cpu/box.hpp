// Copies between tensors whose elements lie at any strides, of any size of element: what movement consists
// of. A value. Private to this backend.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
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
  /// Where row number `row` of the outer axes begins in `from` and in `to`.
  std::pair<std::int64_t, std::int64_t> place(std::int64_t row) const;
  template <typename T>
  void copy_as(const T* from, T* to) const;
  template <typename T>
  void crossed(const T* from, T* to) const;

  std::size_t size_;
  std::vector<Axis> outer_;  // innermost first
  Axis inner_;               // along which `to` moves least
  Axis cross_;               // along which `from` does, when that is another one: then `crosses_`
  bool crosses_ = false;
  std::int64_t from_base_, to_base_, rows_ = 0, part_ = 1, parts_ = 1;
};

/// Every element of `to` becomes the low `size` bytes of `bits`.
void fill(void* to, std::int64_t count, std::size_t size, std::uint64_t bits);

}  // namespace trainyard::ops::cpu
