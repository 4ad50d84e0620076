// Functions of a register of floats. Included within the namespace of an instruction set.

inline Register every(float value) { return value - Register{}; }
inline Register load_register(const float* at) { return *reinterpret_cast<const LooseRegister*>(at); }
inline void store_register(float* at, Register value) { *reinterpret_cast<LooseRegister*>(at) = value; }
inline Register load_some_of(const float* at, int count) {
  float copy[kWidth] = {};
  for (int i = 0; i < count; ++i) copy[i] = at[i];
  return load_register(copy);
}
inline void store_some_of(float* at, Register value, int count) {
  float copy[kWidth];
  store_register(copy, value);
  for (int i = 0; i < count; ++i) at[i] = copy[i];
}

/// exp(x) within 2 units in the last place; 0 below -87.4, infinity above 88.8. x = n ln 2 + r by ln 2 in two
/// parts (Cody, Waite, 1980, chapter 6), then Taylor's polynomial of degree 7 for |r| < 0.35.
inline Register exponential(Register x) {
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  Register bounded = x > 89.0f ? every(89.0f) : x;
  bounded = bounded < -88.0f ? every(-88.0f) : bounded;
  const Register shifted = bounded * 1.44269504f + kRounder, n = shifted - kRounder;
  const Register r = (bounded - n * 0.693359375f) - n * -2.12194440e-4f;
  Register p = every(1 / 5040.0f);
  p = p * r + 1 / 720.0f;
  p = p * r + 1 / 120.0f;
  p = p * r + 1 / 24.0f;
  p = p * r + 1 / 6.0f;
  p = p * r + 0.5f;
  p = p * (r * r) + r + 1.0f;
  // In two steps: 2^128 is no float.
  const Flags whole = (Flags)shifted - (Flags)every(kRounder), half = whole >> 1;
  const Register y = p * (Register)((half + 127) << 23) * (Register)((whole - half + 127) << 23);
  return x < -87.4f ? Register{} : y;
}
inline Register logistic(Register x) { return 1.0f / (1.0f + exponential(-x)); }
/// tanh(x) within 3 units in the last place: by exp, and near 0 by the polynomial of Cephes (Moshier, tanhf).
inline Register hyperbolic_tangent(Register x) {
  const Register size = (Register)((Flags)x & 0x7fffffff), square = x * x;
  Register p = every(-5.70498872745e-3f);
  p = p * square + 2.06390887954e-2f;
  p = p * square - 5.37397155531e-2f;
  p = p * square + 1.33314422036e-1f;
  p = p * square - 3.33332819422e-1f;
  const Register near = p * square * x + x;
  const Register far = 1.0f - 2.0f / (exponential(size + size) + 1.0f);
  const Register bent = x < 0.0f ? -far : far;
  return size < 0.625f ? near : bent;
}
