// Sixteen floats at a time, as so many registers as the instruction set needs for them: one source for all of
// them, which the flags of the file that includes it choose. Included by bodies.hpp alone, inside an unnamed
// namespace; nothing of the standard library that is not a plain type comes in.

#if defined(__AVX512F__)
#define TRAINYARD_REGISTER 64
#elif defined(__AVX2__)
#define TRAINYARD_REGISTER 32
#else
#define TRAINYARD_REGISTER 16
#endif
typedef float Register __attribute__((vector_size(TRAINYARD_REGISTER)));
typedef std::int32_t Flags __attribute__((vector_size(TRAINYARD_REGISTER)));
/// As it may lie in memory.
typedef float LooseRegister __attribute__((vector_size(TRAINYARD_REGISTER), aligned(4), may_alias));

constexpr int kLanes = 16, kWidth = TRAINYARD_REGISTER / 4, kParts = kLanes / kWidth;

struct Lanes {
  Register part[kParts];
};
/// All ones or zeros a lane; or whole numbers.
struct Truth {
  Flags part[kParts];
};

#define TRAINYARD_EACH_PART _Pragma("GCC unroll 4") for (int i = 0; i < kParts; ++i)

inline Lanes all(float value) {
  Lanes out;
  TRAINYARD_EACH_PART out.part[i] = value - Register{};
  return out;
}
inline Lanes zeros() { return all(0.0f); }
inline Lanes load(const float* at) {
  Lanes out;
  TRAINYARD_EACH_PART out.part[i] = *reinterpret_cast<const LooseRegister*>(at + i * kWidth);
  return out;
}
inline void store(float* at, const Lanes& value) {
  TRAINYARD_EACH_PART* reinterpret_cast<LooseRegister*>(at + i * kWidth) = value.part[i];
}

/// Past the caches, to an address that is a multiple of 64 bytes; fence() makes others see it.
inline void stream(float* at, const Lanes& value) {
#if defined(__AVX512F__)
  _mm512_stream_ps(at, (__m512)value.part[0]);
#elif defined(__AVX2__)
  TRAINYARD_EACH_PART _mm256_stream_ps(at + i * kWidth, (__m256)value.part[i]);
#elif defined(__SSE2__)
  TRAINYARD_EACH_PART _mm_stream_ps(at + i * kWidth, (__m128)value.part[i]);
#else
  store(at, value);
#endif
}
inline void fence() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

#define TRAINYARD_OPERATOR(op)                                \
  inline Lanes operator op(const Lanes& a, const Lanes& b) {  \
    Lanes out;                                                \
    TRAINYARD_EACH_PART out.part[i] = a.part[i] op b.part[i]; \
    return out;                                               \
  }                                                           \
  inline Lanes operator op(const Lanes& a, float b) {         \
    Lanes out;                                                \
    TRAINYARD_EACH_PART out.part[i] = a.part[i] op b;         \
    return out;                                               \
  }                                                           \
  inline Lanes operator op(float a, const Lanes& b) {         \
    Lanes out;                                                \
    TRAINYARD_EACH_PART out.part[i] = a op b.part[i];         \
    return out;                                               \
  }
TRAINYARD_OPERATOR(+)
TRAINYARD_OPERATOR(-)
TRAINYARD_OPERATOR(*)
TRAINYARD_OPERATOR(/)
#undef TRAINYARD_OPERATOR
inline Lanes operator-(const Lanes& a) { return 0.0f - a; }
inline void operator+=(Lanes& a, const Lanes& b) { a = a + b; }

#define TRAINYARD_COMPARISON(op)                              \
  inline Truth operator op(const Lanes& a, const Lanes& b) {  \
    Truth out;                                                \
    TRAINYARD_EACH_PART out.part[i] = a.part[i] op b.part[i]; \
    return out;                                               \
  }                                                           \
  inline Truth operator op(const Lanes& a, float b) { return a op all(b); }
