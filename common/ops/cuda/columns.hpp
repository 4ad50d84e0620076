// Sums down the columns of a matrix, two at a time, in two stages: teams sum parts of the rows of 32 columns,
// one thread a column adds up the parts in double precision. Device code, private to this backend.
#pragma once

#include <cstddef>
#include <cstdint>

#include "launch.hpp"

namespace trainyard::ops::cuda {

struct ColumnSums {
  float a, b;
};

inline constexpr int kColumnLanes = 32;

inline std::int64_t column_parts(std::int64_t rows) {
  const std::int64_t parts = rows / 256 + 1;
  return parts < 128 ? parts : 128;
}
inline std::size_t column_bytes(std::int64_t rows, std::int64_t columns) {
  return static_cast<std::size_t>(column_parts(rows) * columns) * sizeof(ColumnSums);
}

/// value(row, column) gives a ColumnSums.
template <typename Value>
struct ColumnTeam {
  std::int64_t rows, columns, parts;
  Value value;
  ColumnSums* sums;  // [parts, columns]
  __device__ void operator()(const Team& team) const {
    const std::int64_t tiles = (columns + kColumnLanes - 1) / kColumnLanes;
    const std::int64_t c = team.index() % tiles * kColumnLanes + team.thread() % kColumnLanes;
    const std::int64_t part = team.index() / tiles;
    const int height = team.threads() / kColumnLanes, row = team.thread() / kColumnLanes;
    ColumnSums sum{0, 0};
    if (c < columns)
      for (std::int64_t r = part * height + row; r < rows; r += parts * height) {
        const ColumnSums one = value(r, c);
        sum.a += one.a;
        sum.b += one.b;
      }
    auto* const shared = team.shared<ColumnSums>();
    shared[team.thread()] = sum;
    team.sync();
    if (row != 0 || c >= columns) return;
    for (int k = 1; k < height; ++k) {
      sum.a += shared[k * kColumnLanes + team.thread()].a;
      sum.b += shared[k * kColumnLanes + team.thread()].b;
    }
    sums[part * columns + c] = sum;
  }
};

/// end(column, sum of a, sum of b)
template <typename End>
struct ColumnEnd {
  std::int64_t columns, parts;
  End end;
  const ColumnSums* sums;
  __device__ void operator()(std::int64_t c) const {
    double a = 0, b = 0;
    for (std::int64_t part = 0; part < parts; ++part) {
      a += sums[part * columns + c].a;
      b += sums[part * columns + c].b;
    }
    end(c, a, b);
  }
};

/// Enqueues both stages; `scratch`: column_bytes().
template <typename Value, typename End>
void sum_columns(Queue& queue, std::int64_t rows, std::int64_t columns, void* scratch, const Value& value,
                 const End& end) {
  const std::int64_t parts = column_parts(rows);
  auto* const sums = static_cast<ColumnSums*>(scratch);
  teams(queue, (columns + kColumnLanes - 1) / kColumnLanes * parts, 256,
        ColumnTeam<Value>{rows, columns, parts, value, sums});
  each(queue, columns, ColumnEnd<End>{columns, parts, end, sums});
}

}  // namespace trainyard::ops::cuda
