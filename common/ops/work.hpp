// How much an operation computes and moves: the one place where floating-point operations are counted, for
// profiles and for tables of a network. Pure.
#pragma once

#include <cstdint>
#include <span>

#include "common/ops/operation.hpp"

namespace trainyard::ops {

/// Multiply-adds of linear maps (a convolution's windows count as full, at the edges too), and all other
/// operations on real numbers, with exp and its kin as one. What only moves or compares whole numbers is 0.
struct Work {
  double multiply_adds = 0, other = 0;
  double flops() const { return 2 * multiply_adds + other; }
  Work& operator+=(const Work& more) {
    multiply_adds += more.multiply_adds;
    other += more.other;
    return *this;
  }
};

/// Shapes are bound; absent operands are opaque.
Work work_of(Kind kind, const Attributes& attributes, std::span<const Signature> inputs,
             std::span<const Signature> outputs);

/// Bytes that an operation has to read and write at least, from those that its operands take. Of a table only
/// the rows that are looked up count.
std::uint64_t bytes_moved(Kind kind, std::span<const Signature> inputs,
                          std::span<const std::size_t> input_bytes,
                          std::span<const std::size_t> output_bytes);

}  // namespace trainyard::ops
