// Operations along axes: values worked out by hand, on every backend.
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/kernels/cases.hpp"

namespace trainyard::ops {
namespace {

const Typed kNumbers{{2, 3}, {3, -1, 2, 0.5, 4, -2}};

Attributes over(Reduction reduction, std::vector<std::int64_t> axes, bool keep = false) {
  return {.axes = std::move(axes), .reduction = reduction, .keep_dims = keep};
}

TEST_CASE("reductions over the last axis, the first, and all", "[reduce]") {
  gives(Kind::reduce, over(Reduction::sum, {1}), {kNumbers}, {{{2}, {4, 2.5}}});
  gives(Kind::reduce, over(Reduction::sum, {-2}, true), {kNumbers}, {{{1, 3}, {3.5, 3, 0}}});
  gives(Kind::reduce, over(Reduction::sum, {}), {kNumbers}, {{{}, {6.5}}});
  gives(Kind::reduce, over(Reduction::sum, {}, true), {kNumbers}, {{{1, 1}, {6.5}}});
  gives(Kind::reduce, over(Reduction::mean, {0}), {kNumbers}, {{{3}, {1.75, 1.5, 0}}});
  gives(Kind::reduce, over(Reduction::maximum, {1}), {kNumbers}, {{{2}, {3, 4}}});
  gives(Kind::reduce, over(Reduction::minimum, {1}), {kNumbers}, {{{2}, {-1, -2}}});
  gives(Kind::reduce, over(Reduction::product, {1}), {kNumbers}, {{{2}, {-6, -4}}});
  gives(Kind::reduce, over(Reduction::l1, {1}), {kNumbers}, {{{2}, {6, 6.5}}});
  gives(Kind::reduce, over(Reduction::sum_square, {1}), {kNumbers}, {{{2}, {14, 20.25}}});
  gives(Kind::reduce, over(Reduction::l2, {1}), {kNumbers}, {{{2}, {std::sqrt(14), 4.5}}});
  gives(Kind::reduce, over(Reduction::log_sum, {1}), {kNumbers}, {{{2}, {std::log(4), std::log(2.5)}}});
}

TEST_CASE("a scalar is reduced to itself, or to its function", "[reduce]") {
  gives(Kind::reduce, over(Reduction::sum, {}), {{{}, {-3}}}, {{{}, {-3}}});
  gives(Kind::reduce, over(Reduction::l1, {}), {{{}, {-3}}}, {{{}, {3}}});
}

TEST_CASE("reductions of nothing have the value that changes no other", "[reduce]") {
  const Typed nothing{{2, 0}, {}};
  const std::pair<Reduction, double> expected[] = {{Reduction::sum, 0},
                                                   {Reduction::mean, kNan},
                                                   {Reduction::maximum, -kInfinity},
                                                   {Reduction::product, 1},
                                                   {Reduction::minimum, kInfinity},
                                                   {Reduction::l1, 0},
                                                   {Reduction::l2, 0},
                                                   {Reduction::sum_square, 0},
                                                   {Reduction::log_sum, -kInfinity},
                                                   {Reduction::log_sum_exp, -kInfinity}};
  for (const auto& [reduction, value] : expected) {
    gives(Kind::reduce, over(reduction, {1}), {nothing}, {{{2}, {value, value}}});
    gives(Kind::reduce, over(reduction, {0}), {nothing}, {{{0}, {}}});
  }
  const Typed bytes{{1, 0}, {}, DType::u8};
  gives(Kind::reduce, over(Reduction::maximum, {1}), {bytes}, {{{1}, {0}, DType::u8}});
  gives(Kind::reduce, over(Reduction::minimum, {1}), {bytes}, {{{1}, {255}, DType::u8}});
  gives(Kind::reduce, over(Reduction::mean, {1}), {bytes}, {{{1}, {0}, DType::u8}});
}

TEST_CASE("whole numbers are reduced without a detour through reals", "[reduce]") {
  for (const DType type : {DType::i32, DType::i64}) {
    const Typed x{{2, 2}, {7, -8, 1, -4}, type};
    const auto of = [&](double a, double b) { return Typed{{2}, {a, b}, type}; };
    gives(Kind::reduce, over(Reduction::sum, {1}), {x}, {of(-1, -3)});
    gives(Kind::reduce, over(Reduction::mean, {1}), {x}, {of(0, -1)});
    gives(Kind::reduce, over(Reduction::maximum, {0}), {x}, {of(7, -4)});
    gives(Kind::reduce, over(Reduction::product, {1}), {x}, {of(-56, -4)});
    gives(Kind::reduce, over(Reduction::l1, {1}), {x}, {of(15, 5)});
    gives(Kind::reduce, over(Reduction::sum_square, {1}), {x}, {of(113, 17)});
  }
  const Typed bytes{{3}, {200, 100, 3}, DType::u8};
  gives(Kind::reduce, over(Reduction::sum, {0}), {bytes}, {{{}, {47}, DType::u8}});
  gives(Kind::reduce, over(Reduction::mean, {0}), {bytes}, {{{}, {101}, DType::u8}});
}

TEST_CASE("the logarithm of a sum of exponentials does not overflow", "[reduce]") {
  const auto log_sum_exp = over(Reduction::log_sum_exp, {1});
  gives(Kind::reduce, log_sum_exp, {{{2, 2}, {1000, 1000, -1000, -1001}}},
        {{{2}, {1000 + std::log(2), -1000 + std::log(1 + std::exp(-1))}}});
  gives(Kind::reduce, log_sum_exp, {{{3, 2}, {-kInfinity, -kInfinity, kInfinity, 1, kNan, 1}}},
        {{{3}, {-kInfinity, kInfinity, kNan}}});
}

TEST_CASE("what is not a number is the extreme", "[reduce]") {
  const Typed x{{3, 3}, {1, kNan, 2, kNan, 1, 2, 1, 2, kNan}};
  for (const Reduction reduction : {Reduction::maximum, Reduction::minimum, Reduction::sum})
    gives(Kind::reduce, over(reduction, {1}), {x}, {{{3}, {kNan, kNan, kNan}}});
  gives(Kind::arg_extreme, {.axis = 1, .keep_dims = false}, {x}, {{{3}, {1, 0, 2}, DType::i64}});
}

TEST_CASE("the first of equal extremes is named", "[arg_extreme]") {
  for (const DType type : {DType::f32, DType::i32, DType::i64, DType::u8}) {
    const Typed x{{2, 3}, {1, 3, 3, 2, 0, 0}, type};
    gives(Kind::arg_extreme, {.axis = -1}, {x}, {{{2, 1}, {1, 0}, DType::i64}});
    gives(Kind::arg_extreme, {.axis = -1, .keep_dims = false, .largest = false}, {x},
          {{{2}, {0, 1}, DType::i64}});
    gives(Kind::arg_extreme, {.axis = 0, .keep_dims = false}, {x}, {{{3}, {1, 0, 0}, DType::i64}});
  }
}

TEST_CASE("the largest come in order, equals as they lie", "[top_k]") {
  for (const DType type : {DType::f32, DType::i32, DType::u8}) {
    const Typed x{{2, 4}, {1, 3, 3, 2, 5, 0, 5, 6}, type};
    gives(Kind::top_k, {.axis = 1, .size = 3}, {x},
          {{{2, 3}, {3, 3, 2, 6, 5, 5}, type}, {{2, 3}, {1, 2, 3, 3, 0, 2}, DType::i64}});
    gives(Kind::top_k, {.axis = 1, .size = 2, .largest = false}, {x},
          {{{2, 2}, {1, 2, 0, 5}, type}, {{2, 2}, {0, 3, 1, 0}, DType::i64}});
    gives(Kind::top_k, {.axis = 0, .size = 1}, {x},
          {{{1, 4}, {5, 3, 5, 6}, type}, {{1, 4}, {1, 0, 1, 1}, DType::i64}});
    gives(Kind::top_k, {.axis = 1, .size = 0}, {x}, {{{2, 0}, {}, type}, {{2, 0}, {}, DType::i64}});
  }
  gives(Kind::top_k, {.axis = 0, .size = 3}, {{{4}, {1, kNan, 2, kNan}}},
        {{{3}, {kNan, kNan, 2}}, {{3}, {1, 3, 2}, DType::i64}});
}

TEST_CASE("sums run along an axis, in either direction, with or without the element itself",
          "[cumulative_sum]") {
  for (const DType type : {DType::f32, DType::i32, DType::i64}) {
    const Typed x{{2, 3}, {1, 2, 3, 4, 5, 6}, type};
    const auto of = [&](std::vector<double> values) { return Typed{{2, 3}, std::move(values), type}; };
    gives(Kind::cumulative_sum, {.axis = 1}, {x}, {of({1, 3, 6, 4, 9, 15})});
    gives(Kind::cumulative_sum, {.axis = 0}, {x}, {of({1, 2, 3, 5, 7, 9})});
    gives(Kind::cumulative_sum, {.axis = 1, .exclusive = true}, {x}, {of({0, 1, 3, 0, 4, 9})});
    gives(Kind::cumulative_sum, {.axis = 1, .reverse = true}, {x}, {of({6, 5, 3, 15, 11, 6})});
    gives(Kind::cumulative_sum, {.axis = 1, .exclusive = true, .reverse = true}, {x},
          {of({5, 3, 0, 11, 6, 0})});
  }
}

TEST_CASE("softmax along any axis, of large scores too", "[softmax]") {
  const double e = std::exp(1), p = 1 / (1 + e);
  const Typed x{{2, 2}, {1000, 1001, 5, 5}};
  gives(Kind::softmax, {.axis = 1}, {x}, {{{2, 2}, {p, 1 - p, 0.5, 0.5}}});
  gives(Kind::softmax, {.axis = 0}, {x}, {{{2, 2}, {1, 1, 0, 0}}});
  gives(Kind::log_softmax, {.axis = 1}, {x},
        {{{2, 2}, {std::log(p), std::log(1 - p), -std::log(2), -std::log(2)}}});
  gives(Kind::softmax, {.axis = -1}, {{{3, 1}, {7, -1e30, 1e30}}}, {{{3, 1}, {1, 1, 1}}});
  gives(Kind::softmax, {.axis = 1}, {{{2, 0}, {}}}, {{{2, 0}, {}}});
  gives(Kind::softmax, {.axis = 0}, {{{2}, {-kInfinity, 3}}}, {{{2}, {0, 1}}});
}

TEST_CASE("gradients of softmax and of its logarithm sum to zero along the axis", "[softmax]") {
  gives_gradient(Kind::softmax_grad, {.axis = 1}, {{{1, 2}, {0.25, 0.75}}, {{1, 2}, {2, -2}}},
                 {{{1, 2}, {0.75, -0.75}}});
  gives_gradient(Kind::log_softmax_grad, {.axis = 0},
                 {{{2, 1}, {std::log(0.25), std::log(0.75)}}, {{2, 1}, {2, -1}}}, {{{2, 1}, {1.75, -1.75}}});
}

}  // namespace
}  // namespace trainyard::ops
