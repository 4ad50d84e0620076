// Kind::unary and its slopes; the formulas stand in functions.hpp. Included by loops.hpp alone.

template <typename Of>
void map(const float* x, float* y, std::int64_t count, float alpha, float beta) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] = Of::value(x[i], alpha, beta);
}

template <typename Of>
void slope(const float* from, const float* dy, float* dx, std::int64_t count, float alpha, float beta) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) dx[i] = Of::slope(from[i], alpha, beta) * dy[i];
}

// A function, and its slope from x or y: whichever grad_needs names.
#define TRAINYARD_FUNCTION(name, of_x, of_from)                                                             \
  struct name {                                                                                             \
    static float value(float x, [[maybe_unused]] float alpha, [[maybe_unused]] float beta) { return of_x; } \
    static float slope([[maybe_unused]] float x, [[maybe_unused]] float alpha,                              \
                       [[maybe_unused]] float beta) {                                                       \
      [[maybe_unused]] const float y = x;                                                                   \
      return of_from;                                                                                       \
    }                                                                                                       \
  };

constexpr float kScale = 1.05070099f, kScaleAlpha = 1.05070099f * 1.67326324f;  // selu's

inline float within(float x, float low, float high) { return at_most(at_least(x, low), high); }

TRAINYARD_FUNCTION(Identity, (x), (1.0f))
TRAINYARD_FUNCTION(Negate, (-x), (-1.0f))
TRAINYARD_FUNCTION(Relu, (x < 0 ? 0.0f : x), (y > 0 ? 1.0f : 0.0f))
TRAINYARD_FUNCTION(Relu6, (within(x, 0, 6)), ((y > 0) & (y < 6) ? 1.0f : 0.0f))
TRAINYARD_FUNCTION(LeakyRelu, (x < 0 ? alpha * x : x), (x < 0 ? alpha : 1.0f))
TRAINYARD_FUNCTION(Elu, (x < 0 ? alpha * exponential_less_one(at_most(x, 0)) : x),
                   (x < 0 ? alpha * exponential(x) : 1.0f))
TRAINYARD_FUNCTION(Selu, (x < 0 ? kScaleAlpha * exponential_less_one(at_most(x, 0)) : kScale * x),
                   (x < 0 ? kScaleAlpha * exponential(x) : kScale))
TRAINYARD_FUNCTION(Celu, (x < 0 ? alpha * exponential_less_one(at_most(x / alpha, 0)) : x),
                   (x < 0 ? exponential(x / alpha) : 1.0f))
TRAINYARD_FUNCTION(Sigmoid, (sigmoid(x)), (y * (1 - y)))
TRAINYARD_FUNCTION(Tanh, (hyperbolic_tangent(x)), (1 - y * y))
TRAINYARD_FUNCTION(Softplus, (softplus(x)), (sigmoid(x)))
TRAINYARD_FUNCTION(Softsign, (x / (1 + magnitude(x))), (1 / ((1 + magnitude(x)) * (1 + magnitude(x)))))
TRAINYARD_FUNCTION(HardSwish, (x * (within(x + 3, 0, 6) / 6)),
                   (x <= -3  ? 0.0f
                    : x >= 3 ? 1.0f
                             : (2 * x + 3) / 6))
TRAINYARD_FUNCTION(HardSigmoid, (within(alpha * x + beta, 0, 1)),
                   ((alpha * x + beta > 0) & (alpha * x + beta < 1) ? alpha : 0.0f))
TRAINYARD_FUNCTION(Clip,
                   (x < alpha  ? alpha
                    : x > beta ? beta
                               : x),
                   ((x >= alpha) & (x <= beta) ? 1.0f : 0.0f))
