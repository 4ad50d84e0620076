// Elementwise operations: values worked out by hand, on every backend.
#include <catch2/catch.hpp>

#include "tests/kernels/cases.hpp"

namespace trainyard::ops {
namespace {

Attributes function(Function of, double alpha = 0, double beta = 0) {
  return {.alpha = alpha, .beta = beta, .function = of};
}
Attributes arithmetic(Arithmetic of) { return {.arithmetic = of}; }
Attributes to(DType type) { return {.type = type}; }

TEST_CASE("a function of what is not a number is not a number", "[unary]") {
  for (int number = 0; number <= static_cast<int>(Function::celu); ++number) {
    const auto of = static_cast<Function>(number);
    if (of == Function::logical_not || of == Function::is_nan || of == Function::is_inf) continue;
    INFO("function " << number);
    gives(Kind::unary, function(of, 0.5, 1), {{{3}, {kNan, kNan, kNan}}}, {{{3}, {kNan, kNan, kNan}}});
  }
}

TEST_CASE("functions that ask give bytes, whatever they are asked about", "[unary]") {
  const Typed odd{{5}, {0, kNan, -kInfinity, kInfinity, 2}};
  gives(Kind::unary, function(Function::is_nan), {odd}, {{{5}, {0, 1, 0, 0, 0}, DType::u8}});
  gives(Kind::unary, function(Function::is_inf), {odd}, {{{5}, {0, 0, 1, 1, 0}, DType::u8}});
  gives(Kind::unary, function(Function::logical_not), {odd}, {{{5}, {1, 0, 0, 0, 0}, DType::u8}});
  for (const DType type : {DType::u8, DType::i32, DType::i64})
    gives(Kind::unary, function(Function::logical_not), {{{3}, {0, 1, 7}, type}},
          {{{3}, {1, 0, 0}, DType::u8}});
}

TEST_CASE("functions of whole numbers wrap around and clip", "[unary]") {
  const double low = -2147483648.0;
  const Typed x{{4}, {-3, 0, 5, low}, DType::i32};
  const auto i32 = [](std::vector<double> values) { return Typed{{4}, std::move(values), DType::i32}; };
  gives(Kind::unary, function(Function::negate), {x}, {i32({3, 0, -5, low})});
  gives(Kind::unary, function(Function::abs), {x}, {i32({3, 0, 5, low})});
  gives(Kind::unary, function(Function::sign), {x}, {i32({-1, 0, 1, -1})});
  gives(Kind::unary, function(Function::relu), {x}, {i32({0, 0, 5, 0})});
  gives(Kind::unary, function(Function::square), {x}, {i32({9, 0, 25, 0})});
  gives(Kind::unary, function(Function::clip, -2.5, 1e30), {x}, {i32({-2, 0, 5, -2})});
  gives(Kind::unary, function(Function::floor), {x}, {x});
  gives(Kind::unary, function(Function::negate), {{{2}, {0, 1}, DType::u8}}, {{{2}, {0, 255}, DType::u8}});
}

TEST_CASE("rounding goes to the even neighbour", "[unary]") {
  gives(Kind::unary, function(Function::round), {{{7}, {-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 8388609}}},
        {{{7}, {-2, -2, -0.0, 0, 2, 2, 8388609}}});
}

TEST_CASE("operands stretch along axes of one, from the right", "[binary]") {
  const Typed row{{3}, {1, 2, 3}}, column{{2, 1}, {10, 20}};
  gives(Kind::binary, arithmetic(Arithmetic::add), {row, column}, {{{2, 3}, {11, 12, 13, 21, 22, 23}}});
  gives(Kind::binary, arithmetic(Arithmetic::subtract), {column, row}, {{{2, 3}, {9, 8, 7, 19, 18, 17}}});
  gives(Kind::binary, arithmetic(Arithmetic::divide), {{{}, {6}}, row}, {{{3}, {6, 3, 2}}});
  gives(Kind::binary, arithmetic(Arithmetic::multiply), {{{}, {6}}, {{}, {7}}}, {{{}, {42}}});
  gives(Kind::binary, arithmetic(Arithmetic::add), {{{1, 0}, {}}, column}, {{{2, 0}, {}}});
  gives(Kind::binary, arithmetic(Arithmetic::add), {{{2, 1, 2, 1}, {1, 2, 3, 4}}, {{3, 1, 1}, {10, 20, 30}}},
        {{{2, 3, 2, 1}, {11, 12, 21, 22, 31, 32, 13, 14, 23, 24, 33, 34}}});
}

TEST_CASE("whole numbers are divided by anything", "[binary]") {
  const double low = -2147483648.0;
  const Typed a{{6}, {7, -7, 7, -7, 5, low}, DType::i32}, b{{6}, {2, 2, -2, -2, 0, -1}, DType::i32};
  const auto i32 = [](std::vector<double> values) { return Typed{{6}, std::move(values), DType::i32}; };
  gives(Kind::binary, arithmetic(Arithmetic::divide), {a, b}, {i32({3, -3, -3, 3, 0, low})});
  gives(Kind::binary, arithmetic(Arithmetic::f_modulo), {a, b}, {i32({1, -1, 1, -1, 0, 0})});
  gives(Kind::binary, arithmetic(Arithmetic::modulo), {a, b}, {i32({1, 1, -1, -1, 0, 0})});
  gives(Kind::binary, arithmetic(Arithmetic::power), {a, b}, {i32({49, 49, 0, 0, 1, 0})});
  gives(Kind::binary, arithmetic(Arithmetic::divide), {{{2}, {7, 7}, DType::u8}, {{2}, {0, 2}, DType::u8}},
        {{{2}, {0, 3}, DType::u8}});
}

TEST_CASE("whole numbers wrap around", "[binary]") {
  const auto u8 = [](double a, double b) { return Typed{{2}, {a, b}, DType::u8}; };
  gives(Kind::binary, arithmetic(Arithmetic::add), {u8(250, 1), u8(10, 2)}, {u8(4, 3)});
  gives(Kind::binary, arithmetic(Arithmetic::subtract), {u8(1, 3), u8(2, 2)}, {u8(255, 1)});
  gives(Kind::binary, arithmetic(Arithmetic::multiply), {u8(16, 3), u8(16, 2)}, {u8(0, 6)});
  gives(Kind::binary, arithmetic(Arithmetic::multiply),
        {{{1}, {65536}, DType::i32}, {{1}, {32768}, DType::i32}}, {{{1}, {-2147483648.0}, DType::i32}});
}

TEST_CASE("reals have remainders of either sign, and extremes that are not numbers", "[binary]") {
  const Typed a{{4}, {5.5, -5.5, 5.5, -5.5}}, b{{4}, {2, 2, -2, -2}};
  gives(Kind::binary, arithmetic(Arithmetic::f_modulo), {a, b}, {{{4}, {1.5, -1.5, 1.5, -1.5}}});
  gives(Kind::binary, arithmetic(Arithmetic::modulo), {a, b}, {{{4}, {1.5, 0.5, -0.5, -1.5}}});
  const Typed c{{4}, {1, kNan, 1, 2}}, d{{4}, {2, 1, kNan, 1}};
  gives(Kind::binary, arithmetic(Arithmetic::minimum), {c, d}, {{{4}, {1, kNan, kNan, 1}}});
  gives(Kind::binary, arithmetic(Arithmetic::maximum), {c, d}, {{{4}, {2, kNan, kNan, 2}}});
  gives(Kind::binary, arithmetic(Arithmetic::power), {{{4}, {2, 9, -2, 0}}, {{4}, {3, 0.5, 2, 0}}},
        {{{4}, {8, 3, 4, 1}}});
  gives(Kind::binary, arithmetic(Arithmetic::power), {{{3}, {-3, 2, 0}}, {{}, {2}}}, {{{3}, {9, 4, 0}}});
}

TEST_CASE("comparisons and logic give bytes, of every type", "[binary]") {
  for (const DType type : {DType::f32, DType::i32, DType::i64, DType::u8}) {
    const Typed a{{4}, {1, 2, 3, 0}, type}, b{{}, {2}, type}, c{{4}, {0, 2, 0, 0}, type};
    const auto u8 = [](std::vector<double> values) { return Typed{{4}, std::move(values), DType::u8}; };
    gives(Kind::binary, arithmetic(Arithmetic::equal), {a, b}, {u8({0, 1, 0, 0})});
    gives(Kind::binary, arithmetic(Arithmetic::less), {a, b}, {u8({1, 0, 0, 1})});
    gives(Kind::binary, arithmetic(Arithmetic::less_equal), {a, b}, {u8({1, 1, 0, 1})});
    gives(Kind::binary, arithmetic(Arithmetic::greater), {a, b}, {u8({0, 0, 1, 0})});
    gives(Kind::binary, arithmetic(Arithmetic::greater_equal), {a, b}, {u8({0, 1, 1, 0})});
    gives(Kind::binary, arithmetic(Arithmetic::logical_and), {a, c}, {u8({0, 1, 0, 0})});
    gives(Kind::binary, arithmetic(Arithmetic::logical_or), {a, c}, {u8({1, 1, 1, 0})});
    gives(Kind::binary, arithmetic(Arithmetic::logical_xor), {a, c}, {u8({1, 0, 1, 0})});
  }
  const Typed nan{{1}, {kNan}};
  gives(Kind::binary, arithmetic(Arithmetic::equal), {nan, nan}, {{{1}, {0}, DType::u8}});
}

TEST_CASE("where takes from either side, and all three stretch", "[where]") {
  const Typed condition{{2, 1}, {1, 0}, DType::u8};
  for (const DType type : {DType::f32, DType::bf16, DType::i32, DType::i64, DType::u8})
    gives(Kind::where, {}, {condition, {{3}, {1, 2, 3}, type}, {{}, {9}, type}},
          {{{2, 3}, {1, 2, 3, 9, 9, 9}, type}});
}

TEST_CASE("casts go towards zero and stay in range", "[cast]") {
  const Typed reals{{7}, {1.9, -1.9, 300.5, -300.5, 1e20, -kInfinity, kNan}};
  gives(Kind::cast, to(DType::i32), {reals},
        {{{7}, {1, -1, 300, -300, 2147483647.0, -2147483648.0, 0}, DType::i32}});
  gives(Kind::cast, to(DType::u8), {reals}, {{{7}, {1, 0, 255, 0, 255, 0, 0}, DType::u8}});
  gives(Kind::cast, to(DType::i64), {reals}, {{{7}, {1, -1, 300, -300, 0x1p63, -0x1p63, 0}, DType::i64}});
  const Typed whole{{3}, {-1, 255, 258}, DType::i32};
  gives(Kind::cast, to(DType::u8), {whole}, {{{3}, {255, 255, 2}, DType::u8}});
  gives(Kind::cast, to(DType::i64), {whole}, {{{3}, {-1, 255, 258}, DType::i64}});
  gives(Kind::cast, to(DType::f32), {whole}, {{{3}, {-1, 255, 258}}});
  gives(Kind::cast, to(DType::i32), {{{2}, {4294967299.0, -1}, DType::i64}}, {{{2}, {3, -1}, DType::i32}});
  gives(Kind::cast, to(DType::f32), {{{2}, {200, 3}, DType::u8}}, {{{2}, {200, 3}}});
}

TEST_CASE("sixteen bits hold the nearest number, ties to even", "[cast]") {
  // bf16 has 8 bits of precision: between 256 and 512 its numbers are even, between 1 and 2 they are 1/128
  // apart.
  gives(Kind::cast, to(DType::bf16), {{{7}, {257, 259, 1 + 1.0 / 256, 3.39e38, 3.4e38, kInfinity, kNan}}},
        {{{7}, {256, 260, 1, 0x1.fep127, kInfinity, kInfinity, kNan}, DType::bf16}});
  // binary16 has 11: 2049 lies between 2048 and 2050; 65504 is the largest; 2^-24 the smallest.
  gives(Kind::cast, to(DType::f16), {{{7}, {2049, 2051, 65519, 65520, 0x1p-24, 0x1.8p-25, -0x1p-25}}},
        {{{7}, {2048, 2052, 65504, kInfinity, 0x1p-24, 0x1p-24, -0.0}, DType::f16}});
  for (const DType type : {DType::bf16, DType::f16}) {
    const Typed exact{{5}, {0, -1.5, 0.25, 240, -kInfinity}, type};
    gives(Kind::cast, to(DType::f32), {exact}, {{exact.shape, exact.values}});
    gives(Kind::cast, to(DType::i32), {{{2}, {-3.5, 7}, type}}, {{{2}, {-3, 7}, DType::i32}});
  }
}

}  // namespace
}  // namespace trainyard::ops