TRAINYARD_COMPARISON(<)
TRAINYARD_COMPARISON(>)
#undef TRAINYARD_COMPARISON
inline Truth operator&(const Truth& a, const Truth& b) {
  Truth out;
  TRAINYARD_EACH_PART out.part[i] = a.part[i] & b.part[i];
  return out;
}
/// a where it is true, else b.
inline Lanes choose(const Truth& truth, const Lanes& a, const Lanes& b) {
  Lanes out;
  TRAINYARD_EACH_PART out.part[i] = truth.part[i] ? a.part[i] : b.part[i];
  return out;
}

/// True in the first `count` lanes.
inline Truth first_lanes(int count) {
  static constexpr std::int32_t kSteps[2 * kLanes] = {-1, -1, -1, -1, -1, -1, -1, -1,
                                                      -1, -1, -1, -1, -1, -1, -1, -1};
  Truth out;
  __builtin_memcpy(&out, kSteps + kLanes - count, sizeof out);
  return out;
}
/// The first `count` floats, and 0 behind them.
inline Lanes load_some(const float* at, int count) {
#if defined(__AVX512F__)
  return {(Register)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), at)};
#elif defined(__AVX2__)
  const Truth there = first_lanes(count);
  Lanes out;
  TRAINYARD_EACH_PART out.part[i] = (Register)_mm256_maskload_ps(at + i * kWidth, (__m256i)there.part[i]);
  return out;
#else
  float value[kLanes] = {};
  __builtin_memcpy(value, at, static_cast<unsigned>(count) * sizeof(float));
  return load(value);
#endif
}
inline void store_some(float* at, const Lanes& value, int count) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(at, static_cast<__mmask16>((1u << count) - 1), (__m512)value.part[0]);
#elif defined(__AVX2__)
  const Truth there = first_lanes(count);
  TRAINYARD_EACH_PART _mm256_maskstore_ps(at + i * kWidth, (__m256i)there.part[i], (__m256)value.part[i]);
#else
  float copy[kLanes];
  store(copy, value);
  __builtin_memcpy(at, copy, static_cast<unsigned>(count) * sizeof(float));
#endif
}

/// One bit a lane of a comparison.
inline std::uint16_t bits_of(const Truth& truth) {
  unsigned bits = 0;
#if defined(__AVX512DQ__)
  bits = _mm512_movepi32_mask((__m512i)truth.part[0]);
#elif defined(__AVX2__)
  TRAINYARD_EACH_PART bits |= static_cast<unsigned>(_mm256_movemask_ps((__m256)truth.part[i])) << (8 * i);
#elif defined(__SSE2__)
  TRAINYARD_EACH_PART bits |= static_cast<unsigned>(_mm_movemask_ps((__m128)truth.part[i])) << (4 * i);
#else
  TRAINYARD_EACH_PART for (int k = 0; k < kWidth; ++k) bits |= (truth.part[i][k] & 1u) << (i * kWidth + k);
#endif
  return static_cast<std::uint16_t>(bits);
}
/// `value` where the bit is set, else 0.
inline Lanes where_bits(std::uint16_t bits, const Lanes& value) {
#if defined(__AVX512F__)
  return {(Register)_mm512_maskz_mov_ps(bits, (__m512)value.part[0])};
#else
  static constexpr std::int32_t kBit[kLanes] = {1,   2,   4,    8,    16,   32,   64,    128,
                                                256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
  Lanes out;
  TRAINYARD_EACH_PART {
    Flags bit;
    __builtin_memcpy(&bit, kBit + i * kWidth, sizeof bit);
    const Flags set = (bit & (static_cast<std::int32_t>(bits) - Flags{})) == bit;
    out.part[i] = set ? value.part[i] : Register{};
  }
  return out;
#endif
}

// Comparisons are false for what is not a number, and these let it through.
inline Lanes at_least(const Lanes& value, float low) { return choose(value < low, all(low), value); }
inline Lanes at_most(const Lanes& value, float high) { return choose(value > high, all(high), value); }
