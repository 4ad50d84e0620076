// Kernels in 16 bits against the reference in double from the same rounded operands: images then lie channels
// last, which fp32 never does on a GPU.
#include <catch2/catch.hpp>
#include <cmath>

#include "common/tensor/half.hpp"
#include "tests/kernels/lab.hpp"

namespace trainyard::ops {
namespace {

constexpr DType kTypes[] = {DType::bf16, DType::f16};

/// Values that the type can hold.
Tensor rounded(Tensor tensor, DType type) {
  for (double& value : tensor.values)
    value = type == DType::bf16 ? tensor::float_from_bf16(tensor::bf16_from_float(static_cast<float>(value)))
                                : tensor::float_from_f16(tensor::f16_from_float(static_cast<float>(value)));
  return tensor;
}

double tolerance(DType type) { return type == DType::bf16 ? 0.02 : 0.003; }

struct Given {
  Tensor tensor;
  bool narrow = true;  // else fp32 on both sides
};

Given drawn(Random& random, const Shape& shape, DType type) {
  return {rounded(random_tensor(random, shape), type)};
}
Given wide(Random& random, const Shape& shape, double low = -1) {
  return {random_tensor(random, shape, low, 1), false};
}
Given absent() { return {}; }

/// Runs one operation on both sides. `narrow_results`: which results are in 16 bits; opaque ones are not
/// compared. `more` goes on from the results.
using More =
    std::function<std::vector<Held>(Lab&, DType, const std::vector<Held>&, const std::vector<Held>&)>;

void holds_in_half(Kind kind, const Attributes& attributes, const std::vector<Given>& operands,
                   const std::vector<Signature>& outputs, DType type, const More& more = nullptr) {
  INFO(name_of(kind) << " in " << name_of(type));
  const auto compute = [&](Lab& lab, DType narrow) {
    std::vector<Held> inputs;
    for (const Given& given : operands)
      inputs.push_back(given.tensor.shape.rank() == 0
                           ? Held{}
                           : lab.plain(given.tensor, given.narrow ? narrow : DType::f32));
    std::vector<Signature> results = outputs;
    for (Signature& result : results)
      if (result.type == DType::bf16) result.type = narrow;
    std::vector<Held> made = lab.run(kind, attributes, inputs, results);
    if (more) made = more(lab, narrow, inputs, made);
    std::vector<Tensor> tensors;
    for (std::size_t i = 0; i < made.size(); ++i)
      if (i >= results.size() || more || !results[i].opaque) tensors.push_back(lab.take(made[i]));
    return tensors;
  };
  Lab reference = Lab::reference();
  const auto expected = compute(reference, DType::f32);
  each_subject(0, [&](Lab lab) {
    const auto actual = compute(lab, type);
    REQUIRE(actual.size() == expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
      INFO("result " << i);
      require_close(actual[i], expected[i], tolerance(type));
    }
  });
}

/// A result in 16 bits, in the signatures above.
Signature half(const Shape& shape) { return {shape, DType::bf16}; }

TEST_CASE("convolutions in 16 bits agree with plain loops", "[half][conv2d]") {
  struct Case {
    Shape x, w, y;
    std::int64_t groups = 1, stride = 1;
  };
  Random random(71);
  for (const DType type : kTypes)
    for (const Case& at :
         {Case{{2, 3, 9, 8}, {8, 3, 3, 3}, {2, 8, 9, 8}}, Case{{2, 8, 6, 7}, {4, 8, 1, 1}, {2, 4, 8, 9}},
          Case{{1, 8, 9, 9}, {16, 2, 3, 3}, {1, 16, 5, 5}, 4, 2}}) {
      Attributes a{.stride_height = at.stride,
                   .stride_width = at.stride,
                   .pad_top = 1,
                   .pad_bottom = 1,
                   .pad_left = 1,
                   .pad_right = 1,
                   .groups = at.groups};
      a.kernel_height = at.w[2];
      a.kernel_width = at.w[3];
      a.activation = Function::relu;
      const Given x = drawn(random, at.x, type), w = drawn(random, at.w, type),
                  dy = drawn(random, at.y, type);
      holds_in_half(Kind::conv2d, a, {x, w, drawn(random, {at.w[0]}, type), dy}, {half(at.y)}, type);
      holds_in_half(Kind::conv2d_grad_data, a, {dy, w}, {half(at.x)}, type);
      holds_in_half(Kind::conv2d_grad_weights, a, {x, dy}, {half(at.w), half({at.w[0]})}, type);
    }
}

/// An image as a convolution leaves it: channels last on a GPU.
Held image(Lab& lab, const Tensor& tensor, DType type) {
  const std::int64_t channels = tensor.shape[1];
  Tensor identity{{channels, channels, 1, 1},
                  std::vector<double>(static_cast<std::size_t>(channels * channels))};
  for (std::int64_t c = 0; c < channels; ++c) identity.values[static_cast<std::size_t>(c * channels + c)] = 1;
  return lab.run(Kind::conv2d, {}, {lab.plain(tensor, type), lab.plain(identity, type)},
                 {{tensor.shape, type}})[0];
}

using Chain = std::function<std::vector<Held>(Lab&, DType)>;

void chain_holds(DType type, const Chain& chain) {
  Lab reference = Lab::reference();
  const auto taken = [](Lab& lab, const std::vector<Held>& helds) {
    std::vector<Tensor> tensors;
    for (const Held& held : helds) tensors.push_back(lab.take(held));
    return tensors;
  };
  const auto expected = taken(reference, chain(reference, DType::f32));
  each_subject(0, [&](Lab lab) {
    const auto actual = taken(lab, chain(lab, type));
    REQUIRE(actual.size() == expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
      INFO("result " << i << " in " << name_of(type));
      require_close(actual[i], expected[i], tolerance(type));
    }
  });
}

TEST_CASE("batch normalization of images that lie channels last agrees with plain loops",
          "[half][batch_norm]") {
  Random random(72);
  for (const DType type : kTypes)
    for (const Shape& shape : {Shape{3, 16, 6, 5}, Shape{2, 5, 7, 7}, Shape{4, 33, 3, 3}})
      for (const Function function : {Function::identity, Function::relu, Function::relu6}) {
        const Shape c{shape[1]};
        const Tensor x = rounded(random_tensor(random, shape), type),
                     dy = rounded(random_tensor(random, shape), type),
                     add = rounded(random_tensor(random, shape), type);
        const Tensor gamma = random_tensor(random, c, 0.5, 2), beta = random_tensor(random, c),
                     mean = random_tensor(random, c), variance = random_tensor(random, c, 0.5, 2);
        Attributes a;
        a.function = function;
        const bool masked = function != Function::identity;
        chain_holds(type, [&](Lab& lab, DType narrow) {
          const Held at = image(lab, x, narrow);
          std::vector<Signature> results{{shape, narrow}, c, c};
          if (masked) results.push_back(Signature::opaque_bytes());
          results.insert(results.end(), {c, c});
          std::vector<Held> made = lab.run(Kind::batch_norm_training, a,
                                           {at, lab.plain(gamma), lab.plain(beta), lab.plain(mean),
                                            lab.plain(variance), image(lab, add, narrow)},
                                           results);
          // The gradient begins at the statistics that the reference has, or the masks would differ.
          return std::vector<Held>{made[1], made[2], made[made.size() - 2], made.back()};
        });
        chain_holds(type, [&](Lab& lab, DType narrow) {
          return lab.run(Kind::batch_norm, a,
                         {image(lab, x, narrow), lab.plain(gamma), lab.plain(beta), lab.plain(mean),
                          lab.plain(variance), image(lab, add, narrow)},
                         {{shape, narrow}});
        });
        if (masked) continue;
        chain_holds(type, [&](Lab& lab, DType narrow) {
          return lab.run(Kind::batch_norm_grad, a,
                         {image(lab, x, narrow), image(lab, dy, narrow), lab.plain(mean), lab.plain(variance),
                          lab.plain(gamma)},
                         {{shape, narrow}, c, c, {shape, narrow}});
        });
      }
}

TEST_CASE("pools of images that lie channels last agree with plain loops", "[half][pool]") {
  Random random(73);
  for (const DType type : kTypes)
    for (const Shape& shape : {Shape{2, 8, 9, 8}, Shape{3, 5, 6, 6}}) {
      Attributes a{.kernel_height = 3,
                   .kernel_width = 3,
                   .stride_height = 2,
                   .stride_width = 2,
                   .pad_top = 1,
                   .pad_bottom = 1,
                   .pad_left = 1,
                   .pad_right = 1};
      const Tensor x = rounded(random_tensor(random, shape), type);
      const Shape y{shape[0], shape[1], (shape[2] - 1) / 2 + 1, (shape[3] - 1) / 2 + 1};
      const Tensor dy = rounded(random_tensor(random, y), type);
      for (const bool maximum : {true, false})
        for (const bool plain : {true, false})
          chain_holds(type, [&](Lab& lab, DType narrow) {
            const Held held = image(lab, x, narrow),
                       gradient = plain ? lab.plain(dy, narrow) : image(lab, dy, narrow);
            const auto made = lab.run(maximum ? Kind::max_pool : Kind::avg_pool, a, {held},
                                      {{y, narrow}, Signature::opaque_bytes()});
            const auto dx = lab.run(maximum ? Kind::max_pool_grad : Kind::avg_pool_grad, a,
                                    {gradient, made[1]}, {{shape, narrow}});
            return std::vector<Held>{made[0], dx[0]};
          });
      Attributes all{.kernel_height = shape[2], .kernel_width = shape[3]};
      const Shape one{shape[0], shape[1], 1, 1};
      const Tensor done = rounded(random_tensor(random, one), type);
      chain_holds(type, [&](Lab& lab, DType narrow) {
        const auto made =
            lab.run(Kind::avg_pool, all, {image(lab, x, narrow)}, {{one, narrow}, Signature::opaque_bytes()});
        const auto dx =
            lab.run(Kind::avg_pool_grad, all, {lab.plain(done, narrow), made[1]}, {{shape, narrow}});
        return std::vector<Held>{made[0], dx[0]};
      });
    }
}

TEST_CASE("elementwise and other operations in 16 bits agree with plain loops", "[half]") {
  Random random(74);
  for (const DType type : kTypes) {
    const Shape shape{2, 7, 5, 6};
    const Given a = drawn(random, shape, type), b = drawn(random, shape, type),
                row = drawn(random, {6}, type);
    for (const Function function : {Function::gelu, Function::relu, Function::tanh, Function::hard_swish})
      holds_in_half(Kind::unary, {.function = function}, {a}, {half(shape)}, type);
    holds_in_half(Kind::unary_grad, {.function = Function::gelu}, {a, absent(), b}, {half(shape)}, type);
    holds_in_half(Kind::binary, {.arithmetic = Arithmetic::multiply}, {a, b}, {half(shape)}, type);
    holds_in_half(Kind::binary, {.arithmetic = Arithmetic::add}, {a, row}, {half(shape)}, type);
    chain_holds(type, [&](Lab& lab, DType narrow) {
      const Held left = image(lab, a.tensor, narrow), right = lab.plain(b.tensor, narrow);
      const Held sum =
          lab.run(Kind::binary, {.arithmetic = Arithmetic::add}, {left, right}, {{shape, narrow}})[0];
      const Held bent = lab.run(Kind::unary, {.function = Function::relu}, {sum}, {{shape, narrow}})[0];
      return std::vector<Held>{lab.run(Kind::cast, {.type = DType::f32}, {bent}, {{shape, DType::f32}})[0],
                               lab.run(Kind::unary_grad, {.function = Function::relu}, {Held{}, bent, right},
                                       {{shape, narrow}})[0]};
    });
    Attributes last;
    last.axis = 3;
    holds_in_half(Kind::softmax, last, {a}, {half(shape)}, type);
    holds_in_half(Kind::layer_norm, last, {a, wide(random, {6}), wide(random, {6})},
                  {half(shape), Shape{2, 7, 5, 1}, Shape{2, 7, 5, 1}}, type);
    holds_in_half(Kind::layer_norm_grad, last,
                  {a, b, wide(random, {2, 7, 5, 1}), wide(random, {2, 7, 5, 1}, 0.5), wide(random, {6})},
                  {half(shape), Shape{6}, Shape{6}}, type);
    holds_in_half(Kind::matmul, {}, {a, drawn(random, {6, 4}, type)}, {half({2, 7, 5, 4})}, type);
    holds_in_half(Kind::dense, last,
                  {drawn(random, {5, 6}, type), drawn(random, {4, 6}, type), drawn(random, {4}, type)},
                  {half({5, 4})}, type);
    holds_in_half(Kind::dense_grad_weights, last, {drawn(random, {5, 6}, type), drawn(random, {5, 4}, type)},
                  {half({4, 6}), half({4})}, type);
    const Given q = drawn(random, {2, 2, 5, 8}, type), k = drawn(random, {2, 2, 7, 8}, type),
                v = drawn(random, {2, 2, 7, 4}, type);
    Attributes scaled;
    scaled.alpha = 0.35;
    holds_in_half(Kind::attention, scaled, {q, k, v, wide(random, {5, 7})},
                  {half({2, 2, 5, 4}), Shape{2, 2, 5}}, type);
  }
}

}  // namespace
}  // namespace trainyard::ops
