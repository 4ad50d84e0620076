// Products of rows with a packed matrix, for matrices too small for a library to pack each time. Included
// within the namespace of an instruction set.

// Columns of a panel lie side by side for each k, few enough that a panel stays in the first cache while the
// rows go by; so many rows at once keep all registers busy.
constexpr int kPanel = 2;
#if defined(__AVX512F__)
constexpr int kRows = 12;
#else
constexpr int kRows = 6;
#endif

std::int64_t packed_floats(std::int64_t k, std::int64_t columns) {
  constexpr std::int64_t width = kPanel * kWidth;
  return (columns + width - 1) / width * width * k;
}

/// [k][columns] with the given steps, as [panel][k][2 * width]; 0 behind the last column.
void pack(const float* b, std::int64_t k_step, std::int64_t column_step, std::int64_t k, std::int64_t columns,
          float* packed) {
  constexpr std::int64_t width = kPanel * kWidth;
  for (std::int64_t first = 0; first < columns; first += width)
    for (std::int64_t row = 0; row < k; ++row)
      for (std::int64_t i = 0; i < width; ++i)
        *packed++ = first + i < columns ? b[row * k_step + (first + i) * column_step] : 0.0f;
}

/// c[r][0..columns) of one panel; columns of fewer than the panel's width go through a copy.
template <int rows>
void panel_product(const float* const* a, std::int64_t k, const float* packed, std::int64_t columns,
                   float* const* c, bool add) {
  Register sums[rows][kPanel];
  const bool whole = columns == kPanel * kWidth;
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < kPanel; ++v) {
      const std::int64_t left = columns - v * kWidth;
      sums[r][v] = !add || left <= 0         ? Register{}
                   : whole || left >= kWidth ? load_register(c[r] + v * kWidth)
                                             : load_some_of(c[r] + v * kWidth, static_cast<int>(left));
    }
  const float* from[rows];
  for (int r = 0; r < rows; ++r) from[r] = a[r];
  for (std::int64_t i = 0; i < k; ++i, packed += kPanel * kWidth) {
    Register b[kPanel];
#pragma GCC unroll 4
    for (int v = 0; v < kPanel; ++v) b[v] = load_register(packed + v * kWidth);
#pragma GCC unroll 12
    for (int r = 0; r < rows; ++r) {
      const Register factor = every(from[r][i]);
#pragma GCC unroll 4
      for (int v = 0; v < kPanel; ++v) sums[r][v] += factor * b[v];
    }
  }
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < kPanel; ++v) {
      const std::int64_t left = columns - v * kWidth;
      if (whole || left >= kWidth)
        store_register(c[r] + v * kWidth, sums[r][v]);
      else if (left > 0)
        store_some_of(c[r] + v * kWidth, sums[r][v], static_cast<int>(left));
    }
}

template <int rows>
void panel_rows(int count, const float* const* a, std::int64_t k, const float* packed, std::int64_t columns,
                float* const* c, bool add) {
  if constexpr (rows > 0) {
    if (count == rows)
      panel_product<rows>(a, k, packed, columns, c, add);
    else
      panel_rows<rows - 1>(count, a, k, packed, columns, c, add);
  }
}

void multiply(std::int64_t rows, const float* const* a, std::int64_t k, const float* packed,
              std::int64_t columns, float* const* c, bool add) {
  constexpr std::int64_t width = kPanel * kWidth;
  float* to[kRows];
  for (std::int64_t first = 0; first < columns; first += width, packed += width * k) {
    const std::int64_t here = columns - first < width ? columns - first : width;
    for (std::int64_t row = 0; row < rows; row += kRows) {
      const int count = static_cast<int>(rows - row < kRows ? rows - row : kRows);
      for (int r = 0; r < count; ++r) to[r] = c[row + r] + first;
      panel_rows<kRows>(count, a + row, k, packed, here, to, add);
    }
  }
}
