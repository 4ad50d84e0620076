// Linear maps of operands in 16 bits: what they give is what the oracle gives for the rounded operands, and
// as near to what it gives for the operands themselves as the bits of the format allow.
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/kernels/lab.hpp"

namespace trainyard::ops {
namespace {

constexpr double kTolerance = 1e-4;  // sums are f32 in another order

Held narrowed(const Lab& lab, const Held& held, DType type) {
  Attributes to;
  to.type = type;
  return lab.run(Kind::cast, to, {held}, {Signature(held.shape, type)})[0];
}

Attributes window(std::int64_t kernel, std::int64_t stride, std::int64_t pad, std::int64_t groups = 1) {
  return {.kernel_height = kernel,
          .kernel_width = kernel,
          .stride_height = stride,
          .stride_width = stride,
          .pad_top = pad,
          .pad_bottom = pad,
          .pad_left = pad,
          .pad_right = pad,
          .groups = groups};
}

}  // namespace

TEST_CASE("casts to 16 bits and back keep the order of an image", "[narrow]") {
  Random random(1);
  const Tensor x = random_tensor(random, {3, 19, 6, 5});
  for (const DType type : {DType::bf16, DType::f16})
    agree(
        [&](Lab& lab) {
          const Held narrow = narrowed(lab, lab.activation(x), type);
          Attributes back;
          back.type = DType::f32;
          return std::vector{lab.take(lab.run(Kind::cast, back, {narrow}, {Signature(x.shape)})[0])};
        },
        1e-7);
}

TEST_CASE("convolutions of 16 bits agree with plain loops over rounded operands", "[narrow]") {
  Random random(2);
  struct Case {
    Shape x, w;
    Attributes attributes;
    std::int64_t height, width;
  };
  for (const Case& at : {Case{{4, 3, 12, 11}, {16, 3, 3, 3}, window(3, 2, 1), 6, 6},
                         Case{{3, 1, 9, 8}, {6, 1, 5, 5}, window(5, 1, 2), 9, 8},
                         Case{{3, 16, 9, 9}, {16, 16, 3, 3}, window(3, 1, 1), 9, 9},
                         Case{{2, 19, 7, 6}, {17, 19, 1, 1}, window(1, 1, 0), 7, 6},
                         Case{{2, 12, 8, 8}, {8, 6, 3, 3}, window(3, 1, 1, 2), 8, 8}}) {
    const Shape out{at.x[0], at.w[0], at.height, at.width}, bias{at.w[0]};
    const Tensor x = random_tensor(random, at.x), w = random_tensor(random, at.w),
                 dy = random_tensor(random, out), b = random_tensor(random, bias);
    for (const DType type : {DType::bf16, DType::f16}) {
      INFO(at.x.text() << " by " << at.w.text() << " of " << tensor::name_of(type));
      Attributes relu = at.attributes;
      relu.activation = Function::relu;
      agree(
          [&](Lab& lab) {
            const Held image = narrowed(lab, lab.activation(x), type),
                       gradient = narrowed(lab, lab.activation(dy), type),
                       weight = narrowed(lab, lab.plain(w), type);
            std::vector<Tensor> all{
                lab.take(lab.run(Kind::conv2d, relu, {image, weight, lab.plain(b)}, {out})[0]),
                lab.take(lab.run(Kind::conv2d_grad_data, at.attributes, {gradient, weight}, {at.x})[0])};
            for (const Held& made :
                 lab.run(Kind::conv2d_grad_weights, at.attributes, {image, gradient}, {at.w, bias}))
              all.push_back(lab.take(made));
            return all;
          },
          kTolerance);
    }
  }
}

TEST_CASE("dense layers of 16 bits agree with plain loops over rounded operands", "[narrow]") {
  Random random(3);
  for (const Shape& shape : {Shape{5, 33}, Shape{4, 6, 5, 3}, Shape{3, 4, 20}}) {
    const bool last = shape.rank() == 3;
    const Attributes attributes{.axis = last ? -1 : 1};
    const std::int64_t features = last ? shape[2] : shape.volume(1), units = 12;
    const Shape w{units, features}, y = last ? Shape{shape[0], shape[1], units} : Shape{shape[0], units};
    const Tensor tx = random_tensor(random, shape), tw = random_tensor(random, w),
                 ty = random_tensor(random, y), tb = random_tensor(random, {units});
    for (const DType type : {DType::bf16, DType::f16}) {
      INFO(shape.text() << " of " << tensor::name_of(type));
      agree(
          [&](Lab& lab) {
            const Held x = narrowed(lab, lab.activation(tx), type),
                       dy = narrowed(lab, last ? lab.plain(ty) : lab.activation(ty), type),
                       weight = narrowed(lab, lab.plain(tw), type);
            std::vector<Tensor> all{
                lab.take(lab.run(Kind::dense, attributes, {x, weight, lab.plain(tb)}, {y})[0]),
                lab.take(lab.run(Kind::dense_grad_data, attributes, {dy, weight}, {shape})[0])};
            for (const Held& made : lab.run(Kind::dense_grad_weights, attributes, {x, dy}, {w, Shape{units}}))
              all.push_back(lab.take(made));
            return all;
          },
          kTolerance);
    }
  }
}

TEST_CASE("products of matrices of 16 bits agree with plain loops over rounded operands", "[narrow]") {
  Random random(4);
  for (const bool turned : {false, true}) {
    Attributes attributes;
    attributes.transpose_b = turned;
    const Tensor a = random_tensor(random, {2, 3, 7, 20}),
                 b = random_tensor(random, turned ? Shape{2, 3, 9, 20} : Shape{2, 3, 20, 9});
    for (const DType type : {DType::bf16, DType::f16})
      agree(
          [&](Lab& lab) {
            const Held left = narrowed(lab, lab.plain(a), type), right = narrowed(lab, lab.plain(b), type);
            return std::vector{
                lab.take(lab.run(Kind::matmul, attributes, {left, right}, {Shape{2, 3, 7, 9}})[0])};
          },
          kTolerance);
  }
}

namespace {

struct Map {
  Kind kind;
  Attributes attributes;
  Shape a, b, y;
};

Tensor magnitude(Tensor tensor) {
  for (double& value : tensor.values) value = std::abs(value);
  return tensor;
}

Tensor result_of(Lab& lab, const Map& map, const Tensor& a, const Tensor& b, DType type) {
  const Held left = lab.activation(a), right = lab.plain(b);
  if (type == DType::f32) return lab.take(lab.run(map.kind, map.attributes, {left, right}, {map.y})[0]);
  return lab.take(
      lab.run(map.kind, map.attributes, {narrowed(lab, left, type), narrowed(lab, right, type)}, {map.y})[0]);
}

}  // namespace

TEST_CASE("16 bits cost a linear map no more than the rounding of its operands", "[narrow]") {
  Random random(5);
  const Map maps[] = {
      {Kind::conv2d, window(3, 1, 1), {3, 16, 9, 9}, {16, 16, 3, 3}, {3, 16, 9, 9}},
      {Kind::conv2d_grad_data, window(3, 1, 1), {3, 16, 9, 9}, {16, 16, 3, 3}, {3, 16, 9, 9}},
      {Kind::conv2d_grad_weights, window(3, 1, 1), {3, 16, 9, 9}, {3, 16, 9, 9}, {16, 16, 3, 3}},
      {Kind::dense, {.axis = 1}, {6, 40}, {12, 40}, {6, 12}},
      {Kind::dense_grad_data, {.axis = 1}, {6, 12}, {12, 40}, {6, 40}},
      {Kind::dense_grad_weights, {.axis = 1}, {6, 40}, {6, 12}, {12, 40}},
      {Kind::matmul, {}, {2, 7, 20}, {2, 20, 9}, {2, 7, 9}},
  };
  for (const Map& map : maps) {
    const Tensor a = random_tensor(random, map.a), b = random_tensor(random, map.b);
    Lab oracle = Lab::reference();
    const Tensor exact = result_of(oracle, map, a, b, DType::f32);
    const Tensor sums = result_of(oracle, map, magnitude(a), magnitude(b), DType::f32);
    // Bits of the fraction with the one in front: a number is rounded by 2^-bits of it at most.
    for (const auto& [type, bits] : {std::pair{DType::bf16, 8}, {DType::f16, 11}}) {
      INFO(name_of(map.kind) << " of " << tensor::name_of(type));
      const double unit = std::ldexp(1.0, -bits), product = 2 * unit + unit * unit;
      each_subject(1, [&, type = type](Lab lab) {
        const Tensor narrow = result_of(lab, map, a, b, type);
        double worst = 0;
        for (std::size_t i = 0; i < exact.values.size(); ++i)
          worst = std::max(worst, std::abs(narrow.values[i] - exact.values[i]) / sums.values[i]);
        CHECK(worst < product + 1e-6);  // and the sums are f32
        CHECK(worst > unit / 100);      // they were rounded indeed
      });
    }
  }
}

}  // namespace trainyard::ops
