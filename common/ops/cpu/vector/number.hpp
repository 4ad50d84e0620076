// Functions of one float, without branches and calls, so that a loop around them becomes vector instructions.
// Relative errors against double precision, over all floats whose results are normal numbers: below 4e-7 (3
// units in the last place), unless said otherwise. Infinities and not-a-numbers are those of the functions'
// limits. Included by loops.hpp alone, once a level, in whose unnamed namespace it lies.

constexpr float kInfinite = __builtin_inff(), kNotANumber = __builtin_nanf("");
constexpr float kLog2E = 1.44269504f;
constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;  // 10 bits, and the rest
constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number

inline float float_of(std::uint32_t bits) { return __builtin_bit_cast(float, bits); }
inline std::uint32_t bits_of(float x) { return __builtin_bit_cast(std::uint32_t, x); }
/// 2^n for -126 <= n <= 127.
inline float power_of_two(std::int32_t n) { return float_of(static_cast<std::uint32_t>(n + 127) << 23); }
inline float magnitude(float x) { return float_of(bits_of(x) & 0x7fffffff); }
inline float with_sign(float x, float of) { return float_of(bits_of(x) | (bits_of(of) & 0x80000000)); }
// A not-a-number stays.
inline float at_least(float x, float low) { return x < low ? low : x; }
inline float at_most(float x, float high) { return x > high ? high : x; }

/// exp(r) - 1 for |r| < 0.35: Taylor's polynomial of degree 7; its next term is below 6e-9.
inline float exp_rest(float r) {
  float p = 1 / 5040.0f;
  p = p * r + 1 / 720.0f;
  p = p * r + 1 / 120.0f;
  p = p * r + 1 / 24.0f;
  p = p * r + 1 / 6.0f;
  p = p * r + 0.5f;
  return p * (r * r) + r;
}

/// x = n log(2) + rest, |rest| <= log(2) / 2 (Cody and Waite, 1980, chapter 6).
struct Reduced {
  float rest;
  std::int32_t n;
};
inline Reduced reduced(float x) {
  const float rounder = x * kLog2E + kRounder, n = rounder - kRounder;
  return {(x - n * kLn2High) - n * kLn2Low, static_cast<std::int32_t>(bits_of(rounder) - bits_of(kRounder))};
}

inline float exponential(float x) {
  const Reduced at = reduced(at_most(at_least(x, -104.0f), 89.0f));
  // In two steps, for what lies above the largest power of two and below the smallest.
  const std::int32_t half = at.n >> 1;
  return (exp_rest(at.rest) + 1) * power_of_two(half) * power_of_two(at.n - half);
}

/// exp(x) - 1 for x <= 0.
inline float exponential_less_one(float x) {
  const Reduced at = reduced(at_least(x, -87.0f));
  const float scale = power_of_two(at.n);
  return scale * exp_rest(at.rest) + (scale - 1);
}

/// log((1 + s) / (1 - s)) = 2 (s + s^3 / 3 + s^5 / 5 + ...): for |s| <= 0.172 and up to 1/3.
inline float logarithm_series(float s) {
  const float z = s * s;
  float p = 1 / 9.0f;
  p = p * z + 1 / 7.0f;
  p = p * z + 1 / 5.0f;
  p = p * z + 1 / 3.0f;
  return 2 * s + 2 * s * (z * p);
}
inline float logarithm_series_long(float s) {
  const float z = s * s;
  float p = 1 / 15.0f;
  p = p * z + 1 / 13.0f;
  p = p * z + 1 / 11.0f;
  p = p * z + 1 / 9.0f;
  p = p * z + 1 / 7.0f;
  p = p * z + 1 / 5.0f;
  p = p * z + 1 / 3.0f;
  return 2 * s + 2 * s * (z * p);
}

