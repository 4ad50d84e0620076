// Kind::binary and where, over rows in which each operand steps or stays. Included by loops.hpp alone.

template <typename Of, int kStepA, int kStepB>
void binary(const Tile& tile, const float* a, const float* b, void* to) {
  using Result = typename Of::Result;
  for (std::int64_t row = 0; row < tile.rows; ++row) {
    const float *const left = a + row * tile.a_row, *const right = b + row * tile.b_row;
    Result* const y = static_cast<Result*>(to) + row * tile.y_row;
    const float one_left = left[0], one_right = right[0];
#pragma omp simd
    for (std::int64_t i = 0; i < tile.columns; ++i)
      y[i] = Of::of(kStepA ? left[i] : one_left, kStepB ? right[i] : one_right);
  }
}

#define TRAINYARD_ARITHMETIC(name, result, expression)                             \
  struct name {                                                                    \
    using Result = result;                                                         \
    static result of(float a, float b) { return static_cast<result>(expression); } \
  };

TRAINYARD_ARITHMETIC(Add, float, (a + b))
TRAINYARD_ARITHMETIC(Subtract, float, (a - b))
TRAINYARD_ARITHMETIC(Multiply, float, (a * b))
TRAINYARD_ARITHMETIC(Divide, float, (a / b))
TRAINYARD_ARITHMETIC(Minimum, float, ((a < b) | (a != a) ? a : b))
TRAINYARD_ARITHMETIC(Maximum, float, ((a > b) | (a != a) ? a : b))
TRAINYARD_ARITHMETIC(Equal, std::uint8_t, (a == b))
TRAINYARD_ARITHMETIC(Less, std::uint8_t, (a < b))
TRAINYARD_ARITHMETIC(LessEqual, std::uint8_t, (a <= b))
TRAINYARD_ARITHMETIC(Greater, std::uint8_t, (a > b))
TRAINYARD_ARITHMETIC(GreaterEqual, std::uint8_t, (a >= b))
TRAINYARD_ARITHMETIC(And, std::uint8_t, ((a != 0) & (b != 0)))
TRAINYARD_ARITHMETIC(Or, std::uint8_t, ((a != 0) | (b != 0)))
TRAINYARD_ARITHMETIC(Xor, std::uint8_t, ((a != 0) ^ (b != 0)))

template <typename Of>
Vectors::Binary steps_of(bool a, bool b) {
  if (a) return b ? binary<Of, 1, 1> : binary<Of, 1, 0>;
  return b ? binary<Of, 0, 1> : binary<Of, 0, 0>;
}

Vectors::Binary binary_of(Arithmetic arithmetic, bool a, bool b) {
  switch (arithmetic) {
    case Arithmetic::add:
      return steps_of<Add>(a, b);
    case Arithmetic::subtract:
      return steps_of<Subtract>(a, b);
    case Arithmetic::multiply:
      return steps_of<Multiply>(a, b);
    case Arithmetic::divide:
      return steps_of<Divide>(a, b);
    case Arithmetic::minimum:
      return steps_of<Minimum>(a, b);
    case Arithmetic::maximum:
      return steps_of<Maximum>(a, b);
    case Arithmetic::equal:
      return steps_of<Equal>(a, b);
    case Arithmetic::less:
      return steps_of<Less>(a, b);
    case Arithmetic::less_equal:
      return steps_of<LessEqual>(a, b);
    case Arithmetic::greater:
      return steps_of<Greater>(a, b);
    case Arithmetic::greater_equal:
      return steps_of<GreaterEqual>(a, b);
    case Arithmetic::logical_and:
      return steps_of<And>(a, b);
    case Arithmetic::logical_or:
      return steps_of<Or>(a, b);
    case Arithmetic::logical_xor:
      return steps_of<Xor>(a, b);
    default:
      return nullptr;
  }
}

/// The condition steps with the result: its row is y's.
template <int kStepA, int kStepB>
void where(const Tile& tile, const std::uint8_t* condition, const float* a, const float* b, float* to) {
  for (std::int64_t row = 0; row < tile.rows; ++row) {
    const float *const left = a + row * tile.a_row, *const right = b + row * tile.b_row;
    const std::uint8_t* const taken = condition + row * tile.y_row;
    float* const y = to + row * tile.y_row;
    const float one_left = left[0], one_right = right[0];
#pragma omp simd
    for (std::int64_t i = 0; i < tile.columns; ++i) {
      const float from_left = kStepA ? left[i] : one_left, from_right = kStepB ? right[i] : one_right;
      y[i] = taken[i] != 0 ? from_left : from_right;
    }
  }
}

Vectors::Where where_of(bool a, bool b) {
  if (a) return b ? where<1, 1> : where<1, 0>;
  return b ? where<0, 1> : where<0, 0>;
}
