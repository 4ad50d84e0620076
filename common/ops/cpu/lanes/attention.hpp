// Softmax of scores with a mask, and its gradient; matrices brought into the order of multiply(). Included
// within the namespace of an instruction set.

typedef float Four __attribute__((vector_size(16)));
typedef float LooseFour __attribute__((vector_size(16), aligned(4), may_alias));
inline Four load_four(const float* at) { return *reinterpret_cast<const LooseFour*>(at); }
inline void store_four(float* at, Four value) { *reinterpret_cast<LooseFour*>(at) = value; }

/// to[c][r] = from[r][c] of four by four.
inline void transpose_four(const float* from, std::int64_t from_step, float* to, std::int64_t to_step) {
  const Four a = load_four(from), b = load_four(from + from_step), c = load_four(from + 2 * from_step),
             d = load_four(from + 3 * from_step);
  const Four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const Four ef = __builtin_shufflevector(a, b, 2, 6, 3, 7), gh = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  store_four(to, __builtin_shufflevector(ab, cd, 0, 1, 4, 5));
  store_four(to + to_step, __builtin_shufflevector(ab, cd, 2, 3, 6, 7));
  store_four(to + 2 * to_step, __builtin_shufflevector(ef, gh, 0, 1, 4, 5));
  store_four(to + 3 * to_step, __builtin_shufflevector(ef, gh, 2, 3, 6, 7));
}

void transpose(const float* from, std::int64_t from_step, std::int64_t rows, std::int64_t columns, float* to,
               std::int64_t to_step) {
  const std::int64_t whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
  for (std::int64_t c = 0; c < whole_columns; c += 4) {
    for (std::int64_t r = 0; r < whole_rows; r += 4)
      transpose_four(from + r * from_step + c, from_step, to + c * to_step + r, to_step);
    for (std::int64_t r = whole_rows; r < rows; ++r)
      for (std::int64_t k = c; k < c + 4; ++k) to[k * to_step + r] = from[r * from_step + k];
  }
  for (std::int64_t c = whole_columns; c < columns; ++c)
    for (std::int64_t r = 0; r < rows; ++r) to[c * to_step + r] = from[r * from_step + c];
}

/// As pack() with a column_step of 1.
void pack_rows(const float* b, std::int64_t k_step, std::int64_t k, std::int64_t columns, float* packed) {
  constexpr std::int64_t width = kPanel * kWidth;
  for (std::int64_t first = 0; first < columns; first += width) {
    if (columns - first < width) {
      pack(b + first, k_step, 1, k, columns - first, packed);
      return;
    }
    for (std::int64_t row = 0; row < k; ++row, packed += width)
      for (int v = 0; v < kPanel; ++v)
        store_register(packed + v * kWidth, load_register(b + row * k_step + first + v * kWidth));
  }
}

/// As pack() with a k_step of 1.
void pack_columns(const float* b, std::int64_t column_step, std::int64_t k, std::int64_t columns,
                  float* packed) {
  constexpr std::int64_t width = kPanel * kWidth;
  for (std::int64_t first = 0; first < columns; first += width, packed += width * k) {
    const std::int64_t here = columns - first < width ? columns - first : width;
    transpose(b + first * column_step, column_step, here, k, packed, width);
    for (std::int64_t row = 0; row < k && here < width; ++row)
      for (std::int64_t i = here; i < width; ++i) packed[row * width + i] = 0.0f;
  }
}

inline float sum_of(Register value) {
  float parts[kWidth], sum = 0;
  store_register(parts, value);
  for (int i = 0; i < kWidth; ++i) sum += parts[i];
  return sum;
}

/// Lanes from `count` on become `other`.
inline Register first_of(Register value, std::int64_t count, float other) {
  float parts[kWidth];
  store_register(parts, value);
  for (std::int64_t i = count; i < kWidth; ++i) parts[i] = other;
  return load_register(parts);
}

/// Calls use(i, left) for registers of a row; left: how many lanes there are.
template <typename Use>
inline void each_register(std::int64_t count, const Use& use) {
  std::int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) use(i, kWidth);
  if (i < count) use(i, static_cast<int>(count - i));
}
inline Register load_part(const float* at, int count) {
  return count == kWidth ? load_register(at) : load_some_of(at, count);
}
inline void store_part(float* at, Register value, int count) {
  if (count == kWidth)
    store_register(at, value);
  else
    store_some_of(at, value, count);
}
inline Register mask_part(const float* mask, int step, std::int64_t i, int count) {
  if (mask == nullptr) return Register{};
  return step == 0 ? every(*mask) : load_part(mask + i, count);
}

void softmax_scores(float* scores, const float* mask, int mask_step, std::int64_t count, float scale,
                    float* top, float* sum) {
  constexpr float kLowest = -__builtin_inff();
  Register highest = every(kLowest);
  each_register(count, [&](std::int64_t i, int here) {
    const Register s = load_part(scores + i, here) * scale + mask_part(mask, mask_step, i, here);
    store_part(scores + i, s, here);
    const Register known = here == kWidth ? s : first_of(s, here, kLowest);
    highest = known > highest ? known : highest;
  });
  float parts[kWidth];
  store_register(parts, highest);
  float most = parts[0];
  for (int i = 1; i < kWidth; ++i) most = parts[i] > most ? parts[i] : most;
  *top = most;
  *sum = 0;
  if (most == kLowest) {
    for (std::int64_t i = 0; i < count; ++i) scores[i] = scores[i] == kLowest ? 0.0f : scores[i];
    return;
  }
  Register total = {};
  each_register(count, [&](std::int64_t i, int here) {
    const Register e = exponential(load_part(scores + i, here) - most);
    store_part(scores + i, e, here);
    total += here == kWidth ? e : first_of(e, here, 0.0f);
  });
  *sum = sum_of(total);
  const float inverse = 1.0f / *sum;
  each_register(count, [&](std::int64_t i, int here) {
    store_part(scores + i, load_part(scores + i, here) * inverse, here);
  });
}

void softmax_scores_grad(float* scores, float* dp, const float* mask, int mask_step, std::int64_t count,
                         float scale, float whole, const float* y, const float* dy, std::int64_t width) {
  if (whole == -__builtin_inff()) {
    for (std::int64_t i = 0; i < count; ++i) scores[i] = dp[i] = 0.0f;
    return;
  }
  Register product = {};
  each_register(
      width, [&](std::int64_t i, int here) { product += load_part(y + i, here) * load_part(dy + i, here); });
  const float mean = sum_of(product);
  each_register(count, [&](std::int64_t i, int here) {
    const Register s = load_part(scores + i, here) * scale + mask_part(mask, mask_step, i, here);
    const Register p = exponential(s - whole);
    store_part(scores + i, p, here);
    store_part(dp + i, p * (load_part(dp + i, here) - mean) * scale, here);
  });
}
