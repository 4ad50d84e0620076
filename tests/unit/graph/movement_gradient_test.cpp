// Gradients of operations along axes, of movement, look-ups and products of matrices.
#include <catch2/catch.hpp>

#include "tests/support/gradient_check.hpp"

namespace trainyard::graph::test {
namespace {

using ops::Coordinates;
using ops::Function;
using ops::Interpolation;
using ops::PadMode;
using ops::Reduction;
using Dims = std::vector<std::int64_t>;
using Values = std::map<std::string, std::vector<double>>;

/// y = kind(w), and tanh behind it so that the gradient that comes in differs from element to element.
void check_one(Kind kind, const Attributes& attributes, const Dims& shape, double low = -1, double high = 1,
               const Values& values = {}) {
  INFO(ops::name_of(kind) << " of " << Shape(shape).text());
  check_gradients({.build =
                       [&](Builder& b) {
                         const ValueId y = apply(b, kind, attributes, {weight(b, "w", shape)});
                         return std::vector{apply(b, Kind::unary, {.function = Function::tanh}, {y})};
                       },
                   .low = low,
                   .high = high,
                   .values = values});
}

TEST_CASE("every reduction over any axes hands its gradient back", "[gradient]") {
  for (int number = 0; number <= static_cast<int>(Reduction::sum_square); ++number)
    for (const bool keep : {false, true})
      for (const Dims& axes : {Dims{0}, Dims{1}, Dims{2}, Dims{0, 2}, Dims{1, 2}, Dims{}}) {
        INFO("reduction " << number);
        check_one(Kind::reduce,
                  {.axes = axes, .reduction = static_cast<Reduction>(number), .keep_dims = keep}, {2, 3, 2},
                  0.5, 1.5);
      }
  check_one(Kind::reduce, {.axes = {1}, .reduction = Reduction::l1}, {2, 3});
  check_one(Kind::reduce, {.axes = {1}, .reduction = Reduction::log_sum_exp}, {2, 3}, -30, 30);
}

TEST_CASE("a mean over the batch divides by its size", "[gradient]") {
  check_gradients(
      {.build =
           [](Builder& b) {
             const ValueId x = b.input("x", Signature({tensor::kBatch, 3}));
             const ValueId y =
                 apply(b, Kind::binary, {.arithmetic = ops::Arithmetic::multiply}, {x, weight(b, "w", {3})});
             return std::vector{apply(b, Kind::reduce, {.axes = {0}, .reduction = Reduction::mean}, {y})};
           },
       .batch = 7});
}

TEST_CASE("products with zeros and lengths of zero have gradients that are numbers", "[gradient]") {
  for (const Dims& axes : {Dims{1}, Dims{0}, Dims{0, 1}})
    check_one(Kind::reduce, {.axes = axes, .reduction = Reduction::product}, {3, 3}, -1, 1,
              {{"w", {2, -3, 4, 0, 5, -6, 0, 7, 0}}});
  check_one(Kind::reduce, {.axes = {0}, .reduction = Reduction::product}, {1, 2}, -1, 1, {{"w", {0, 2}}});
  check_one(Kind::reduce, {.axes = {1}, .reduction = Reduction::l2}, {2, 1}, -1, 1, {{"w", {0, 2}}});
}

TEST_CASE("equal extremes share the gradient", "[gradient]") {
  check_one(Kind::reduce, {.axes = {1}, .reduction = Reduction::maximum}, {1, 3}, -1, 1, {{"w", {2, 1, 2}}});
}

TEST_CASE("softmax, its logarithm and running sums along any axis", "[gradient]") {
  for (const std::int64_t axis : {0, 1, 2}) {
    check_one(Kind::softmax, {.axis = axis}, {2, 3, 4}, -2, 2);
    check_one(Kind::log_softmax, {.axis = axis}, {2, 3, 4}, -2, 2);
    for (const bool exclusive : {false, true})
      for (const bool reverse : {false, true})
        check_one(Kind::cumulative_sum, {.axis = axis, .exclusive = exclusive, .reverse = reverse},
                  {2, 3, 4});
    check_one(Kind::top_k, {.axis = axis, .size = 2}, {2, 3, 4});
    check_one(Kind::top_k, {.axis = axis, .size = 1, .largest = false}, {2, 3, 4});
  }
}

TEST_CASE("what moves elements moves their gradients back", "[gradient]") {
  check_one(Kind::reshape, {.dims = {3, 4}}, {2, 6});
  for (const Dims& axes : {Dims{0, 1, 2, 3}, Dims{3, 1, 0, 2}, Dims{1, 2, 3, 0}, Dims{0, 2, 3, 1}})
    check_one(Kind::transpose, {.axes = axes}, {2, 3, 1, 4});
  check_one(Kind::slice, {.axes = {1}, .starts = {1}, .ends = {3}}, {2, 4});
  check_one(Kind::slice, {.axes = {1, 0}, .starts = {-1, 0}, .ends = {0, 1}, .steps = {-2, 1}}, {2, 5});
  check_one(Kind::slice, {.axes = {0}, .starts = {2}, .ends = {1}}, {3});
  for (const Dims& dims : {Dims{2, 3}, Dims{4, 2, 3}, Dims{1, 1}})
    for (const Reduction reduction : {Reduction::sum, Reduction::mean})
      check_one(Kind::expand, {.dims = dims, .reduction = reduction}, {2, 1});
  check_one(Kind::expand, {.dims = {3, 2}}, {});
}

TEST_CASE("padding of every mode, cropping too", "[gradient]") {
  for (const PadMode mode : {PadMode::constant, PadMode::reflect, PadMode::edge}) {
    check_one(Kind::pad, {.alpha = 0.5, .starts = {1, 2}, .ends = {0, 1}, .pad_mode = mode}, {2, 3});
    check_one(Kind::pad, {.starts = {0, -1}, .ends = {1, 2}, .pad_mode = mode}, {2, 4});
    check_one(Kind::pad, {.starts = {-1, 0}, .ends = {0, -2}, .pad_mode = mode}, {2, 4});
  }
}

TEST_CASE("parts laid side by side get their own gradients, the same part twice both", "[gradient]") {
  for (const std::int64_t axis : {0, 1})
    check_gradients({.build = [&](Builder& b) {
      const ValueId w = weight(b, "w", {2, 3}), v = weight(b, "v", axis == 0 ? Dims{1, 3} : Dims{2, 1});
      const ValueId y = apply(b, Kind::concat, {.axis = axis}, {w, v, w});
      return std::vector{apply(b, Kind::unary, {.function = Function::tanh}, {y})};
    }});
  check_gradients({.build = [](Builder& b) {
    const ValueId x = b.input("x", Signature({tensor::kBatch, 2}));
    const ValueId y = apply(b, Kind::binary, {.arithmetic = ops::Arithmetic::add}, {x, weight(b, "w", {2})});
    return std::vector{apply(b, Kind::concat, {.axis = 1}, {y, x, y})};
  }});
}

TEST_CASE("look-ups add up what went to the same place", "[gradient]") {
  for (const DType type : {DType::i32, DType::i64})
    for (const std::int64_t axis : {0, 1})
      check_gradients(
          {.build =
               [&](Builder& b) {
                 const ValueId index = b.input("index", {Shape{2, 2}, type});
                 return std::vector{apply(b, Kind::gather, {.axis = axis}, {weight(b, "w", {3, 4}), index})};
               },
           .values = {{"index", {2, 0, -1, 2}}}});
  check_gradients(
      {.build =
           [](Builder& b) {
             const ValueId index = b.input("index", {Shape{tensor::kBatch}, DType::i32});
             return std::vector{apply(b, Kind::gather, {.axis = 0}, {weight(b, "table", {4, 2}), index})};
           },
       .batch = 5,
       .values = {{"index", {3, 3, 0, 1, 3}}}});
  check_gradients({.build =
                       [](Builder& b) {
                         const ValueId index = b.input("index", {Shape{2, 3}, DType::i64});
                         return std::vector{
                             apply(b, Kind::gather_elements, {.axis = 1}, {weight(b, "w", {3, 4}), index})};
                       },
                   .values = {{"index", {1, 1, -1, 0, 3, 2}}}});
}

TEST_CASE("of updates of one place the last has the gradient, or all when they add", "[gradient]") {
  for (const bool accumulate : {false, true})
    for (const std::int64_t axis : {0, 1})
      check_gradients({.build =
                           [&](Builder& b) {
                             const ValueId index = b.input("index", {Shape{2, 3}, DType::i64});
                             const ValueId y =
                                 apply(b, Kind::scatter_elements, {.axis = axis, .accumulate = accumulate},
                                       {weight(b, "w", {2, 4}), index, weight(b, "u", {2, 3})});
                             return std::vector{apply(b, Kind::unary, {.function = Function::tanh}, {y})};
                           },
                       .values = {{"index", {1, 1, 0, 0, -1, 1}}}});
}

TEST_CASE("resizing of every kind hands its gradient back", "[gradient]") {
  for (const auto interpolation : {Interpolation::nearest, Interpolation::linear, Interpolation::cubic})
    for (const auto coordinates : {Coordinates::half_pixel, Coordinates::pytorch_half_pixel,
                                   Coordinates::align_corners, Coordinates::asymmetric})
      for (const Dims& to : {Dims{5, 7}, Dims{2, 1}, Dims{3, 4}})
        check_one(Kind::resize, {.dims = to, .coordinates = coordinates, .interpolation = interpolation},
                  {1, 2, 3, 4});
}

TEST_CASE("products of matrices, transposed and stretched", "[gradient]") {
  const std::pair<Dims, Dims> leads[] = {{{}, {}},      {{2}, {2}},       {{2}, {}},       {{}, {2}},
                                         {{2, 1}, {3}}, {{1, 3}, {2, 1}}, {{2, 3}, {2, 3}}};
  for (const auto& [a, b] : leads)
    for (const bool ta : {false, true})
      for (const bool tb : {false, true}) {
        Dims left = a, right = b;
        left.insert(left.end(), {ta ? 4 : 2, ta ? 2 : 4});
        right.insert(right.end(), {tb ? 3 : 4, tb ? 4 : 3});
        INFO(Shape(left).text() << " by " << Shape(right).text());
        check_gradients({.build = [&](Builder& builder) {
          return std::vector{apply(builder, Kind::matmul, {.transpose_a = ta, .transpose_b = tb},
                                   {weight(builder, "a", left), weight(builder, "b", right)})};
        }});
      }
}

}  // namespace
}  // namespace trainyard::graph::test