inline float logarithm(float x) {
  constexpr float kSmallestNormal = 0x1p-126f;
  constexpr std::uint32_t kRootHalf = 0x3f3504f3;
  const bool tiny = x < kSmallestNormal;
  // x = m 2^e, m from sqrt(1/2) to sqrt(2)
  const std::uint32_t offset = bits_of(tiny ? x * 0x1p23f : x) - kRootHalf;
  const float m = float_of((offset & 0x7fffff) + kRootHalf);
  const float e = static_cast<float>(static_cast<std::int32_t>(offset) >> 23) - (tiny ? 23.0f : 0.0f);
  const float value = e * kLn2High + (logarithm_series((m - 1) / (m + 1)) + e * kLn2Low);
  const float odd = x == 0 ? -kInfinite : kNotANumber;
  return x == kInfinite ? x : x > 0 ? value : odd;
}

/// log(1 + t) for 0 <= t <= 1.
inline float logarithm_of_one_and(float t) { return logarithm_series_long(t / (2 + t)); }

inline float sigmoid(float x) { return 1 / (1 + exponential(-x)); }

inline float hyperbolic_tangent(float x) {
  const float q = exponential_less_one(-2 * magnitude(x));
  return with_sign(magnitude(q / (2 + q)), x);
}

inline float softplus(float x) { return at_least(x, 0) + logarithm_of_one_and(exponential(-magnitude(x))); }

/// exp(-scale z^2) for z >= 0, scale 1 or a half; the rounding error of z^2 is taken along (Cody, 1969,
/// section 4).
inline float gauss(float z, float scale) {
  const float near = at_most(z, 15.0f), head = float_of(bits_of(near) & 0xfffff000);
  return exponential(-scale * (head * head)) * (1 + exp_rest(-scale * (near - head) * (near + head)));
}

/// erfc(z) for z >= 0, of which `density` is exp(-z^2): density t P(t), t = 1 / (1 + 0.4 z). The coefficients
/// are a least-maximum fit of our own over 0..10, within 6.2e-8; beyond,
/// density is 0.
inline float complementary_error(float z, float density) {
  const float t = 1 / (1 + 0.4f * z);
  float p = 0.041253332f;
  p = p * t - 0.140320629f;
  p = p * t + 0.0839901045f;
  p = p * t + 0.0879611969f;
  p = p * t + 0.0797585994f;
  p = p * t + 0.193392336f;
  p = p * t + 0.201887801f;
  p = p * t + 0.226443082f;
  p = p * t + 0.225634232f;
  return density * (p * t);
}

/// Taylor's series below 1, of which the next term is below 2e-9.
inline float error_function(float x) {
  const float z = magnitude(x), square = z * z;
  float p = 1 / 76204800.0f;  // 1 / (k! (2 k + 1)), k = 10
  p = p * square - 1 / 6894720.0f;
  p = p * square + 1 / 685440.0f;
  p = p * square - 1 / 75600.0f;
  p = p * square + 1 / 9360.0f;
  p = p * square - 1 / 1320.0f;
  p = p * square + 1 / 216.0f;
  p = p * square - 1 / 42.0f;
  p = p * square + 1 / 10.0f;
  p = p * square - 1 / 3.0f;
  const float near = 1.12837917f * (z * square * p + z), far = 1 - complementary_error(z, gauss(z, 1));
  return with_sign(z < 1 ? near : far, x);
}

/// The distribution function of the standard normal, and its density.
struct Normal {
  float below, density;
};
inline Normal normal(float x) {
  const float bell = gauss(magnitude(x), 0.5f);
  const float tail = 0.5f * complementary_error(magnitude(x) * 0.707106781f, bell);
  return {x < 0 ? tail : 1 - tail, 0.398942280f * bell};
}

/// The argument of tanh in gelu's approximation, twice.
inline float gelu_inner_twice(float x) { return 1.59576912f * (x + 0.044715f * x * x * x); }

/// tanh(softplus(x)) = w / (w + 2), w = e (e + 2), e = exp(x); it is 1 from 20 on.
struct Mish {
  float e, w;
};
inline Mish mish_parts(float x) {
  const float e = exponential(at_most(x, 20.0f));
  return {e, e * (e + 2)};
}
