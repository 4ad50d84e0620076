// Softmax and reductions of rows. Included by loops.hpp alone.

constexpr std::int64_t kFloatSum =
    1024;  // elements that are summed in float before the sum goes on in double

/// The sum of value(x[i]) over a row.
template <typename Value>
double sum_of(const float* x, std::int64_t count, Value value) {
  double sum = 0;
  for (std::int64_t begin = 0; begin < count; begin += kFloatSum) {
    const std::int64_t end = count - begin < kFloatSum ? count : begin + kFloatSum;
    float part = 0;
#pragma omp simd reduction(+ : part)
    for (std::int64_t i = begin; i < end; ++i) part += value(x[i]);
    sum += static_cast<double>(part);
  }
  return sum;
}

/// The largest, or a not-a-number when there is one; minus infinity of nothing.
float largest(const float* x, std::int64_t count) {
  float top = -kInfinite, odd = 0;
#pragma omp simd reduction(max : top) reduction(+ : odd)
  for (std::int64_t i = 0; i < count; ++i) {
    top = top > x[i] ? top : x[i];
    odd += x[i] != x[i] ? 1.0f : 0.0f;
  }
  return odd > 0 ? kNotANumber : top;
}

float smallest(const float* x, std::int64_t count) {
  float low = kInfinite, odd = 0;
#pragma omp simd reduction(min : low) reduction(+ : odd)
  for (std::int64_t i = 0; i < count; ++i) {
    low = low < x[i] ? low : x[i];
    odd += x[i] != x[i] ? 1.0f : 0.0f;
  }
  return odd > 0 ? kNotANumber : low;
}

double product_of(const float* x, std::int64_t count) {
  double product = 1;
#pragma omp simd reduction(* : product)
  for (std::int64_t i = 0; i < count; ++i) product *= static_cast<double>(x[i]);
  return product;
}

double natural_logarithm(double x) { return __builtin_log(x); }

double log_sum_exp(const float* x, std::int64_t count) {
  const float top = largest(x, count);
  if (top - top != 0) return static_cast<double>(top);  // infinite or not a number
  return static_cast<double>(top) +
         natural_logarithm(sum_of(x, count, [top](float at) { return exponential(at - top); }));
}

double reduce(Reduction reduction, const float* x, std::int64_t count) {
  switch (reduction) {
    case Reduction::maximum:
      return static_cast<double>(largest(x, count));
    case Reduction::minimum:
      return static_cast<double>(smallest(x, count));
    case Reduction::product:
      return product_of(x, count);
    case Reduction::l1:
      return sum_of(x, count, [](float at) { return magnitude(at); });
    case Reduction::l2:
    case Reduction::sum_square:
      return sum_of(x, count, [](float at) { return at * at; });
    case Reduction::log_sum_exp:
      return log_sum_exp(x, count);
    default:
      return sum_of(x, count, [](float at) { return at; });
  }
}

/// Columns in pieces that stay in registers or the first cache; rows in float up to kFloatSum.
template <typename Number, typename Step>
void columns_of(const float* x, std::int64_t row, std::int64_t rows, std::int64_t columns, double* results,
                double start, bool adds, Step step) {
  constexpr std::int64_t kPiece = 64;
  for (std::int64_t begin = 0; begin < columns; begin += kPiece) {
    const std::int64_t count = columns - begin < kPiece ? columns - begin : kPiece;
    for (std::int64_t c = 0; c < count; ++c) results[begin + c] = start;
    for (std::int64_t first = 0; first < rows; first += kFloatSum) {
      const std::int64_t last = rows - first < kFloatSum ? rows : first + kFloatSum;
      Number part[kPiece];
      for (std::int64_t c = 0; c < count; ++c) part[c] = static_cast<Number>(adds ? 0 : results[begin + c]);
      for (std::int64_t r = first; r < last; ++r) {
        const float* const from = x + r * row + begin;
#pragma omp simd
        for (std::int64_t c = 0; c < count; ++c) part[c] = step(part[c], from[c]);
      }
      for (std::int64_t c = 0; c < count; ++c)
        results[begin + c] = static_cast<double>(part[c]) + (adds ? results[begin + c] : 0);
    }
  }
}

void reduce_columns(Reduction reduction, const float* x, std::int64_t row, std::int64_t rows,
                    std::int64_t columns, double* sums) {
  switch (reduction) {
    case Reduction::maximum:
      return columns_of<float>(x, row, rows, columns, sums, static_cast<double>(-kInfinite), false,
                               [](float best, float at) { return (best > at) | (best != best) ? best : at; });
    case Reduction::minimum:
      return columns_of<float>(x, row, rows, columns, sums, static_cast<double>(kInfinite), false,
                               [](float best, float at) { return (best < at) | (best != best) ? best : at; });
    case Reduction::product:
      return columns_of<double>(x, row, rows, columns, sums, 1, false,
                                [](double so_far, float at) { return so_far * static_cast<double>(at); });
    case Reduction::l1:
      return columns_of<float>(x, row, rows, columns, sums, 0, true,
                               [](float sum, float at) { return sum + magnitude(at); });
    case Reduction::l2:
    case Reduction::sum_square:
      return columns_of<float>(x, row, rows, columns, sums, 0, true,
                               [](float sum, float at) { return sum + at * at; });
    default:
      return columns_of<float>(x, row, rows, columns, sums, 0, true,
                               [](float sum, float at) { return sum + at; });
  }
}

/// y[i] = exp(x[i] - top); gives their sum.
double exponentials(const float* x, float* y, std::int64_t count, float top) {
  double sum = 0;
  for (std::int64_t begin = 0; begin < count; begin += kFloatSum) {
    const std::int64_t end = count - begin < kFloatSum ? count : begin + kFloatSum;
    float part = 0;
#pragma omp simd reduction(+ : part)
    for (std::int64_t i = begin; i < end; ++i) {
      y[i] = exponential(x[i] - top);
      part += y[i];
    }
    sum += static_cast<double>(part);
  }
  return sum;
}

void softmax(const float* x, float* p, std::int64_t count) {
  const float scale = static_cast<float>(1 / exponentials(x, p, count, largest(x, count)));
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) p[i] *= scale;
}

void log_softmax(const float* x, float* y, std::int64_t count) {
  const float top = largest(x, count);
  const float rest = static_cast<float>(
      natural_logarithm(sum_of(x, count, [top](float at) { return exponential(at - top); })));
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] = (x[i] - top) - rest;
}

void softmax_grad(const float* p, const float* dp, float* dx, std::int64_t count) {
  double sum = 0;
  for (std::int64_t begin = 0; begin < count; begin += kFloatSum) {
    const std::int64_t end = count - begin < kFloatSum ? count : begin + kFloatSum;
    float part = 0;
#pragma omp simd reduction(+ : part)
    for (std::int64_t i = begin; i < end; ++i) part += p[i] * dp[i];
    sum += static_cast<double>(part);
  }
  const float mean = static_cast<float>(sum);
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) dx[i] = p[i] * (dp[i] - mean);
}

void log_softmax_grad(const float* y, const float* dy, float* dx, std::int64_t count) {
  const float sum = static_cast<float>(sum_of(dy, count, [](float at) { return at; }));
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) dx[i] = dy[i] - exponential(y[i]) * sum;
}
