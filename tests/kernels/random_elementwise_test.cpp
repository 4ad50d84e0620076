// Elementwise operations and those along axes over random shapes, every backend against the reference in
// double.
#include <catch2/catch.hpp>

#include "tests/kernels/lab.hpp"

namespace trainyard::ops {
namespace {

constexpr Function kLast = Function::celu;

Attributes function(Function of) { return {.alpha = 0.3, .beta = 0.7, .function = of}; }

/// Images three times in four.
Shape shape_for(Random& random) { return random_shape(random, random.chance(0.75) ? 4 : random.below(6)); }

TEST_CASE("every function of random tensors agrees, in any order of images", "[random][unary]") {
  Random random(101);
  for (int number = 0; number <= static_cast<int>(kLast); ++number)
    for (int round = 0; round < 6; ++round) {
      const Shape shape = round == 0 ? Shape{} : round == 1 ? Shape{2, 0, 3} : shape_for(random);
      INFO("function " << number << " of " << shape.text());
      const Tensor x = random_tensor(random, shape, -4, 9);
      agree([&](Lab& lab) {
        return std::vector{
            lab.take(lab.run(Kind::unary, function(static_cast<Function>(number)), {lab.activation(x)})[0])};
      });
    }
}

TEST_CASE("every slope of random tensors agrees, in any order of images", "[random][unary]") {
  Random random(102);
  for (int number = 0; number <= static_cast<int>(kLast); ++number) {
    const auto of = static_cast<Function>(number);
    const GradNeeds needs = grad_needs(of);
    if (!needs.x && !needs.y) continue;
    for (int round = 0; round < 6; ++round) {
      const Shape shape = round == 0 ? Shape{} : round == 1 ? Shape{2, 0, 3} : shape_for(random);
      INFO("function " << number << " of " << shape.text());
      const Tensor x = random_tensor(random, shape, 0.1, 0.9), dy = random_tensor(random, shape);
      agree([&](Lab& lab) {
        const Held from = lab.activation(x), absent{shape, nullptr, nullptr};
        const std::vector<Held> inputs{needs.x ? from : absent, needs.y ? from : absent, lab.activation(dy)};
        return std::vector{lab.take(lab.run(Kind::unary_grad, function(of), inputs, {shape})[0])};
      });
    }
  }
}

/// A shape that broadcasts with `shape`: some axes are 1, leading ones are gone.
Shape stretched(Random& random, const Shape& shape) {
  std::vector<std::int64_t> dims = shape.dims();
  for (auto& dim : dims)
    if (random.chance(0.4)) dim = 1;
  dims.erase(dims.begin(), dims.begin() + static_cast<std::ptrdiff_t>(random.below(dims.size() + 1)));
  return Shape(std::move(dims));
}

TEST_CASE("every function of two random tensors agrees, however one of them stretches", "[random][binary]") {
  Random random(103);
  for (int number = 0; number <= static_cast<int>(Arithmetic::logical_xor); ++number)
    for (int round = 0; round < 25; ++round) {
      const Shape shape = round == 0 ? Shape{} : round == 1 ? Shape{2, 0, 3} : shape_for(random);
      Shape other = round % 3 == 0 ? shape : stretched(random, shape);
      if (round % 5 == 4 && shape.rank() == 4) other = Shape{1, shape[1], 1, 1};
      const bool swapped = random.chance(0.5);
      INFO("arithmetic " << number << " of " << shape.text() << " and " << other.text() << " " << swapped);
      Tensor a = random_tensor(random, swapped ? other : shape, 0.5, 4);
      Tensor b = random_tensor(random, swapped ? shape : other, 0.5, 4);
      // Halves: comparisons meet equals, and remainders are exact.
      for (Tensor* tensor : {&a, &b})
        for (double& value : tensor->values) value = std::round(2 * value) / 2;
      agree([&](Lab& lab) {
        return std::vector{lab.take(lab.run(Kind::binary, {.arithmetic = static_cast<Arithmetic>(number)},
                                            {lab.activation(a), lab.activation(b)})[0])};
      });
    }
}

TEST_CASE("squares and other powers of images stay zero in their padding", "[random][binary]") {
  Random random(104);
  for (const double power : {2.0, 0.5, -1.0, 0.0}) {
    const Tensor x = random_tensor(random, {2, 5, 3, 3}, 0.5, 2), exponent{{}, {power}};
    agree([&](Lab& lab) {
      return std::vector{lab.take(lab.run(Kind::binary, {.arithmetic = Arithmetic::power},
                                          {lab.activation(x), lab.plain(exponent)})[0])};
    });
  }
}

Tensor whole_tensor(Random& random, const Shape& shape, std::int64_t low, std::int64_t high) {
  Tensor tensor{shape, {}};
  const auto range = static_cast<std::uint64_t>(high - low);
  for (std::int64_t i = 0; i < shape.elements(); ++i)
    tensor.values.push_back(static_cast<double>(low + static_cast<std::int64_t>(random.below(range))));
  return tensor;
}

TEST_CASE("functions of two tensors of whole numbers agree", "[random][binary]") {
  Random random(105);
  for (int number = 0; number <= static_cast<int>(Arithmetic::logical_xor); ++number)
    for (const DType type : {DType::i32, DType::i64, DType::u8}) {
      const Shape shape = random_shape(random, random.below(5)), other = stretched(random, shape);
      const std::int64_t low = type == DType::u8 ? 0 : -9;
      const Tensor a = whole_tensor(random, shape, low, 10), b = whole_tensor(random, other, low, 10);
      INFO("arithmetic " << number << " of " << shape.text() << " and " << other.text());
      agree([&](Lab& lab) {
        return std::vector{lab.take(lab.run(Kind::binary, {.arithmetic = static_cast<Arithmetic>(number)},
                                            {lab.plain(a, type), lab.plain(b, type)})[0])};
      });
    }
}

TEST_CASE("where agrees, whichever of the three stretches", "[random][where]") {
  Random random(106);
  for (int round = 0; round < 60; ++round) {
    const Shape shape = shape_for(random);
    const Shape on = round % 2 == 0 ? shape : stretched(random, shape);
    const Tensor condition = whole_tensor(random, on, 0, 2);
    const Tensor a = random_tensor(random, round % 3 == 0 ? shape : stretched(random, shape));
    const Tensor b = random_tensor(random, round % 5 == 0 ? stretched(random, shape) : shape);
    INFO(on.text() << " ? " << a.shape.text() << " : " << b.shape.text());
    agree([&](Lab& lab) {
      const std::vector<Held> inputs{lab.plain(condition, DType::u8), lab.activation(a), lab.activation(b)};
      return std::vector{lab.take(lab.run(Kind::where, {}, inputs)[0])};
    });
  }
}

TEST_CASE("casts of random tensors agree", "[random][cast]") {
  Random random(107);
  constexpr DType kTypes[] = {DType::f32, DType::bf16, DType::f16, DType::i32, DType::i64, DType::u8};
  for (const DType from : kTypes)
    for (const DType to : kTypes) {
      const Shape shape = shape_for(random);
      const Tensor x = tensor::is_real(from) ? random_tensor(random, shape, -400, 400)
                                             : whole_tensor(random, shape, from == DType::u8 ? 0 : -400, 256);
      INFO(name_of(from) << " to " << name_of(to) << " of " << shape.text());
      agree(
          [&](Lab& lab) {
            const Held held = from == DType::f32 ? lab.activation(x) : lab.plain(x, from);
            return std::vector{lab.take(lab.run(Kind::cast, {.type = to}, {held})[0])};
          },
          0);
    }
}

TEST_CASE("every reduction of random tensors over random axes agrees", "[random][reduce]") {
  Random random(108);
  for (int number = 0; number <= static_cast<int>(Reduction::sum_square); ++number)
    for (int round = 0; round < 20; ++round) {
      const Shape shape = shape_for(random);
      Attributes attributes{.reduction = static_cast<Reduction>(number), .keep_dims = random.chance(0.5)};
      for (std::size_t axis = 0; axis < shape.rank(); ++axis)
        if (random.chance(0.5)) attributes.axes.push_back(static_cast<std::int64_t>(axis));
      std::string axes;
      for (const auto axis : attributes.axes) axes += std::to_string(axis) + " ";
      INFO("reduction " << number << " of " << shape.text() << " over " << axes);
      const bool product = attributes.reduction == Reduction::product;
      const Tensor x = random_tensor(random, shape, product ? 0.9 : 0.2, product ? 1.1 : 2);
      agree([&](Lab& lab) {
        return std::vector{lab.take(lab.run(Kind::reduce, attributes, {lab.activation(x)})[0])};
      });
    }
}

TEST_CASE("long reductions agree in every direction", "[random][reduce]") {
  Random random(109);
  for (const Shape& shape : {Shape{70000}, Shape{3, 40000}, Shape{40000, 3}, Shape{300, 700},
                             Shape{7, 900, 20}, Shape{2, 1100}, Shape{16, 33, 20, 11}})
    for (const auto reduction : {Reduction::sum, Reduction::mean, Reduction::maximum, Reduction::log_sum_exp})
      for (std::size_t axis = 0; axis <= shape.rank(); ++axis) {
        Attributes attributes{.reduction = reduction};
        if (axis < shape.rank()) attributes.axes = {static_cast<std::int64_t>(axis)};
        INFO(shape.text() << " over " << axis);
        const Tensor x = random_tensor(random, shape);
        agree([&](Lab& lab) {
          return std::vector{lab.take(lab.run(Kind::reduce, attributes, {lab.activation(x)})[0])};
        });
      }
}

TEST_CASE("softmax, its kin and their gradients agree along any axis of random tensors",
          "[random][softmax]") {
  Random random(110);
  for (int round = 0; round < 40; ++round) {
    const Shape shape = random_shape(random, 1 + random.below(4));
    const Attributes attributes{.axis = static_cast<std::int64_t>(random.below(shape.rank()))};
    const Tensor x = random_tensor(random, shape, -20, 20), dy = random_tensor(random, shape);
    INFO(shape.text() << " along " << attributes.axis);
    agree([&](Lab& lab) {
      const Held at = lab.activation(x), gradient = lab.activation(dy);
      const Held p = lab.run(Kind::softmax, attributes, {at})[0];
      const Held y = lab.run(Kind::log_softmax, attributes, {at})[0];
      return std::vector{lab.take(p), lab.take(y),
                         lab.take(lab.run(Kind::softmax_grad, attributes, {p, gradient}, {shape})[0]),
                         lab.take(lab.run(Kind::log_softmax_grad, attributes, {y, gradient}, {shape})[0])};
    });
  }
}

TEST_CASE("extremes, the largest and running sums agree along any axis of random tensors", "[random]") {
  Random random(111);
  for (int round = 0; round < 40; ++round) {
    const Shape shape = random_shape(random, 1 + random.below(4));
    Attributes attributes{.axis = static_cast<std::int64_t>(random.below(shape.rank()))};
    attributes.largest = random.chance(0.5);
    attributes.exclusive = random.chance(0.5);
    attributes.reverse = random.chance(0.5);
    attributes.keep_dims = random.chance(0.5);
    const std::int64_t extent = shape[static_cast<std::size_t>(attributes.axis)];
    if (extent == 0) continue;
    attributes.size = std::min<std::int64_t>(extent, 3);
    const Tensor x = whole_tensor(random, shape, -5, 6);
    INFO(shape.text() << " along " << attributes.axis);
    agree([&](Lab& lab) {
      const Held at = lab.activation(x);
      std::vector<Tensor> results;
      for (const Kind kind : {Kind::arg_extreme, Kind::top_k, Kind::cumulative_sum})
        for (const Held& held : lab.run(kind, attributes, {at})) results.push_back(lab.take(held));
      return results;
    });
  }
}

TEST_CASE("elementwise results may lie over an operand", "[random][in_place]") {
  Random random(112);
  for (const Shape& shape : {Shape{7, 13}, Shape{2, 5, 3, 7}, Shape{3, 33, 9, 9}}) {
    const Tensor x = random_tensor(random, shape, 0.2, 2), dy = random_tensor(random, shape);
    const Tensor stretched = random_tensor(random, {shape[shape.rank() - 1]});
    for (const std::uint32_t blocked : {0u, 7u}) {
      Lab lab = Lab::cpu(blocked);
      const Held at = lab.activation(x), gradient = lab.activation(dy), row = lab.plain(stretched);
      const Held absent{shape, nullptr, nullptr};
      const auto same = [&](std::size_t index, Kind kind, const Attributes& attributes,
                            const std::vector<Held>& inputs) {
        INFO(name_of(kind) << " over operand " << index << " of " << shape.text() << ", blocked " << blocked);
        const Held over = lab.run_over(index, kind, attributes, inputs);
        const Held beside = lab.run(kind, attributes, inputs, {shape})[0];
        CHECK(lab.take(over).values == lab.take(beside).values);
      };
      for (const auto of : {Function::exp, Function::gelu, Function::sin}) {
        same(0, Kind::unary, function(of), {at});
        const GradNeeds needs = grad_needs(of);
        same(2, Kind::unary_grad, function(of), {needs.x ? at : absent, needs.y ? at : absent, gradient});
      }
      same(0, Kind::binary, {.arithmetic = Arithmetic::divide}, {at, gradient});
      same(0, Kind::binary, {.arithmetic = Arithmetic::power}, {at, lab.plain({{}, {2}})});
      same(0, Kind::binary, {.arithmetic = Arithmetic::subtract}, {at, row});
      same(1, Kind::binary, {.arithmetic = Arithmetic::subtract}, {row, at});
      if (blocked != 0) continue;
      const Attributes last{.axis = static_cast<std::int64_t>(shape.rank()) - 1};
      same(0, Kind::softmax, last, {at});
      same(1, Kind::softmax_grad, last, {at, gradient});
      same(1, Kind::log_softmax_grad, last, {at, gradient});
      const Held mask = lab.plain(whole_tensor(random, shape, 0, 2), DType::u8);
      same(1, Kind::where, {}, {mask, at, gradient});
      same(2, Kind::where, {}, {mask, row, gradient});
    }
  }
}

}  // namespace
}  // namespace trainyard::ops
