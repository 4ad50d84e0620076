// What operations refuse, in the words that a user reads; elementwise operations, those along axes, movement,
// look-ups and products. Each message names the shapes and what would fit.
#include <catch2/catch.hpp>

#include "common/ops/operation.hpp"
#include "common/tensor/shape.hpp"

namespace trainyard::ops {
namespace {

constexpr std::int64_t N = tensor::kBatch;

void refused(Kind kind, Attributes attributes, const std::vector<Signature>& operands,
             const std::string& message) {
  const auto made = infer(kind, attributes, operands);
  INFO(message);
  REQUIRE(!made);
  CHECK(made.error().code == Errc::invalid);
  CHECK(made.error().message == message);
}

Shape shape_of(Kind kind, Attributes attributes, const std::vector<Signature>& operands) {
  const auto made = infer(kind, attributes, operands);
  if (!made) FAIL(made.error().message);
  return made->front().shape;
}

Signature i32(Shape shape) { return {std::move(shape), DType::i32}; }
Signature u8(Shape shape) { return {std::move(shape), DType::u8}; }
Signature real(Shape shape) { return {std::move(shape)}; }

TEST_CASE("elementwise operations say which types and shapes do not fit", "[shapes]") {
  refused(Kind::unary, {.function = Function::exp}, {i32({3})},
          "unary: needs real numbers, and gets int32; cast them to fp32");
  refused(Kind::unary, {}, {real({3}), real({3})}, "unary: takes one operand, and gets 2");
  refused(Kind::binary, {}, {real({3})}, "binary: takes two operands, and gets 1");
  refused(Kind::binary, {}, {real({3}), i32({3})}, "binary: of fp32 and int32; cast one of them");
  refused(Kind::binary, {}, {real({N, 3}), real({N, 4})}, "binary: [N, 3] and [N, 4] do not broadcast");
  refused(Kind::binary, {}, {real({N, 3}), real({5, 3})}, "binary: [N, 3] and [5, 3] do not broadcast");
  refused(Kind::where, {}, {real({3}), real({3}), real({3})},
          "where: needs a condition of uint8, and gets fp32");
  refused(Kind::where, {}, {u8({3}), real({3}), i32({3})}, "where: of fp32 and int32");
  refused(Kind::where, {}, {u8({2}), real({3}), real({1})}, "where: [2], [3] and [1] do not broadcast");
  refused(Kind::where, {}, {u8({2})}, "where: takes three operands, and gets 1");
  refused(Kind::cast, {}, {real({2}), real({2})}, "cast: takes one operand, and gets 2");
}

TEST_CASE("operations along axes say which axis or type they do not take", "[shapes]") {
  refused(Kind::reduce, {.axes = {2}}, {real({N, 3})},
          "reduce: axis 2 of a tensor with 2 axes; it has to be in -2..1");
  refused(Kind::reduce, {.axes = {1, -1}}, {real({N, 3})}, "reduce: an axis is named twice");
  refused(Kind::reduce, {.reduction = Reduction::log_sum_exp}, {i32({3})},
          "reduce: needs real numbers, and gets int32; cast them to fp32");
  refused(Kind::softmax, {.axis = 0}, {real({})},
          "softmax: axis 0 of a tensor with 0 axes; it has to be in 0..-1");
  refused(Kind::log_softmax, {}, {i32({2, 2})},
          "log_softmax: needs real numbers, and gets int32; cast them to fp32");
  refused(Kind::arg_extreme, {.axis = 1}, {real({N, 0})},
          "arg_extreme: along axis 1 of [N, 0], which is empty");
  refused(Kind::top_k, {.axis = 1, .size = 4}, {real({N, 3})}, "top_k: the first 4 of [N, 3] along axis 1");
  refused(Kind::top_k, {.axis = 0, .size = 1}, {real({N, 3})}, "top_k: the first 1 of [N, 3] along axis 0");
  refused(Kind::cumulative_sum, {}, {real({2}), real({2})}, "cumulative_sum: takes one operand, and gets 2");
}

TEST_CASE("movement says what does not fit, whatever numbers it is given", "[shapes]") {
  refused(Kind::reshape, {.dims = {N, 7}}, {real({N, 2, 3})},
          "reshape: of [N, 2, 3] to [N, 7], which holds another number of elements");
  refused(Kind::reshape, {.dims = {N, N}}, {real({N, 1})},
          "reshape: of [N, 1] to [N, N], which holds another number of elements");
  const std::int64_t huge = INT64_MAX / 2;
  refused(Kind::reshape, {.dims = {huge, 4}}, {real({4})},
          "reshape: of [4] to [4611686018427387903, 4], which holds another number of elements");
  refused(Kind::transpose, {.axes = {0}}, {real({2, 3})}, "transpose: of [2, 3] by 1 axes");
  refused(Kind::transpose, {.axes = {0, 0}}, {real({2, 3})}, "transpose: an axis is named twice");
  refused(Kind::slice, {.axes = {0}, .starts = {0}}, {real({2, 3})},
          "slice: names 1 axes, 1 starts and 0 ends");
  refused(Kind::slice, {.axes = {0}, .starts = {0}, .ends = {1}, .steps = {1, 1}}, {real({2, 3})},
          "slice: names 1 axes and 2 steps");
  refused(Kind::slice, {.axes = {0}, .starts = {0}, .ends = {1}, .steps = {0}}, {real({2, 3})},
          "slice: has a step of 0");
  refused(Kind::slice, {.axes = {0}, .starts = {0}, .ends = {1}}, {real({N, 3})},
          "slice: cuts the batch of [N, 3]; only other axes can be cut");
  refused(Kind::concat, {.axis = 1}, {real({N, 3}), real({N, 3, 1})}, "concat: [N, 3, 1] beside [N, 3]");
  refused(Kind::concat, {.axis = 1}, {real({N, 3}), real({2, 3})},
          "concat: [2, 3] beside [N, 3]; all but axis 1 have to agree");
  refused(Kind::concat, {.axis = 0}, {real({N, 3}), real({2, 3})},
          "concat: mixes the batch with a fixed extent");
  refused(Kind::pad, {.starts = {1}, .ends = {1}}, {real({2, 3})},
          "pad: needs 2 numbers in front and behind");
  refused(Kind::pad, {.starts = {1, 0}, .ends = {0, 0}}, {real({N, 3})}, "pad: of the batch of [N, 3]");
  refused(Kind::pad, {.starts = {0, -2}, .ends = {0, -2}}, {real({2, 3})},
          "pad: takes more from axis 1 of [2, 3] than it has");
  refused(Kind::pad, {.starts = {INT64_MAX}, .ends = {INT64_MAX}}, {real({3})},
          "pad: of axis 0 of [3] by more than there are numbers");
  refused(Kind::pad, {.starts = {3}, .ends = {0}, .pad_mode = PadMode::reflect}, {real({3})},
          "pad: reflects more of axis 0 of [3] than it has");
  refused(Kind::pad, {.starts = {1}, .ends = {0}, .pad_mode = PadMode::edge}, {real({0})},
          "pad: of an empty axis has no edge");
  refused(Kind::expand, {.dims = {2, 4}}, {real({2, 3})}, "expand: of [2, 3] to [2, 4]");
}

TEST_CASE("look-ups say which index or extent does not fit", "[shapes]") {
  refused(Kind::gather, {.axis = 0}, {real({2, 3}), real({2})},
          "gather: needs an index of int32 or int64, and gets fp32");
  refused(Kind::gather, {.axis = 0}, {real({N, 3}), i32({2})}, "gather: looks along the batch of [N, 3]");
  refused(Kind::gather, {.axis = 0}, {real({2, 3})}, "gather: takes two operands, and gets 1");
  refused(Kind::gather_elements, {.axis = 1}, {real({2, 3}), i32({3, 1})},
          "gather_elements: [2, 3] by an index [3, 1]; all but axis 1 have to be within it");
  refused(Kind::gather_elements, {.axis = 1}, {real({5, 3}), i32({N, 1})},
          "gather_elements: [5, 3] by an index [N, 1]; all but axis 1 have to be within it");
  refused(Kind::gather_elements, {.axis = 0}, {real({N, 3}), i32({2, 3})},
          "gather_elements: looks along the batch of [N, 3]");
  refused(Kind::scatter_elements, {.axis = 1}, {real({2, 3}), i32({2, 1}), real({2, 2})},
          "scatter_elements: updates [2, 2] for an index [2, 1]");
  refused(Kind::scatter_elements, {.axis = 1}, {real({2, 3}), i32({2, 1}), i32({2, 1})},
          "scatter_elements: of fp32 and updates of int32");
  refused(Kind::one_hot, {.size = 0}, {i32({2})}, "one_hot: of 0 classes");
  refused(Kind::one_hot, {.size = 3}, {real({2})},
          "one_hot: needs an index of int32 or int64, and gets fp32");
  refused(Kind::resize, {.dims = {2, 2}}, {real({N, 3})},
          "resize: needs an image [N, C, H, W], and gets [N, 3]");
  refused(Kind::resize, {.dims = {2, 0}}, {real({N, 3, 4, 4})}, "resize: needs a height and a width");
  refused(Kind::resize, {.dims = {2, 2}}, {real({N, 3, 0, 4})},
          "resize: of [N, 3, 0, 4], which has no pixels");
}

TEST_CASE("products of matrices say which extents differ", "[shapes]") {
  refused(Kind::matmul, {}, {real({3}), real({3})}, "matmul: of [3] and [3]; both need two axes");
  refused(Kind::matmul, {.transpose_b = true}, {real({2, 3}), real({3, 4})},
          "matmul: [2, 3] and [3, 4] transposed do not fit");
  refused(Kind::matmul, {}, {real({2, 2, 3}), real({5, 3, 4})}, "matmul: [2, 2, 3] and [5, 3, 4] do not fit");
  refused(Kind::matmul, {}, {i32({2, 2}), i32({2, 2})},
          "matmul: needs real numbers, and gets int32; cast them to fp32");
  refused(Kind::matmul, {}, {real({2, 2}), {Shape{2, 2}, DType::bf16}},
          "matmul: of fp32 and bf16; cast one of them");
}

TEST_CASE("shapes follow an open batch", "[shapes]") {
  CHECK(shape_of(Kind::binary, {}, {real({N, 3}), real({1, 1})}) == Shape{N, 3});
  CHECK(shape_of(Kind::reduce, {.axes = {0}}, {real({N, 3})}) == Shape{1, 3});
  CHECK(shape_of(Kind::reduce, {.axes = {-1}, .keep_dims = false}, {real({N, 3})}) == Shape{N});
  CHECK(shape_of(Kind::reshape, {.dims = {3 * N, 2}}, {real({N, 2, 3})}) == Shape{3 * N, 2});
  CHECK(shape_of(Kind::transpose, {.axes = {-1, 0}}, {real({N, 3})}) == Shape{3, N});
  CHECK(shape_of(Kind::concat, {.axis = 0}, {real({N, 3}), real({N, 3})}) == Shape{2 * N, 3});
  CHECK(shape_of(Kind::expand, {.dims = {N, 3}}, {real({1, 3})}) == Shape{N, 3});
  CHECK(shape_of(Kind::gather, {.axis = 0}, {real({5, 3}), i32({N, 2})}) == Shape{N, 2, 3});
  CHECK(shape_of(Kind::gather_elements, {.axis = 1}, {real({N, 3}), i32({N, 7})}) == Shape{N, 7});
  CHECK(shape_of(Kind::one_hot, {.axis = 1, .size = 5}, {i32({N, 2})}) == Shape{N, 5, 2});
  CHECK(shape_of(Kind::matmul, {.transpose_a = true}, {real({N, 4, 2, 3}), real({2, 5})}) ==
        Shape{N, 4, 3, 5});
  CHECK(shape_of(Kind::softmax, {}, {real({N, 3})}) == Shape{N, 3});
}

}  // namespace
}  // namespace trainyard::ops
