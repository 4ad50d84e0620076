// Loops over floats that are compiled once for each level of vector instructions, and the choice among them.
// The loops of a level call nothing outside of their file, so that no instruction of a level leaks into
// shared code. One thread a call; results may lie over operands, element by element. Private to this backend.
#pragma once

#include <cstdint>
#include <vector>

#include "common/ops/kind.hpp"

namespace trainyard::ops::cpu {

/// Rows of elements: row r of operand a begins at a + r * a_row, and so on.
struct Tile {
  std::int64_t rows = 1, columns = 0;
  std::int64_t a_row = 0, b_row = 0, y_row = 0;
};

struct Vectors {
  const char* name;  // "avx512"

  /// y[i] = function(x[i]); within 4e-7 relative of the exact value unless said otherwise in number.hpp.
  using Map = void (*)(const float* x, float* y, std::int64_t count, float alpha, float beta);
  /// dx[i] = slope(from[i]) dy[i]; from is x or y, see grad_needs.
  using Slope = void (*)(const float* from, const float* dy, float* dx, std::int64_t count, float alpha,
                         float beta);
  /// y = a op b; y points to floats, or to bytes for comparisons.
  using Binary = void (*)(const Tile& tile, const float* a, const float* b, void* y);
  /// y = condition ? a : b.
  using Where = void (*)(const Tile& tile, const std::uint8_t* condition, const float* a, const float* b,
                         float* y);

  // nullptr: none of this function. Steps say whether an operand moves along a row or stays.
  Map (*map)(Function);
  Slope (*slope)(Function);
  Binary (*binary)(Arithmetic, bool a_steps, bool b_steps);
  Where (*where)(bool a_steps, bool b_steps);

  /// p = softmax(x), or its logarithm, of one row; p may be x.
  void (*softmax)(const float* x, float* p, std::int64_t count);
  void (*log_softmax)(const float* x, float* y, std::int64_t count);
  /// dx of one row; it may be dp or p.
  void (*softmax_grad)(const float* p, const float* dp, float* dx, std::int64_t count);
  void (*log_softmax_grad)(const float* y, const float* dy, float* dx, std::int64_t count);

  /// The sum, sum of magnitudes or squares, product, maximum, minimum, or logarithm of the sum of
  /// exponentials of a row; sums of 1024 elements are float, of more double.
  double (*reduce)(Reduction, const float* x, std::int64_t count);
  /// sums[c] = what `reduce` gives of the rows' elements in column c; not log_sum_exp.
  void (*reduce_columns)(Reduction, const float* x, std::int64_t row, std::int64_t rows, std::int64_t columns,
                         double* sums);
};

/// Those that this machine can run, the best last.
const std::vector<const Vectors*>& vectors_all();
const Vectors& vectors();

}  // namespace trainyard::ops::cpu
