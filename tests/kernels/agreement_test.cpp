// The cpu backend against the reference, kind by kind, over shapes that libraries trip over.
#include <catch2/catch.hpp>

#include "tests/kernels/lab.hpp"

namespace trainyard::ops {
namespace {

struct ConvCase {
  Shape x, w;
  std::int64_t stride = 1, top = 0, bottom = 0, left = 0, right = 0;
  bool bias = true;

  Attributes attributes() const {
    return {.kernel_height = w[2],
            .kernel_width = w[3],
            .stride_height = stride,
            .stride_width = stride,
            .pad_top = top,
            .pad_bottom = bottom,
            .pad_left = left,
            .pad_right = right};
  }
  Shape y() const {
    return {x[0], w[0], (x[2] + top + bottom - w[2]) / stride + 1, (x[3] + left + right - w[3]) / stride + 1};
  }
};

const ConvCase kConvolutions[] = {
    {{1, 3, 8, 8}, {16, 3, 3, 3}, 1, 1, 1, 1, 1},
    {{4, 3, 96, 96}, {32, 3, 5, 5}, 2, 1, 2, 1, 2, false},
    {{3, 32, 12, 12}, {64, 32, 3, 3}, 1, 1, 1, 1, 1, false},
    {{2, 5, 7, 9}, {7, 5, 3, 3}, 1, 1, 1, 1, 1},
    {{2, 5, 7, 9}, {7, 5, 3, 3}, 1},
    {{5, 1, 28, 28}, {6, 1, 5, 5}, 1, 2, 2, 2, 2},
    {{1, 1, 1, 1}, {1, 1, 1, 1}},
    {{3, 17, 1, 1}, {33, 17, 1, 1}},
    {{2, 17, 5, 5}, {3, 17, 1, 1}, 2},
    {{2, 16, 9, 11}, {16, 16, 2, 2}, 1, 0, 1, 0, 1},
    {{2, 8, 10, 10}, {24, 8, 4, 4}, 2, 1, 1, 1, 1, false},
    {{1, 4, 15, 13}, {10, 4, 7, 7}, 3, 3, 3, 2, 3},
    {{2, 3, 23, 23}, {9, 3, 11, 11}, 4},
};

TEST_CASE("convolutions and their gradients agree with plain loops", "[conv2d]") {
  Random random(1);
  for (const ConvCase& at : kConvolutions) {
    const Attributes attributes = at.attributes();
    const Tensor x = random_tensor(random, at.x), w = random_tensor(random, at.w);
    const Tensor b = random_tensor(random, {at.w[0]}), dy = random_tensor(random, at.y());
    INFO("x " << at.x.text() << " w " << at.w.text() << " stride " << at.stride);
    agree([&](Lab& lab) {
      std::vector<Held> inputs{lab.activation(x), lab.plain(w)};
      if (at.bias) inputs.push_back(lab.plain(b));
      return std::vector{lab.take(lab.run(Kind::conv2d, attributes, inputs, {at.y()})[0])};
    });
    agree([&](Lab& lab) {
      return std::vector{lab.take(
          lab.run(Kind::conv2d_grad_data, attributes, {lab.activation(dy), lab.plain(w)}, {at.x})[0])};
    });
    agree([&](Lab& lab) {
      std::vector<Signature> outputs{at.w};
      if (at.bias) outputs.push_back(b.shape);
      std::vector<Tensor> results;
      for (const Held& held :
           lab.run(Kind::conv2d_grad_weights, attributes, {lab.activation(x), lab.activation(dy)}, outputs))
        results.push_back(lab.take(held));
      return results;
    });
  }
}

constexpr Function kFollowers[] = {Function::relu, Function::relu6,      Function::leaky_relu,
                                   Function::elu,  Function::gelu,       Function::gelu_tanh,
                                   Function::silu, Function::hard_swish, Function::sigmoid,
                                   Function::tanh, Function::clip,       Function::identity};

TEST_CASE("what follows a linear map in the same pass agrees with plain loops", "[conv2d][dense]") {
  Random random(11);
  const Tensor x = random_tensor(random, {2, 17, 6, 5}), w = random_tensor(random, {9, 17, 3, 3});
  const Tensor rows = random_tensor(random, {7, 13}), v = random_tensor(random, {9, 13}),
               b = random_tensor(random, {9});
  const Tensor add_image = random_tensor(random, {2, 9, 6, 5}), add_row = random_tensor(random, {7, 9});
  for (const Function function : kFollowers)
    for (const int kind : {0, 1, 2, 3}) {
      const bool bias = (kind & 1) != 0, addend = (kind & 2) != 0;
      INFO("function " << static_cast<int>(function) << " bias " << bias << " addend " << addend);
      Attributes a{.pad_top = 1, .pad_bottom = 1, .pad_left = 1, .pad_right = 1, .alpha = 0.3, .beta = 2};
      a.activation = function;
      const auto operands = [&](Lab& lab, const Held& of, const Tensor& weight, const Tensor& sum) {
        std::vector<Held> inputs{of, lab.plain(weight), bias ? lab.plain(b) : Held{}};
        if (addend) inputs.push_back(lab.activation(sum));
        return inputs;
      };
      agree([&](Lab& lab) {
        const auto inputs = operands(lab, lab.activation(x), w, add_image);
        return std::vector{lab.take(lab.run(Kind::conv2d, a, inputs, {add_image.shape})[0])};
      });
      Attributes dense = a;
      dense.axis = 1;
      agree([&](Lab& lab) {
        const auto inputs = operands(lab, lab.activation(rows), v, add_row);
        return std::vector{lab.take(lab.run(Kind::dense, dense, inputs, {add_row.shape})[0])};
      });
    }
}

TEST_CASE("grouped, depthwise and dilated convolutions agree with plain loops", "[conv2d]") {
  struct Case {
    Shape x, w;
    std::int64_t groups = 1, stride = 1, dilation = 1, pad = 1;
  };
  Random random(12);
  for (const Case& at :
       {Case{{2, 8, 7, 6}, {12, 2, 3, 3}, 4}, Case{{2, 32, 9, 9}, {32, 1, 3, 3}, 32, 2},
        Case{{1, 5, 11, 9}, {7, 5, 3, 3}, 1, 1, 2, 2}, Case{{3, 16, 8, 8}, {16, 1, 3, 3}, 16},
        Case{{2, 6, 10, 12}, {4, 3, 3, 2}, 2, 3, 1, 0}}) {
    Attributes a{.stride_height = at.stride,
                 .stride_width = at.stride,
                 .dilation_height = at.dilation,
                 .dilation_width = at.dilation,
                 .pad_top = at.pad,
                 .pad_bottom = at.pad,
                 .pad_left = at.pad,
                 .pad_right = at.pad};
    a.groups = at.groups;
    const Signature signatures[] = {at.x, at.w};
    const auto y = infer(Kind::conv2d, a, signatures);
    REQUIRE(y.has_value());
    const Shape out = (*y)[0].shape;
    const Tensor x = random_tensor(random, at.x), w = random_tensor(random, at.w),
                 dy = random_tensor(random, out);
    INFO("x " << at.x.text() << " w " << at.w.text() << " groups " << at.groups);
    agree([&](Lab& lab) {
      const Held dx = lab.run(Kind::conv2d_grad_data, a, {lab.activation(dy), lab.plain(w)}, {at.x})[0];
      const Held dw =
          lab.run(Kind::conv2d_grad_weights, a, {lab.activation(x), lab.activation(dy)}, {at.w})[0];
      return std::vector{lab.take(lab.run(Kind::conv2d, a, {lab.activation(x), lab.plain(w)}, {out})[0]),
                         lab.take(dx), lab.take(dw)};
    });
  }
}

TEST_CASE("dense layers over sequences agree with plain loops", "[dense]") {
  Random random(13);
  const Tensor x = random_tensor(random, {3, 4, 10}), w = random_tensor(random, {6, 10}),
               b = random_tensor(random, {6});
  const Tensor dy = random_tensor(random, {3, 4, 6});
  agree([&](Lab& lab) {
    const Held y = lab.run(Kind::dense, {}, {lab.plain(x), lab.plain(w), lab.plain(b)}, {dy.shape})[0];
    const Held dx = lab.run(Kind::dense_grad_data, {}, {lab.plain(dy), lab.plain(w)}, {x.shape})[0];
    const auto dw = lab.run(Kind::dense_grad_weights, {}, {lab.plain(x), lab.plain(dy)}, {w.shape, b.shape});
    return std::vector{lab.take(y), lab.take(dx), lab.take(dw[0]), lab.take(dw[1])};
  });
}

struct DenseCase {
  Shape x;
  std::int64_t units = 1;
  bool bias = true;
};

const DenseCase kDenses[] = {
    {{1, 1}, 1},
    {{7, 13}, 5},
    {{32, 128}, 5},
    {{3, 784}, 17, false},
    {{1, 16}, 64},
    {{2, 5, 3, 3}, 10},
    {{3, 16, 4, 4}, 9},
    {{5, 128, 1, 1}, 5},
    {{1, 17, 1, 1}, 1, false},
    {{4, 6, 7, 2}, 33},
    {{2, 32, 6, 6}, 12, false},
};

TEST_CASE("dense layers and their gradients agree with plain loops, over images too", "[dense]") {
  Random random(2);
  for (const DenseCase& at : kDenses) {
    const Shape y{at.x[0], at.units}, w_shape{at.units, at.x.elements() / at.x[0]};
    const Tensor x = random_tensor(random, at.x), w = random_tensor(random, w_shape);
    const Tensor b = random_tensor(random, {at.units}), dy = random_tensor(random, y);
    INFO("x " << at.x.text() << " units " << at.units);
    agree([&](Lab& lab) {
      std::vector<Held> inputs{lab.activation(x), lab.plain(w)};
      if (at.bias) inputs.push_back(lab.plain(b));
      return std::vector{lab.take(lab.run(Kind::dense, {.axis = 1}, inputs, {y})[0])};
    });
    agree([&](Lab& lab) {
      return std::vector{
          lab.take(lab.run(Kind::dense_grad_data, {.axis = 1}, {lab.plain(dy), lab.plain(w)}, {at.x})[0])};
    });
    agree([&](Lab& lab) {
      std::vector<Signature> outputs{w_shape};
      if (at.bias) outputs.push_back(b.shape);
      std::vector<Tensor> results;
      for (const Held& held :
           lab.run(Kind::dense_grad_weights, {.axis = 1}, {lab.activation(x), lab.plain(dy)}, outputs))
        results.push_back(lab.take(held));
      return results;
    });
  }
}

const Shape kActivations[] = {{1, 1},        {7, 13},       {32, 128},     {1, 16, 5, 5},   {2, 5, 3, 7},
                              {3, 32, 9, 9}, {5, 17, 1, 1}, {4, 24, 8, 6}, {2, 64, 13, 13}, {1, 3, 4, 4},
                              {3, 40, 2, 3}, {1, 8},        {6, 5}};

/// Far from zero and from each other where a rectifier or a maximum could fall either way.
Tensor decided(Random& random, const Shape& shape) {
  Tensor tensor = random_tensor(random, shape);
  for (double& value : tensor.values) value = static_cast<float>(value + (value < 0 ? -0.01 : 0.01));
  return tensor;
}

const Attributes kRelu{.function = Function::relu};

TEST_CASE("rectifiers and their gradients agree with plain loops", "[relu]") {
  Random random(3);
  for (const Shape& shape : kActivations) {
    INFO(shape.text());
    const Tensor x = decided(random, shape), dy = random_tensor(random, shape);
    agree([&](Lab& lab) {
      const Held y = lab.run(Kind::unary, kRelu, {lab.activation(x)}, {shape})[0];
      const Held dx = lab.run(Kind::unary_grad, kRelu, {Held{}, y, lab.activation(dy)}, {shape})[0];
      return std::vector{lab.take(y), lab.take(dx)};
    });
    for (const std::uint32_t blocked : {0u, 1u}) {
      Lab lab = Lab::cpu(blocked);
      const Held held = lab.activation(x);
      const Held y = lab.run(Kind::unary, kRelu, {held}, {shape})[0];
      require_close(lab.take(lab.run_over(0, Kind::unary, kRelu, {held})), lab.take(y), 0);
      require_close(lab.take(lab.run_over(2, Kind::unary_grad, kRelu, {Held{}, y, held})),
                    lab.take(lab.run(Kind::unary_grad, kRelu, {Held{}, y, held}, {shape})[0]), 0);
    }
  }
}

struct BatchNormInput {
  BatchNormInput(Random& random, const Shape& shape)
      : x(random_tensor(random, shape, -1, 3)),
        dy(random_tensor(random, shape)),
        gamma(random_tensor(random, {shape[1]}, 0.5, 2)),
        beta(random_tensor(random, {shape[1]})),
        mean(random_tensor(random, {shape[1]})),
        variance(random_tensor(random, {shape[1]}, 0.1, 2)) {}
  std::vector<Held> held(Lab& lab) const {
    return {lab.activation(x), lab.plain(gamma), lab.plain(beta), lab.plain(mean), lab.plain(variance)};
  }
  Tensor x, dy, gamma, beta, mean, variance;
};

std::vector<Tensor> train_batch_norm(Lab& lab, const BatchNormInput& in, bool relu) {
  const Attributes attributes{.function = relu ? Function::relu : Function::identity};
  const std::vector<Held> inputs = in.held(lab);
  const Shape per_channel = in.gamma.shape;
  std::vector<Signature> outputs{in.x.shape, per_channel, per_channel};
  if (relu) outputs.push_back(Signature::opaque_bytes());
  outputs.insert(outputs.end(), {per_channel, per_channel});
  const std::vector<Held> made = lab.run(Kind::batch_norm_training, attributes, inputs, outputs);

  std::vector<Held> for_gradient{inputs[0], lab.activation(in.dy), made[1], made[2], inputs[1]};
  if (relu) for_gradient.push_back(made[3]);
  const std::vector<Held> gradients =
      lab.run(Kind::batch_norm_grad, attributes, for_gradient, {in.x.shape, per_channel, per_channel});

  std::vector<Tensor> results;
  for (const std::size_t i :
       {std::size_t{0}, std::size_t{1}, std::size_t{2}, made.size() - 2, made.size() - 1})
    results.push_back(lab.take(made[i]));
  for (const Held& held : gradients) results.push_back(lab.take(held));
  return results;
}

TEST_CASE("batch normalization and its gradient agree with plain loops", "[batch_norm]") {
  Random random(4);
  for (const Shape& shape : kActivations) {
    const BatchNormInput in(random, shape);
    for (const bool relu : {false, true}) {
      // The spread of one or two values is mostly rounding, which the gradient divides by.
      const bool few = shape.elements() / shape[1] < 4;
      INFO(shape.text() << (relu ? " rectified" : ""));
      agree([&](Lab& lab) { return train_batch_norm(lab, in, relu); }, few ? 2e-3 : 5e-5);
      agree([&](Lab& lab) {
        const Attributes attributes{.function = relu ? Function::relu : Function::identity};
        return std::vector{lab.take(lab.run(Kind::batch_norm, attributes, in.held(lab), {shape})[0])};
      });
    }
  }
}

struct PoolCase {
  Shape x;
  std::int64_t kernel = 2, stride = 2;
  Attributes attributes(bool workspace) const {
    return {.kernel_height = kernel,
            .kernel_width = kernel,
            .stride_height = stride,
            .stride_width = stride,
            .workspace = workspace};
  }
  Shape y() const { return {x[0], x[1], (x[2] - kernel) / stride + 1, (x[3] - kernel) / stride + 1}; }
};

const PoolCase kPools[] = {
    {{1, 16, 8, 8}, 2, 2},   {{3, 32, 9, 11}, 2, 2},  {{2, 5, 7, 7}, 3, 2},      {{2, 17, 7, 10}, 3, 3},
    {{1, 1, 5, 5}, 5, 5},    {{4, 3, 6, 6}, 2, 1},    {{2, 24, 12, 12}, 4, 3},   {{2, 64, 1, 1}, 1, 1},
    {{3, 40, 13, 13}, 2, 3}, {{2, 33, 10, 10}, 5, 2}, {{5, 128, 12, 12}, 12, 1}, {{1, 7, 17, 17}, 16, 1},
};

TEST_CASE("pools and their gradients agree with plain loops, also when windows leave a rest", "[pool]") {
  Random random(5);
  for (const Kind forward : {Kind::max_pool, Kind::avg_pool}) {
    const Kind backward = forward == Kind::max_pool ? Kind::max_pool_grad : Kind::avg_pool_grad;
    for (const PoolCase& at : kPools) {
      INFO("x " << at.x.text() << " window " << at.kernel << " stride " << at.stride);
      const Tensor x = random_tensor(random, at.x), dy = random_tensor(random, at.y());
      agree([&](Lab& lab) {
        const std::vector<Held> made =
            lab.run(forward, at.attributes(true), {lab.activation(x)}, {at.y(), Signature::opaque_bytes()});
        const Held dx = lab.run(backward, at.attributes(true), {lab.activation(dy), made[1]}, {at.x})[0];
        return std::vector{lab.take(made[0]), lab.take(dx)};
      });
      agree([&](Lab& lab) {
        return std::vector{
            lab.take(lab.run(forward, at.attributes(false), {lab.activation(x)}, {at.y()})[0])};
      });
    }
  }
}

TEST_CASE("flattening gives row-major values and back", "[flatten]") {
  Random random(6);
  for (const Shape& shape : kActivations) {
    INFO(shape.text());
    const Tensor x = random_tensor(random, shape);
    const Shape flat{shape[0], shape.elements() / shape[0]};
    agree(
        [&](Lab& lab) {
          const Held y = lab.run(Kind::reshape, {}, {lab.activation(x)}, {flat})[0];
          return std::vector{lab.take(y), lab.take(lab.run(Kind::reshape, {}, {y}, {shape})[0])};
        },
        1e-7);
  }
}

TEST_CASE("dropout agrees with plain loops, and its gradient draws the same mask", "[dropout]") {
  Random random(7);
  for (const Shape& shape : kActivations)
    for (const double rate : {0.0, 0.3, 0.95}) {
      INFO(shape.text() << " rate " << rate);
      const Tensor x = random_tensor(random, shape), dy = random_tensor(random, shape);
      std::vector<std::uint64_t> keys;
      for (std::int64_t n = 0; n < shape[0]; ++n) keys.push_back(random.next());
      const Attributes attributes{.rate = rate, .seed = 11};
      agree([&](Lab& lab) {
        const Held key = lab.raw(keys), step = lab.raw(std::vector<std::uint64_t>{5});
        const Held y = lab.run(Kind::dropout, attributes, {lab.activation(x), key, step}, {shape})[0];
        const Held dx = lab.run(Kind::dropout_grad, attributes, {lab.activation(dy), key, step}, {shape})[0];
        return std::vector{lab.take(y), lab.take(dx)};
      });
    }
}

TEST_CASE("softmax and its cross-entropy agree with plain loops", "[softmax]") {
  Random random(8);
  for (const Shape& shape : {Shape{1, 1}, Shape{32, 5}, Shape{7, 1000}})
    for (const double scale : {1.0, 90.0, 1e4}) {
      INFO(shape.text() << " scores up to " << scale);
      const Tensor x = random_tensor(random, shape, -scale, scale);
      std::vector<std::int32_t> labels;
      for (std::int64_t n = 0; n < shape[0]; ++n)
        labels.push_back(static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(shape[1]))));
      agree([&](Lab& lab) {
        const Shape probabilities{shape[0], shape[1]};
        const Held logits = lab.activation(x);
        const Held p = lab.run(Kind::softmax, {.axis = 1}, {logits}, {probabilities})[0];
        const std::vector<Held> made = lab.run(Kind::softmax_cross_entropy, {}, {logits, lab.raw(labels)},
                                               {shape, Signature::opaque_bytes()});
        const Outcome outcome = lab.outcome(made[1]);
        const Tensor summary{{2}, {outcome.loss_sum, static_cast<double>(outcome.correct)}};
        return std::vector{lab.take(p), lab.take(made[0]), summary};
      });
    }
}

}  // namespace
}  // namespace trainyard::ops