TRAINYARD_FUNCTION(ThresholdedRelu, (x <= alpha ? 0.0f : x), (x > alpha ? 1.0f : 0.0f))
TRAINYARD_FUNCTION(Exponential, (exponential(x)), (y))
TRAINYARD_FUNCTION(Logarithm, (logarithm(x)), (1 / x))
TRAINYARD_FUNCTION(Root, (__builtin_sqrtf(x)), (1 / (2 * y)))
TRAINYARD_FUNCTION(Reciprocal, (1 / x), (-y * y))
TRAINYARD_FUNCTION(Square, (x * x), (2 * x))
TRAINYARD_FUNCTION(Magnitude, (magnitude(x)), (x > 0 ? 1.0f : x < 0 ? -1.0f : 0.0f))
TRAINYARD_FUNCTION(ErrorFunction, (error_function(x)), (1.12837917f * gauss(magnitude(x), 1)))

struct Gelu {
  static float value(float x, float, float) { return x * normal(x).below; }
  static float slope(float x, float, float) {
    const Normal at = normal(x);
    return at.below + x * at.density;
  }
};

struct GeluTanh {
  static float value(float x, float, float) { return x * sigmoid(gelu_inner_twice(x)); }
  static float slope(float x, float, float) {
    const float near = within(x, -20, 20), s = sigmoid(gelu_inner_twice(near));  // flat beyond
    return s + near * (s * (1 - s)) * (1.59576912f * (1 + 3 * 0.044715f * near * near));
  }
};

struct Silu {
  static float value(float x, float, float) { return x * sigmoid(x); }
  static float slope(float x, float, float) {
    const float s = sigmoid(x);
    return s * (1 + x * (1 - s));
  }
};

struct MishOf {
  static float value(float x, float, float) {
    const float w = mish_parts(x).w;
    return x * (w / (w + 2));
  }
  static float slope(float x, float, float) {
    const Mish at = mish_parts(x);
    const float all = at.w + 2, flat = 4 * (at.w + 1) / (all * all);
    return at.w / all + at_most(x, 20.0f) * flat * (at.e / (1 + at.e));
  }
};

#define TRAINYARD_FUNCTIONS(make)    \
  switch (function) {                \
    case Function::identity:         \
      return make<Identity>;         \
    case Function::negate:           \
      return make<Negate>;           \
    case Function::relu:             \
      return make<Relu>;             \
    case Function::relu6:            \
      return make<Relu6>;            \
    case Function::leaky_relu:       \
      return make<LeakyRelu>;        \
    case Function::elu:              \
      return make<Elu>;              \
    case Function::selu:             \
      return make<Selu>;             \
    case Function::celu:             \
      return make<Celu>;             \
    case Function::gelu:             \
      return make<Gelu>;             \
    case Function::gelu_tanh:        \
      return make<GeluTanh>;         \
    case Function::silu:             \
      return make<Silu>;             \
    case Function::mish:             \
      return make<MishOf>;           \
    case Function::hard_swish:       \
      return make<HardSwish>;        \
    case Function::hard_sigmoid:     \
      return make<HardSigmoid>;      \
    case Function::sigmoid:          \
      return make<Sigmoid>;          \
    case Function::tanh:             \
      return make<Tanh>;             \
    case Function::softplus:         \
      return make<Softplus>;         \
    case Function::softsign:         \
      return make<Softsign>;         \
    case Function::clip:             \
      return make<Clip>;             \
    case Function::thresholded_relu: \
      return make<ThresholdedRelu>;  \
    case Function::exp:              \
      return make<Exponential>;      \
    case Function::log:              \
      return make<Logarithm>;        \
    case Function::sqrt:             \
      return make<Root>;             \
    case Function::reciprocal:       \
      return make<Reciprocal>;       \
    case Function::square:           \
      return make<Square>;           \
    case Function::abs:              \
      return make<Magnitude>;        \
    case Function::erf:              \
      return make<ErrorFunction>;    \
    default:                         \
      return nullptr;                \
  }

Vectors::Map map_of(Function function){TRAINYARD_FUNCTIONS(map)} Vectors::Slope slope_of(Function function) {
  TRAINYARD_FUNCTIONS(slope)
}
