// Operations that move elements: values worked out by hand, on every backend.
#include <catch2/catch.hpp>

#include "tests/kernels/cases.hpp"

namespace trainyard::ops {
namespace {

constexpr DType kTypes[] = {DType::f32, DType::bf16, DType::f16, DType::i32, DType::i64, DType::u8};

TEST_CASE("a reshape keeps the order of elements of every type", "[reshape]") {
  for (const DType type : kTypes) {
    const Typed x{{2, 3}, {1, 2, 3, 4, 5, 6}, type};
    gives(Kind::reshape, {.dims = {3, 1, 2}}, {x}, {{{3, 1, 2}, x.values, type}});
  }
  gives(Kind::reshape, {}, {{{1, 1}, {7}}}, {{{}, {7}}});
  gives(Kind::reshape, {.dims = {1}}, {{{}, {7}}}, {{{1}, {7}}});
  gives(Kind::reshape, {.dims = {0, 5}}, {{{3, 0}, {}}}, {{{0, 5}, {}}});
}

TEST_CASE("a transpose moves axes of every type", "[transpose]") {
  for (const DType type : kTypes) {
    const Typed x{{2, 3}, {1, 2, 3, 4, 5, 6}, type};
    gives(Kind::transpose, {}, {x}, {{{3, 2}, {1, 4, 2, 5, 3, 6}, type}});
    gives(Kind::transpose, {.axes = {2, 0, 1}}, {{{1, 2, 3}, x.values, type}},
          {{{3, 1, 2}, {1, 4, 2, 5, 3, 6}, type}});
  }
  gives(Kind::transpose, {.axes = {1, 2, 3, 4, 5, 6, 7, 0}}, {{{2, 1, 1, 1, 1, 1, 1, 3}, {1, 2, 3, 4, 5, 6}}},
        {{{1, 1, 1, 1, 1, 1, 3, 2}, {1, 4, 2, 5, 3, 6}}});
  gives(Kind::transpose, {}, {{{}, {7}}}, {{{}, {7}}});
  gives(Kind::transpose, {}, {{{0, 3}, {}}}, {{{3, 0}, {}}});
}

TEST_CASE("a slice starts, ends and steps anywhere", "[slice]") {
  for (const DType type : kTypes) {
    const Typed x{{2, 4}, {1, 2, 3, 4, 5, 6, 7, 8}, type};
    const auto cut = [&](std::int64_t start, std::int64_t end, std::int64_t step, Shape shape,
                         std::vector<double> values) {
      gives(Kind::slice, {.axes = {-1}, .starts = {start}, .ends = {end}, .steps = {step}}, {x},
            {{std::move(shape), std::move(values), type}});
    };
    cut(1, 3, 1, {2, 2}, {2, 3, 6, 7});
    cut(-3, -1, 1, {2, 2}, {2, 3, 6, 7});
    cut(0, INT64_MAX, 2, {2, 2}, {1, 3, 5, 7});
    cut(-1, INT64_MIN, -1, {2, 4}, {4, 3, 2, 1, 8, 7, 6, 5});
    cut(2, -5, -2, {2, 2}, {3, 1, 7, 5});
    cut(100, 0, -3, {2, 1}, {4, 8});
    cut(3, 1, 1, {2, 0}, {});
    cut(1, 3, INT64_MAX, {2, 1}, {2, 6});
    cut(3, 0, INT64_MIN, {2, 1}, {4, 8});
    cut(-100, 100, 3, {2, 2}, {1, 4, 5, 8});
    gives(Kind::slice, {.axes = {1, 0}, .starts = {1, 1}, .ends = {4, 2}, .steps = {2, 1}}, {x},
          {{{1, 2}, {6, 8}, type}});
  }
}

TEST_CASE("the gradient of a slice is zero where the slice did not reach", "[slice]") {
  gives_gradient(Kind::slice_grad, {.axes = {1}, .starts = {3}, .ends = {-1}, .steps = {-2}},
                 {{{2, 2}, {1, 2, 3, 4}}}, {{{2, 4}, {0, 2, 0, 1, 0, 4, 0, 3}}});
  gives_gradient(Kind::slice_grad, {.axes = {0}, .starts = {1}, .ends = {2}, .steps = {1}},
                 {{{1, 2}, {5, 6}}}, {{{3, 2}, {0, 0, 5, 6, 0, 0}}});
}

TEST_CASE("tensors are laid side by side along any axis", "[concat]") {
  for (const DType type : kTypes) {
    const Typed a{{2, 1}, {1, 2}, type}, b{{2, 2}, {3, 4, 5, 6}, type}, none{{2, 0}, {}, type};
    gives(Kind::concat, {.axis = 1}, {a, b}, {{{2, 3}, {1, 3, 4, 2, 5, 6}, type}});
    gives(Kind::concat, {.axis = -1}, {none, a, none}, {a});
    gives(Kind::concat, {.axis = 0}, {b, b}, {{{4, 2}, {3, 4, 5, 6, 3, 4, 5, 6}, type}});
  }
  gives(Kind::concat, {.axis = 0}, {{{1}, {4}}}, {{{1}, {4}}});
}

TEST_CASE("padding repeats, reflects or is constant, and crops", "[pad]") {
  const auto pad = [](PadMode mode, std::vector<std::int64_t> starts, std::vector<std::int64_t> ends) {
    return Attributes{.alpha = 9, .starts = std::move(starts), .ends = std::move(ends), .pad_mode = mode};
  };
  for (const DType type : kTypes) {
    const Typed x{{1, 3}, {1, 2, 3}, type};
    gives(Kind::pad, pad(PadMode::constant, {1, 2}, {0, 1}), {x},
          {{{2, 6}, {9, 9, 9, 9, 9, 9, 9, 9, 1, 2, 3, 9}, type}});
    gives(Kind::pad, pad(PadMode::reflect, {0, 2}, {0, 1}), {x}, {{{1, 6}, {3, 2, 1, 2, 3, 2}, type}});
    gives(Kind::pad, pad(PadMode::edge, {1, 2}, {0, 1}), {x},
          {{{2, 6}, {1, 1, 1, 2, 3, 3, 1, 1, 1, 2, 3, 3}, type}});
    gives(Kind::pad, pad(PadMode::constant, {0, -1}, {0, 1}), {x}, {{{1, 3}, {2, 3, 9}, type}});
    gives(Kind::pad, pad(PadMode::reflect, {0, -1}, {0, 2}), {x}, {{{1, 4}, {2, 3, 2, 1}, type}});
    gives(Kind::pad, pad(PadMode::edge, {0, -2}, {0, -1}), {x}, {{{1, 0}, {}, type}});
  }
  gives(Kind::pad, pad(PadMode::constant, {1}, {1}), {{{0}, {}}}, {{{2}, {9, 9}}});
}

TEST_CASE("the gradient of padding gathers what was repeated", "[pad]") {
  const Typed dy{{6}, {1, 2, 4, 8, 16, 32}};
  const auto back = [&](PadMode mode, std::vector<double> dx) {
    gives_gradient(Kind::pad_grad, {.starts = {2}, .ends = {1}, .pad_mode = mode}, {dy},
                   {{{3}, std::move(dx)}});
  };
  back(PadMode::constant, {4, 8, 16});
  back(PadMode::reflect, {4, 8 + 2 + 32, 16 + 1});
  back(PadMode::edge, {1 + 2 + 4, 8, 16 + 32});
  gives_gradient(Kind::pad_grad, {.starts = {-1}, .ends = {1}, .pad_mode = PadMode::constant},
                 {{{3}, {1, 2, 4}}}, {{{3}, {0, 1, 2}}});
}

TEST_CASE("an operand is repeated to a larger shape, perhaps shared out", "[expand]") {
  for (const DType type : kTypes) {
    const Typed x{{2, 1}, {1, 2}, type};
    gives(Kind::expand, {.dims = {3}}, {x}, {{{2, 3}, {1, 1, 1, 2, 2, 2}, type}});
    gives(Kind::expand, {.dims = {2, 1, 1}}, {x}, {{{2, 2, 1}, {1, 2, 1, 2}, type}});
    gives(Kind::expand, {.dims = {2}}, {{{}, {5}, type}}, {{{2}, {5, 5}, type}});
    gives(Kind::expand, {.dims = {2, 0}}, {x}, {{{2, 0}, {}, type}});
  }
  gives(Kind::expand, {.dims = {2, 4}, .reduction = Reduction::mean}, {{{2, 1}, {4, 8}}},
        {{{2, 4}, {1, 1, 1, 1, 2, 2, 2, 2}}});
}

}  // namespace
}  // namespace trainyard::ops
