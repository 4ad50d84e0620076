// Gradients of elementwise operations, and how gradients of shared, viewed and frozen values come together.
#include <catch2/catch.hpp>

#include "tests/support/gradient_check.hpp"

namespace trainyard::graph::test {
namespace {

using ops::Arithmetic;
using ops::Function;
using Dims = std::vector<std::int64_t>;

Attributes function(Function of) { return {.alpha = 0.3, .beta = 0.7, .function = of}; }

/// Where a function is smooth.
std::pair<double, double> range_of(Function of) {
  switch (of) {
    case Function::log:
    case Function::sqrt:
    case Function::reciprocal:
      return {0.2, 3};
    case Function::acosh:
      return {1.2, 3};
    case Function::asin:
    case Function::acos:
    case Function::atanh:
      return {-0.8, 0.8};
    case Function::tan:
      return {-1.2, 1.2};
    case Function::relu6:
    case Function::hard_swish:
      return {-4, 8};
    default:
      return {-2, 2};
  }
}

TEST_CASE("the slope of every function is that of its values", "[gradient]") {
  for (int number = 0; number <= static_cast<int>(Function::celu); ++number) {
    const auto of = static_cast<Function>(number);
    if (!ops::has_gradient(of)) continue;
    INFO("function " << number);
    const auto [low, high] = range_of(of);
    check_gradients({.build =
                         [&](Builder& b) {
                           return std::vector{apply(b, Kind::unary, function(of), {weight(b, "w", {4, 9})})};
                         },
                     .low = low,
                     .high = high});
  }
}

TEST_CASE("no gradient flows through steps, and the message names the place", "[gradient]") {
  Builder builder(2);
  builder.origin("round", "model.layers[4] (17:5)");
  const ValueId y = apply(builder, Kind::unary, function(Function::round), {weight(builder, "w", {3})});
  Graph graph = training_graph(std::move(builder).finish({y}), 1);
  const Status done = differentiate_from_seeds(graph);
  REQUIRE(!done);
  CHECK(done.error().message ==
        "model.layers[4] (17:5): no gradient can flow through unary; freeze the parameters in front of it");
}

TEST_CASE("parts of a batch laid one behind the other cannot be trained through", "[gradient]") {
  Builder builder(2);
  const ValueId x = builder.input("x", Signature({tensor::kBatch, 3}));
  const ValueId y =
      apply(builder, Kind::binary, {.arithmetic = Arithmetic::add}, {x, weight(builder, "w", {3})});
  const ValueId both = apply(builder, Kind::concat, {.axis = 0}, {x, y});
  Graph graph = training_graph(std::move(builder).finish({both}), 1);
  const Status done = differentiate_from_seeds(graph);
  REQUIRE(!done);
  CHECK(done.error().message ==
        "concat: no gradient can flow through concat; freeze the parameters in front of it");
}

/// Both operands are weights of these shapes.
void check_binary(Arithmetic arithmetic, const Dims& a, const Dims& b) {
  INFO("arithmetic " << static_cast<int>(arithmetic) << " of " << Shape(a).text() << " and "
                     << Shape(b).text());
  check_gradients({.build =
                       [&](Builder& builder) {
                         return std::vector{apply(builder, Kind::binary, {.arithmetic = arithmetic},
                                                  {weight(builder, "a", a), weight(builder, "b", b)})};
                       },
                   .low = 0.5,
                   .high = 2});
}

TEST_CASE("operands that were stretched get the sum of their copies' gradients", "[gradient]") {
  const std::pair<Dims, Dims> shapes[] = {{{3, 4}, {3, 4}}, {{3, 4}, {}},
                                          {{}, {3, 4}},     {{4}, {3, 4}},
                                          {{3, 1}, {1, 4}}, {{2, 3, 1, 5}, {3, 4, 1}},
                                          {{1}, {1, 1, 1}}, {{2, 1}, {1}},
                                          {{}, {}},         {{2, 3, 2, 2}, {1, 3, 1, 1}}};
  for (int number = 0; number <= static_cast<int>(Arithmetic::maximum); ++number)
    for (const auto& [a, b] : shapes) check_binary(static_cast<Arithmetic>(number), a, b);
}

TEST_CASE("a weight that is stretched over the batch gets the sum over it", "[gradient]") {
  for (const auto arithmetic : {Arithmetic::add, Arithmetic::multiply, Arithmetic::divide})
    for (const Dims& shape : {Dims{}, Dims{3}, Dims{1, 3}, Dims{1, 1}})
      check_gradients({.build =
                           [&](Builder& b) {
                             const ValueId x = b.input("x", Signature({tensor::kBatch, 3}));
                             return std::vector{apply(b, Kind::binary, {.arithmetic = arithmetic},
                                                      {x, weight(b, "w", shape)})};
                           },
                       .batch = 5,
                       .low = 0.5,
                       .high = 2});
}

TEST_CASE("powers have gradients for every exponent, and none that is not a number", "[gradient]") {
  for (const float exponent : {0.0f, 1.0f, 2.0f, 3.0f, 0.5f, -1.0f, -2.5f})
    check_gradients({.build =
                         [&](Builder& b) {
                           return std::vector{apply(b, Kind::binary, {.arithmetic = Arithmetic::power},
                                                    {weight(b, "w", {7}), b.scalar(exponent)})};
                         },
                     .low = 0.5,
                     .high = 2});
  // Negative bases, and 0 to powers that are smooth there.
  check_gradients({.build =
                       [&](Builder& b) {
                         return std::vector{apply(b, Kind::binary, {.arithmetic = Arithmetic::power},
                                                  {weight(b, "w", {4}), b.scalar(2)})};
                       },
                   .values = {{"w", {0, -1.5, 2, -0.0}}}});
  check_gradients({.build =
                       [&](Builder& b) {
                         const ValueId exponents = b.input("exponents", Signature(Shape{4}));
                         return std::vector{apply(b, Kind::binary, {.arithmetic = Arithmetic::power},
                                                  {weight(b, "w", {4}), exponents})};
                       },
                   .values = {{"w", {0, 0, -2, 0}}, {"exponents", {0, 1, 3, 4}}}});
  const Graph graph =
      check_gradients({.build =
                           [&](Builder& b) {
                             return std::vector{apply(b, Kind::binary, {.arithmetic = Arithmetic::power},
                                                      {b.scalar(0), weight(b, "w", {3})})};
                           },
                       .low = 1,
                       .high = 2});
  CHECK(graph.results.size() == 1);
}

TEST_CASE("where hands each side the gradient of what was taken from it", "[gradient]") {
  for (const auto& [a, b] :
       {std::pair<Dims, Dims>{{2, 3}, {2, 3}}, {{3}, {2, 1}}, {{}, {2, 3}}, {{2, 3}, {}}})
    check_gradients({.build =
                         [&](Builder& builder) {
                           const ValueId condition = builder.input("condition", {Shape{2, 3}, DType::u8});
                           return std::vector{
                               apply(builder, Kind::where, {},
                                     {condition, weight(builder, "a", a), weight(builder, "b", b)})};
                         },
                     .values = {{"condition", {1, 0, 0, 1, 1, 0}}}});
}

TEST_CASE("dropout's gradient goes where its values went", "[gradient]") {
  check_gradients({.build = [&](Builder& b) {
    const ValueId x = b.input("x", Signature({tensor::kBatch, 8}));
    const ValueId y = apply(b, Kind::binary, {.arithmetic = Arithmetic::multiply}, {x, weight(b, "w", {8})});
    return std::vector{apply(b, Kind::dropout, {.rate = 0.4, .seed = 3}, {y})};
  }});
}

TEST_CASE("a cast between reals hands the gradient back", "[gradient]") {
  check_gradients({.build = [&](Builder& b) {
    return std::vector{apply(b, Kind::cast, {.type = DType::f32}, {weight(b, "w", {3})})};
  }});
}

// How gradients come together.

ValueId add(Builder& b, ValueId left, ValueId right) {
  return apply(b, Kind::binary, {.arithmetic = Arithmetic::add}, {left, right});
}
ValueId multiply(Builder& b, ValueId left, ValueId right) {
  return apply(b, Kind::binary, {.arithmetic = Arithmetic::multiply}, {left, right});
}
ValueId tanh(Builder& b, ValueId x) { return apply(b, Kind::unary, function(Function::tanh), {x}); }
ValueId reshape(Builder& b, ValueId x, const Dims& dims) {
  return apply(b, Kind::reshape, {.dims = dims}, {x});
}

TEST_CASE("a weight that is used twice gets both gradients", "[gradient]") {
  check_gradients({.build = [](Builder& b) {
    const ValueId w = weight(b, "w", {4});
    return std::vector{multiply(b, w, w)};
  }});
  check_gradients({.build = [](Builder& b) {
    const ValueId w = weight(b, "w", {4});
    return std::vector{add(b, w, w)};
  }});
  check_gradients({.build = [](Builder& b) {
    const ValueId w = weight(b, "w", {4}), t = tanh(b, w);
    return std::vector{multiply(b, add(b, t, w), tanh(b, multiply(b, t, w)))};
  }});
  check_gradients({.build = [](Builder& b) {
    const ValueId w = weight(b, "w", {3, 3});
    return std::vector{apply(b, Kind::matmul, {}, {w, apply(b, Kind::transpose, {}, {w})})};
  }});
}

TEST_CASE("one gradient that belongs to two weights reaches both", "[gradient]") {
  check_gradients(
      {.build = [](Builder& b) { return std::vector{add(b, weight(b, "p", {4}), weight(b, "q", {4}))}; }});
  check_gradients({.build = [](Builder& b) {
    const ValueId p = weight(b, "p", {4}), q = weight(b, "q", {4});
    return std::vector{tanh(b, add(b, add(b, p, q), add(b, q, p)))};
  }});
  check_gradients({.build = [](Builder& b) {
    const ValueId p = weight(b, "p", {4}), q = weight(b, "q", {2, 2});
    const ValueId same = apply(b, Kind::unary, {}, {p});
    return std::vector{tanh(b, add(b, reshape(b, same, {2, 2}), q))};
  }});
}

TEST_CASE("a weight that is viewed, or is itself a result, gets its gradient", "[gradient]") {
  check_gradients({.build = [](Builder& b) {
    const ValueId w = weight(b, "w", {2, 6});
    return std::vector{tanh(b, reshape(b, reshape(b, w, {12}), {3, 4})), reshape(b, w, {4, 3})};
  }});
  check_gradients({.build = [](Builder& b) { return std::vector{weight(b, "w", {5})}; }});
  check_gradients({.build = [](Builder& b) {
    const ValueId w = weight(b, "w", {5});
    return std::vector{w, w, multiply(b, w, w), reshape(b, w, {1, 5})};
  }});
  check_gradients({.build = [](Builder& b) {
    return std::vector{apply(b, Kind::unary, {}, {apply(b, Kind::unary, {}, {weight(b, "w", {5})})})};
  }});
}

TEST_CASE("a frozen weight gets no gradient, and its branch no operations", "[gradient]") {
  const auto build = [](Builder& b) {
    const ValueId frozen = weight(b, "frozen", {4}), w = weight(b, "w", {4});
    return std::vector{multiply(b, tanh(b, tanh(b, frozen)), tanh(b, w))};
  };
  const Graph whole = check_gradients({.build = build});
  const Graph frozen = check_gradients({.build = build, .change = [](Graph& graph) {
                                          for (Value& value : graph.values)
                                            if (value.place == Place::parameter && value.offset == 0)
                                              value.trainable = false;
                                        }});
  const auto slopes = [](const Graph& graph) {
    return std::count_if(graph.nodes.begin(), graph.nodes.end(),
                         [](const Node& node) { return node.kind == Kind::unary_grad; });
  };
  CHECK(slopes(whole) == 3);
  CHECK(slopes(frozen) == 1);
}

TEST_CASE("what no gradient reaches is left alone", "[gradient]") {
  check_gradients({.build = [](Builder& b) {
    const ValueId unused = weight(b, "unused", {2}), w = weight(b, "w", {2});
    (void)tanh(b, unused);
    const ValueId compared = apply(b, Kind::binary, {.arithmetic = Arithmetic::less}, {unused, w});
    return std::vector{apply(b, Kind::where, {}, {compared, w, b.scalar(0)})};
  }});
}

}  // namespace
}  // namespace trainyard::graph::test
