// Sums of rows that lie far apart. Included within the namespace of an instruction set.

constexpr int kSummed = 8;  // registers of a row that are summed at once
constexpr int kAhead = 4;   // rows that are fetched before their turn
constexpr int kLine = 16;   // floats of a cache line

/// `registers` registers of each row, from the column at which `from` and `y` begin.
template <int registers>
void sum_columns(const float* from, const std::int32_t* rows, std::int64_t count, std::int64_t width,
                 float* y) {
  Register sums[registers] = {};
  for (std::int64_t i = 0; i < count; ++i) {
    if (i + kAhead < count && rows[i + kAhead] >= 0) {
      const float* const ahead = from + rows[i + kAhead] * width;
#pragma GCC unroll 8
      for (int k = 0; k < registers * kWidth; k += kLine) __builtin_prefetch(ahead + k);
    }
    if (rows[i] < 0) continue;
    const float* const row = from + rows[i] * width;
#pragma GCC unroll 8
    for (int k = 0; k < registers; ++k) sums[k] += load_register(row + k * kWidth);
  }
#pragma GCC unroll 8
  for (int k = 0; k < registers; ++k) store_register(y + k * kWidth, sums[k]);
}

void sum_rows(const float* from, const std::int32_t* rows, std::int64_t count, std::int64_t width, float* y) {
  std::int64_t at = 0;
  for (; at + kSummed * kWidth <= width; at += kSummed * kWidth)
    sum_columns<kSummed>(from + at, rows, count, width, y + at);
  for (; at + kWidth <= width; at += kWidth) sum_columns<1>(from + at, rows, count, width, y + at);
  if (at == width) return;
  const int left = static_cast<int>(width - at);
  Register sum = {};
  for (std::int64_t i = 0; i < count; ++i)
    if (rows[i] >= 0) sum += load_some_of(from + rows[i] * width + at, left);
  store_some_of(y + at, sum, left);
}
