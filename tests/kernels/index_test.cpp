// Look-ups, resizing and products of matrices: values worked out by hand or given by ONNX, on every backend.
#include <catch2/catch.hpp>

#include "tests/kernels/cases.hpp"

namespace trainyard::ops {
namespace {

TEST_CASE("a look-up takes slices along an axis, negative ones from the end", "[gather]") {
  for (const DType index : {DType::i32, DType::i64})
    for (const DType type : {DType::f32, DType::bf16, DType::i64, DType::u8}) {
      const Typed x{{3, 2}, {1, 2, 3, 4, 5, 6}, type};
      gives(Kind::gather, {.axis = 0}, {x, {{2}, {2, 0}, index}}, {{{2, 2}, {5, 6, 1, 2}, type}});
      gives(Kind::gather, {.axis = 1}, {x, {{1, 2}, {-1, 0}, index}},
            {{{3, 1, 2}, {2, 1, 4, 3, 6, 5}, type}});
      gives(Kind::gather, {.axis = 0}, {x, {{}, {-3}, index}}, {{{2}, {1, 2}, type}});
      gives(Kind::gather, {.axis = 0}, {x, {{0}, {}, index}}, {{{0, 2}, {}, type}});
      gives(Kind::gather_elements, {.axis = 1}, {x, {{2, 2}, {0, 0, 1, -2}, index}},
            {{{2, 2}, {1, 1, 4, 3}, type}});
      gives(Kind::gather_elements, {.axis = 0}, {x, {{1, 2}, {2, 1}, index}}, {{{1, 2}, {5, 4}, type}});
    }
}

TEST_CASE("the gradient of a look-up adds what went to the same place", "[gather]") {
  for (const DType index : {DType::i32, DType::i64}) {
    gives_gradient(Kind::gather_grad, {.axis = 0}, {{{3, 2}, {1, 2, 3, 4, 5, 6}}, {{3}, {2, 0, -1}, index}},
                   {{{3, 2}, {3, 4, 0, 0, 6, 8}}});
    gives_gradient(Kind::gather_grad, {.axis = 1}, {{{2, 1, 2}, {1, 2, 3, 4}}, {{1, 2}, {1, 1}, index}},
                   {{{2, 3}, {0, 3, 0, 0, 7, 0}}});
  }
}

TEST_CASE("updates are scattered over a tensor, the last one of a place stays", "[scatter_elements]") {
  for (const DType type : {DType::f32, DType::i32, DType::i64, DType::u8}) {
    const Typed x{{2, 3}, {1, 1, 1, 1, 1, 1}, type}, updates{{2, 2}, {5, 6, 7, 8}, type};
    const Typed index{{2, 2}, {2, 2, 0, -2}, DType::i64};
    gives(Kind::scatter_elements, {.axis = 1}, {x, index, updates}, {{{2, 3}, {1, 1, 6, 7, 8, 1}, type}});
    gives(Kind::scatter_elements, {.axis = 1, .accumulate = true}, {x, index, updates},
          {{{2, 3}, {1, 1, 12, 8, 9, 1}, type}});
  }
}

TEST_CASE("a class becomes a row with one hot element", "[one_hot]") {
  for (const DType type : {DType::f32, DType::i32, DType::i64, DType::u8}) {
    gives(Kind::one_hot, {.alpha = 2, .beta = 5, .axis = -1, .size = 3, .type = type},
          {{{2}, {1, -1}, DType::i64}}, {{{2, 3}, {2, 5, 2, 2, 2, 5}, type}});
    gives(Kind::one_hot, {.beta = 1, .axis = 0, .size = 2, .type = type}, {{{3}, {1, 0, 7}, DType::i32}},
          {{{2, 3}, {0, 1, 0, 1, 0, 0}, type}});
  }
}

Typed image(std::int64_t height, std::int64_t width, std::vector<double> values) {
  return {{1, 1, height, width}, std::move(values)};
}
Typed counted(std::int64_t height, std::int64_t width) {
  Typed typed = image(height, width, {});
  for (std::int64_t i = 1; i <= height * width; ++i) typed.values.push_back(static_cast<double>(i));
  return typed;
}

// What ONNX gives for the operator Resize, in its node tests of these names.
TEST_CASE("resizing to the nearest pixel is ONNX's", "[resize]") {
  gives(Kind::resize, {.dims = {4, 6}}, {counted(2, 2)},  // upsample_scales_nearest
        {image(4, 6, {1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 3, 3, 3, 4, 4, 4})});
  gives(Kind::resize, {.alpha = 0.6, .beta = 0.6, .dims = {1, 2}}, {counted(2, 4)},
        {image(1, 2, {1, 3})});  // downsample_scales_nearest
  gives(Kind::resize,
        {.dims = {1, 8}, .coordinates = Coordinates::align_corners, .nearest_mode = NearestMode::floor},
        {image(1, 4, {1, 2, 3, 4})}, {image(1, 8, {1, 1, 1, 2, 2, 3, 3, 4})});
  gives(Kind::resize,
        {.dims = {1, 8}, .coordinates = Coordinates::asymmetric, .nearest_mode = NearestMode::ceil},
        {image(1, 4, {1, 2, 3, 4})}, {image(1, 8, {1, 2, 2, 3, 3, 4, 4, 4})});
  gives(Kind::resize,
        {.dims = {1, 8},
         .coordinates = Coordinates::half_pixel,
         .nearest_mode = NearestMode::round_prefer_ceil},
        {image(1, 4, {1, 2, 3, 4})}, {image(1, 8, {1, 1, 2, 2, 3, 3, 4, 4})});
}

TEST_CASE("linear resizing is ONNX's", "[resize]") {
  gives(Kind::resize, {.dims = {4, 4}, .interpolation = Interpolation::linear}, {counted(2, 2)},
        {image(4, 4, {1, 1.25, 1.75, 2, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3, 3.25, 3.75, 4})});
  gives(Kind::resize,
        {.dims = {4, 4}, .coordinates = Coordinates::align_corners, .interpolation = Interpolation::linear},
        {counted(2, 2)},
        {image(4, 4,
               {1, 4 / 3., 5 / 3., 2, 5 / 3., 2, 7 / 3., 8 / 3., 7 / 3., 8 / 3., 3, 10 / 3., 3, 10 / 3.,
                11 / 3., 4})});
  gives(Kind::resize, {.alpha = 0.6, .beta = 0.6, .dims = {1, 2}, .interpolation = Interpolation::linear},
        {counted(2, 4)}, {image(1, 2, {2.6666665, 4.3333331})});
  gives(Kind::resize,
        {.dims = {3, 1},
         .coordinates = Coordinates::pytorch_half_pixel,
         .interpolation = Interpolation::linear},
        {counted(4, 4)}, {image(3, 1, {1.6666666, 7, 12.333333})});
}

TEST_CASE("cubic resizing is ONNX's", "[resize]") {
  gives(Kind::resize, {.alpha = 0.8, .beta = 0.8, .dims = {3, 3}, .interpolation = Interpolation::cubic},
        {counted(4, 4)},
        {image(3, 3,
               {1.47119141, 2.78125, 4.08251953, 6.71142578, 8.02148438, 9.32275391, 11.91650391, 13.2265625,
                14.52783203})});
  gives(
      Kind::resize, {.alpha = 1, .beta = 2, .dims = {1, 8}, .interpolation = Interpolation::cubic},
      {image(1, 4, {1, 2, 3, 4})},
      {image(1, 8,
             {0.89453125, 1.19140625, 1.66796875, 2.296875, 2.703125, 3.33203125, 3.80859375, 4.10546875})});
}

TEST_CASE("the gradient of resizing gives each pixel what it was used for", "[resize]") {
  gives_gradient(Kind::resize_grad, {.dims = {1, 4}}, {image(1, 4, {1, 2, 4, 8})}, {image(1, 2, {3, 12})});
  gives_gradient(Kind::resize_grad, {.dims = {1, 4}, .interpolation = Interpolation::linear},
                 {image(1, 4, {1, 2, 4, 8})}, {image(1, 2, {1 + 1.5 + 1, 0.5 + 3 + 8})});
}

TEST_CASE("matrices are multiplied in batches, transposed and stretched", "[matmul]") {
  const Typed a{{2, 3}, {1, 2, 3, 4, 5, 6}}, b{{3, 2}, {1, 0, 0, 1, 1, 1}};
  const Typed product{{2, 2}, {4, 5, 10, 11}};
  gives(Kind::matmul, {}, {a, b}, {product});
  gives(Kind::matmul, {.transpose_a = true}, {{{3, 2}, {1, 4, 2, 5, 3, 6}}, b}, {product});
  gives(Kind::matmul, {.transpose_b = true}, {a, {{2, 3}, {1, 0, 1, 0, 1, 1}}}, {product});
  gives(Kind::matmul, {}, {{{2, 1, 1, 2}, {1, 2, 3, 4}}, {{3, 2, 1}, {1, 1, 2, 0, 0, 2}}},
        {{{2, 3, 1, 1}, {3, 2, 4, 7, 6, 8}}});
  gives(Kind::matmul, {}, {{{2, 0}, {}}, {{0, 3}, {}}}, {{{2, 3}, {0, 0, 0, 0, 0, 0}}});
  gives(Kind::matmul, {}, {{{0, 2}, {}}, {{2, 3}, {1, 2, 3, 4, 5, 6}}}, {{{0, 3}, {}}});
}

}  // namespace
}  // namespace trainyard::ops
