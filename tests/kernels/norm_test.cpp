// Normalizations: the cpu backend against the reference, and the reference's gradients against differences.
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/kernels/slopes.hpp"

namespace trainyard::ops {
namespace {

/// Rows or groups whose values all equal have no spread: their gradients are rounding times 1 / epsilon.
constexpr double kWide = 1e-3;

struct LayerCase {
  Shape x;
  std::int64_t axis = 1;
  std::int64_t width() const { return x.volume(static_cast<std::size_t>(axis)); }
  Shape tail() const { return Shape(std::vector<std::int64_t>(x.dims().begin() + axis, x.dims().end())); }
  Shape outer() const {
    Shape shape = x;
    for (std::size_t i = static_cast<std::size_t>(axis); i < x.rank(); ++i) shape[i] = 1;
    return shape;
  }
};

const LayerCase kLayers[] = {
    {{1, 1}, 1},          {{4, 7}, 1},    {{2, 3, 8}, 2},     {{2, 3, 8}, 1}, {{2, 3, 4, 5}, 1},
    {{2, 3, 4, 5}, 3},    {{3, 1000}, 1}, {{32, 16, 256}, 2}, {{5, 1}, 1},    {{6, 33}, 1},
    {{2, 3, 2, 2, 2}, 2}, {{7}, 0},       {{1, 4100}, 1},
};

std::vector<Held> layer_norm(Lab& lab, const LayerCase& at, const std::vector<Tensor>& in) {
  std::vector<Held> inputs{lab.activation(in[0])};
  for (std::size_t i = 1; i < in.size(); ++i) inputs.push_back(lab.plain(in[i]));
  return lab.run(Kind::layer_norm, {.axis = at.axis}, inputs, {at.x, at.outer(), at.outer()});
}

/// y, then the gradients of the operands.
std::vector<Tensor> layer_norm_and_back(Lab& lab, const LayerCase& at, const std::vector<Tensor>& in,
                                        const Tensor& dy) {
  const std::vector<Held> made = layer_norm(lab, at, in);
  std::vector<Held> inputs{lab.activation(in[0]), lab.activation(dy), made[1], made[2]};
  if (in.size() > 1) inputs.push_back(lab.plain(in[1]));
  std::vector<Signature> outputs;
  for (const Tensor& operand : in) outputs.push_back(operand.shape);
  std::vector<Tensor> results{lab.take(made[0])};
  for (const Held& held : lab.run(Kind::layer_norm_grad, {.axis = at.axis}, inputs, outputs))
    results.push_back(lab.take(held));
  return results;
}

TEST_CASE("layer normalizations and their gradients agree with plain loops", "[layer_norm][lanes]") {
  Random random(1);
  for (const LayerCase& at : kLayers)
    for (std::size_t operands = 1; operands <= 3; ++operands) {
      INFO(at.x.text() << " from axis " << at.axis << ", operands " << operands);
      std::vector<Tensor> in{random_tensor(random, at.x, -1, 3)};
      if (operands > 1) in.push_back(random_tensor(random, at.tail(), 0.5, 2));
      if (operands > 2) in.push_back(random_tensor(random, at.tail()));
      const Tensor dy = random_tensor(random, at.x);
      agree([&](Lab& lab) { return layer_norm_and_back(lab, at, in, dy); }, at.width() < 4 ? kWide : 2e-5);
    }
}

TEST_CASE("the values of a layer normalization have mean 0 and variance 1, far from 0 too",
          "[layer_norm][lanes]") {
  Random random(2);
  const LayerCase at{{3, 300}, 1};
  Tensor x = random_tensor(random, at.x);
  for (double& value : x.values) value = static_cast<float>(value + 4000);
  Lab lab = Lab::cpu();
  const Tensor y = lab.take(layer_norm(lab, at, {x})[0]);
  for (std::int64_t row = 0; row < 3; ++row) {
    double mean = 0, variance = 0;
    for (std::int64_t i = 0; i < 300; ++i) mean += y.values[row * 300 + i] / 300;
    for (std::int64_t i = 0; i < 300; ++i) variance += std::pow(y.values[row * 300 + i] - mean, 2) / 300;
    CHECK(std::abs(mean) < 1e-3);
    CHECK(std::abs(variance - 1) < 1e-3);
  }
}

TEST_CASE("the gradients of a layer normalization are its slopes", "[layer_norm][lanes]") {
  Random random(3);
  for (const LayerCase& at : {LayerCase{{2, 5}, 1}, LayerCase{{2, 2, 4}, 2}, LayerCase{{2, 2, 3}, 1}}) {
    INFO(at.x.text() << " from axis " << at.axis);
    const std::vector<Tensor> in{random_tensor(random, at.x, -1, 3), random_tensor(random, at.tail(), 0.5, 2),
                                 random_tensor(random, at.tail())};
    const Tensor dy = random_tensor(random, at.x);
    Lab lab = Lab::reference();
    std::vector<Tensor> gradients = layer_norm_and_back(lab, at, in, dy);
    gradients.erase(gradients.begin());
    require_slopes(
        [&](const std::vector<Tensor>& x) {
          return weighted_sum({lab.take(layer_norm(lab, at, x)[0])}, {dy});
        },
        in, gradients);
  }
}

struct GroupCase {
  Shape x;
  std::int64_t groups = 1;
};

const GroupCase kGroups[] = {
    {{1, 1}, 1},         {{1, 4}, 2},          {{2, 6, 3, 3}, 1},   {{2, 6, 3, 3}, 2},  {{2, 6, 3, 3}, 3},
    {{2, 6, 3, 3}, 6},   {{2, 4, 5}, 2},       {{3, 32, 7, 5}, 8},  {{2, 48, 4, 4}, 3}, {{2, 16, 1, 1}, 16},
    {{2, 64, 9, 9}, 32}, {{2, 4, 2, 2, 2}, 2}, {{2, 24, 6, 6}, 24},
};

std::vector<Held> group_norm(Lab& lab, const GroupCase& at, const std::vector<Tensor>& in) {
  const Shape groups{at.x[0], at.groups};
  return lab.run(Kind::group_norm, {.groups = at.groups},
                 {lab.activation(in[0]), lab.plain(in[1]), lab.plain(in[2])}, {at.x, groups, groups});
}

std::vector<Tensor> group_norm_and_back(Lab& lab, const GroupCase& at, const std::vector<Tensor>& in,
                                        const Tensor& dy) {
  const std::vector<Held> made = group_norm(lab, at, in);
  const std::vector<Held> back =
      lab.run(Kind::group_norm_grad, {.groups = at.groups},
              {lab.activation(in[0]), lab.activation(dy), made[1], made[2], lab.plain(in[1])},
              {at.x, in[1].shape, in[1].shape});
  return {lab.take(made[0]), lab.take(back[0]), lab.take(back[1]), lab.take(back[2])};
}

TEST_CASE("group and instance normalizations and their gradients agree with plain loops",
          "[group_norm][lanes]") {
  Random random(4);
  for (const GroupCase& at : kGroups) {
    INFO(at.x.text() << " in groups " << at.groups);
    const std::vector<Tensor> in{random_tensor(random, at.x, -1, 3), random_tensor(random, {at.x[1]}, 0.5, 2),
                                 random_tensor(random, {at.x[1]})};
    const Tensor dy = random_tensor(random, at.x);
    const bool few = at.x.volume(1) / at.groups < 4;
    agree([&](Lab& lab) { return group_norm_and_back(lab, at, in, dy); }, few ? kWide : 2e-5);
  }
}

TEST_CASE("the gradients of a group normalization are its slopes", "[group_norm][lanes]") {
  Random random(5);
  for (const GroupCase& at : {GroupCase{{2, 4, 2, 2}, 2}, GroupCase{{2, 3, 4}, 3}, GroupCase{{2, 6}, 2}}) {
    INFO(at.x.text() << " in groups " << at.groups);
    const std::vector<Tensor> in{random_tensor(random, at.x, -1, 3), random_tensor(random, {at.x[1]}, 0.5, 2),
                                 random_tensor(random, {at.x[1]})};
    const Tensor dy = random_tensor(random, at.x);
    Lab lab = Lab::reference();
    std::vector<Tensor> gradients = group_norm_and_back(lab, at, in, dy);
    gradients.erase(gradients.begin());
    require_slopes(
        [&](const std::vector<Tensor>& x) {
          return weighted_sum({lab.take(group_norm(lab, at, x)[0])}, {dy});
        },
        in, gradients);
  }
}

struct ResponseCase {
  Shape x;
  std::int64_t size = 5;
  Attributes attributes() const { return {.alpha = 0.8, .beta = 0.75, .bias = 1.5, .size = size}; }
};

const ResponseCase kResponses[] = {
    {{1, 1, 1, 1}, 5},  {{2, 7, 3, 3}, 5}, {{2, 7, 3, 3}, 1}, {{2, 7, 3, 3}, 4},
    {{3, 32, 4, 5}, 5}, {{2, 5}, 3},       {{2, 3, 4}, 9},    {{1, 40, 6, 6}, 3},
};

std::vector<Tensor> respond_and_back(Lab& lab, const ResponseCase& at, const Tensor& x, const Tensor& dy) {
  const Held y = lab.run(Kind::lrn, at.attributes(), {lab.activation(x)}, {at.x})[0];
  const Held dx =
      lab.run(Kind::lrn_grad, at.attributes(), {lab.activation(x), lab.activation(dy)}, {at.x})[0];
  return {lab.take(y), lab.take(dx)};
}

TEST_CASE("local responses and their gradients agree with plain loops", "[lrn]") {
  Random random(6);
  for (const ResponseCase& at : kResponses) {
    INFO(at.x.text() << " across " << at.size);
    const Tensor x = random_tensor(random, at.x), dy = random_tensor(random, at.x);
    agree([&](Lab& lab) { return respond_and_back(lab, at, x, dy); });
  }
}

TEST_CASE("a local response divides by its neighbours, more of them behind than in front", "[lrn]") {
  Lab lab = Lab::reference();
  const Attributes attributes{.alpha = 4, .beta = 1, .bias = 1, .size = 4};
  const Tensor x{{1, 4}, {1, 2, 3, 4}};
  const Tensor y = lab.take(lab.run(Kind::lrn, attributes, {lab.plain(x)}, {x.shape})[0]);
  // Channel 0 sees 0..2, channel 1 sees 0..3, channel 2 sees 1..3, channel 3 sees 2..3.
  require_close(y, {{1, 4}, {1 / 15.0, 2 / 31.0, 3 / 30.0, 4 / 26.0}}, 1e-12);
}

TEST_CASE("the gradients of local responses are their slopes", "[lrn]") {
  Random random(7);
  for (const ResponseCase& at : {ResponseCase{{2, 6, 2, 1}, 5}, ResponseCase{{1, 5}, 4}}) {
    INFO(at.x.text() << " across " << at.size);
    const Tensor x = random_tensor(random, at.x), dy = random_tensor(random, at.x);
    Lab lab = Lab::reference();
    require_slopes(
        [&](const std::vector<Tensor>& in) {
          return weighted_sum({respond_and_back(lab, at, in[0], dy)[0]}, {dy});
        },
        {x}, {respond_and_back(lab, at, x, dy)[1]});
  }
}

struct BatchCase {
  Shape x;
  Function function = Function::identity;
  bool addend = false;
};

/// Operands x, gamma, beta, addend; far from the bends of the rectifiers.
std::vector<Tensor> batch_operands(Random& random, const BatchCase& at) {
  std::vector<Tensor> in{random_tensor(random, at.x, -1, 3), random_tensor(random, {at.x[1]}, 1, 4),
                         random_tensor(random, {at.x[1]}, 0, 4)};
  if (at.addend) in.push_back(random_tensor(random, at.x, -2, 2));
  return in;
}

std::vector<Held> batch_norm(Lab& lab, const BatchCase& at, const Held& x, const std::vector<Tensor>& in) {
  const Tensor mean{in[1].shape, std::vector<double>(in[1].values.size(), 0.5)};
  const Tensor variance{in[1].shape, std::vector<double>(in[1].values.size(), 2)};
  std::vector<Held> inputs{x, lab.plain(in[1]), lab.plain(in[2]), lab.plain(mean), lab.plain(variance)};
  if (at.addend) inputs.push_back(lab.activation(in[3]));
  std::vector<Signature> outputs{at.x, in[1].shape, in[1].shape};
  if (at.function != Function::identity) outputs.push_back(Signature::opaque_bytes());
  outputs.insert(outputs.end(), {Signature(in[1].shape), Signature(in[1].shape)});
  return lab.run(Kind::batch_norm_training, {.function = at.function}, inputs, outputs);
}

/// y, mean, variance, the next running ones; then the gradients of x, gamma, beta, addend.
std::vector<Tensor> batch_norm_and_back(Lab& lab, const BatchCase& at, const std::vector<Tensor>& in,
                                        const Tensor& dy) {
  const Held x = lab.activation(in[0]);
  const std::vector<Held> made = batch_norm(lab, at, x, in);
  std::vector<Held> inputs{x, lab.activation(dy), made[1], made[2], lab.plain(in[1])};
  if (at.function != Function::identity) inputs.push_back(made[3]);
  std::vector<Signature> outputs;
  for (const Tensor& operand : in) outputs.push_back(operand.shape);
  std::vector<Tensor> results;
  for (const std::size_t i :
       {std::size_t{0}, std::size_t{1}, std::size_t{2}, made.size() - 2, made.size() - 1})
    results.push_back(lab.take(made[i]));
  for (const Held& held : lab.run(Kind::batch_norm_grad, {.function = at.function}, inputs, outputs))
    results.push_back(lab.take(held));
  return results;
}

const Shape kBatches[] = {{4, 1},        {7, 13},         {64, 33},         {1, 16, 5, 5},   {2, 5, 3, 7},
                          {3, 32, 9, 9}, {5, 17, 1, 1},   {4, 24, 8, 6},    {2, 64, 13, 13}, {2, 3, 5},
                          {3, 40, 2, 3}, {2, 8, 2, 2, 2}, {12, 16, 12, 12}, {2, 20, 18, 18}, {9, 8, 3, 3}};

TEST_CASE("batch normalizations take a sum and a rectifier along, and agree with plain loops",
          "[batch_norm][lanes]") {
  Random random(8);
  for (const Shape& x : kBatches)
    for (const Function function : {Function::identity, Function::relu, Function::relu6})
      for (const bool addend : {false, true}) {
        const BatchCase at{x, function, addend};
        INFO(x.text() << " function " << static_cast<int>(function) << (addend ? " and a sum" : ""));
        const std::vector<Tensor> in = batch_operands(random, at);
        const Tensor dy = random_tensor(random, x);
        agree([&](Lab& lab) { return batch_norm_and_back(lab, at, in, dy); }, 5e-5);
      }
}

TEST_CASE("batch normalizations whose results go past the caches agree with plain loops too",
          "[batch_norm][lanes]") {
  Random random(11);
  const BatchCase at{{16, 16, 64, 64}, Function::relu, true};
  const std::vector<Tensor> in = batch_operands(random, at);
  const Tensor dy = random_tensor(random, at.x);
  Lab reference = Lab::reference(), blocked = Lab::cpu(7);
  const std::vector<Tensor> expected = batch_norm_and_back(reference, at, in, dy);
  const std::vector<Tensor> actual = batch_norm_and_back(blocked, at, in, dy);
  for (std::size_t i = 0; i < expected.size(); ++i) require_close(actual[i], expected[i], 5e-5);
}

TEST_CASE("batch normalizations with running statistics rectify, and agree with plain loops",
          "[batch_norm][lanes]") {
  Random random(9);
  for (const Shape& shape : kBatches)
    for (const Function function : {Function::identity, Function::relu, Function::relu6}) {
      const bool sum = function == Function::relu;
      INFO(shape.text() << " function " << static_cast<int>(function));
      const Tensor x = random_tensor(random, shape, -4, 4), gamma = random_tensor(random, {shape[1]}, 0.5, 4);
      const Tensor beta = random_tensor(random, {shape[1]}), mean = random_tensor(random, {shape[1]});
      const Tensor variance = random_tensor(random, {shape[1]}, 0.1, 2);
      const Tensor addend = random_tensor(random, shape);
      agree([&](Lab& lab) {
        std::vector<Held> inputs{lab.activation(x), lab.plain(gamma), lab.plain(beta), lab.plain(mean),
                                 lab.plain(variance)};
        if (sum) inputs.push_back(lab.activation(addend));
        return std::vector{lab.take(lab.run(Kind::batch_norm, {.function = function}, inputs, {shape})[0])};
      });
    }
}

TEST_CASE("the gradients of a batch normalization with its sum and rectifier are its slopes",
          "[batch_norm][lanes]") {
  Random random(10);
  for (const Shape& x : {Shape{6, 2}, Shape{2, 2, 3}, Shape{2, 3, 2, 2}})
    for (const Function function : {Function::identity, Function::relu, Function::relu6})
      for (const bool addend : {false, true}) {
        const BatchCase at{x, function, addend};
        INFO(x.text() << " function " << static_cast<int>(function) << (addend ? " and a sum" : ""));
        const std::vector<Tensor> in = batch_operands(random, at);
        const Tensor dy = random_tensor(random, x);
        Lab lab = Lab::reference();
        std::vector<Tensor> gradients = batch_norm_and_back(lab, at, in, dy);
        gradients.erase(gradients.begin(), gradients.begin() + 5);
        require_slopes(
            [&](const std::vector<Tensor>& operands) {
              return weighted_sum({lab.take(batch_norm(lab, at, lab.plain(operands[0]), operands)[0])}, {dy});
            },
            in, gradients, 1e-6);
      }
}

}  // namespace
}  // namespace trainyard::ops
