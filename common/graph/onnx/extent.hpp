// Whole numbers that an importer computes with while it reads: sizes, some of which are a multiple of the
// batch that is still open. Values; private to common/graph/onnx.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/graph/graph.hpp"

namespace trainyard::graph::onnx_file {

/// `count`, or `count` times the batch.
struct Extent {
  std::int64_t count = 0;
  bool batch = false;
  friend bool operator==(const Extent&, const Extent&) = default;
};

/// "3", "N", "3N"
std::string text(const Extent& extent);

/// As a dimension of a Shape: a multiple of the batch is negative. Nothing for one that is none.
std::optional<std::int64_t> dimension(const Extent& extent);
Extent of_dimension(std::int64_t dim);

enum class Whole : std::uint8_t { add, subtract, multiply, divide, modulo, minimum, maximum, equal, less };

/// Nothing when the result would depend on the batch in another way than as a multiple, or overflows, or
/// divides by zero. Division is towards zero; the batch is at least 1.
std::optional<Extent> combine(Whole operation, Extent a, Extent b);

/// A small tensor of them.
struct Extents {
  std::vector<std::int64_t> dims;
  std::vector<Extent> values;  // row major
  DType type = DType::i64;
  bool boolean = false;

  bool closed() const;
};

/// At most so many elements are computed with.
inline constexpr std::size_t kExtentsMax = 4096;

/// Of a constant of whole numbers with at most kExtentsMax elements; else nothing.
std::optional<Extents> extents_of(const Constant& constant, bool boolean);
/// Of numbers none of which depends on the batch.
Constant constant_of(const Extents& extents);

}  // namespace trainyard::graph::onnx_file
