// Tensors so large that several threads share the work: what they give, and that their number changes no bit.
#include <omp.h>
#include <catch2/catch.hpp>

#include "tests/kernels/lab.hpp"

namespace trainyard::ops {
namespace {

struct Case {
  Kind kind;
  Attributes attributes;
  std::vector<Tensor> operands;
  std::vector<Signature> outputs;  // none: those that ops::infer gives
};

Tensor indices(Random& random, const Shape& shape, std::int64_t extent) {
  Tensor tensor{shape, {}};
  for (std::int64_t i = 0; i < shape.elements(); ++i)
    tensor.values.push_back(static_cast<double>(random.below(static_cast<std::uint64_t>(extent))));
  return tensor;
}

bool second_is_index(Kind kind) { return kind == Kind::gather || kind == Kind::gather_grad; }

std::vector<Tensor> compute(Lab& lab, const Case& at) {
  std::vector<Held> inputs;
  for (std::size_t i = 0; i < at.operands.size(); ++i)
    inputs.push_back(i == 1 && second_is_index(at.kind) ? lab.plain(at.operands[i], DType::i32)
                     : i == 0 && at.kind == Kind::where ? lab.plain(at.operands[i], DType::u8)
                                                        : lab.activation(at.operands[i]));
  if (at.kind == Kind::unary_grad)
    inputs.insert(inputs.begin() + 1, Held{at.operands[0].shape, nullptr, nullptr});
  std::vector<Tensor> results;
  for (const Held& held : at.outputs.empty() ? lab.run(at.kind, at.attributes, inputs)
                                             : lab.run(at.kind, at.attributes, inputs, at.outputs))
    results.push_back(lab.take(held));
  return results;
}

std::vector<Case> cases() {
  Random random(301);
  const Shape image{4, 33, 41, 23}, rows{310, 701}, bias{701}, channels{1, 33, 1, 1};
  const auto real = [&](const Shape& shape) { return random_tensor(random, shape, 0.2, 2); };
  const Attributes last{.axis = 1};
  const Signature like_image(image), like_rows(rows);
  std::vector<Case> all{
      {Kind::unary, {.function = Function::gelu}, {real(image)}, {}},
      {Kind::unary, {.function = Function::cos}, {real(image)}, {}},
      {Kind::unary_grad, {.function = Function::silu}, {real(image), real(image)}, {like_image}},
      {Kind::binary, {.arithmetic = Arithmetic::subtract}, {real(image), real(image)}, {}},
      {Kind::binary, {.arithmetic = Arithmetic::multiply}, {real(image), real(channels)}, {}},
      {Kind::binary, {.arithmetic = Arithmetic::power}, {real(image), real({})}, {}},
      {Kind::binary, {.arithmetic = Arithmetic::divide}, {real(bias), real(rows)}, {}},
      {Kind::binary, {.arithmetic = Arithmetic::less}, {real(rows), real(rows)}, {}},
      {Kind::where, {}, {indices(random, rows, 2), real(rows), real(bias)}, {}},
      {Kind::cast, {.type = DType::i32}, {real(image)}, {}},
      {Kind::softmax, last, {real(rows)}, {}},
      {Kind::softmax_grad, last, {real(rows), real(rows)}, {like_rows}},
      {Kind::log_softmax, last, {real(rows)}, {}},
      {Kind::log_softmax_grad, last, {real(rows), real(rows)}, {like_rows}},
      {Kind::transpose, {.axes = {1, 0}}, {real(rows)}, {}},
      {Kind::transpose, {.axes = {0, 2, 3, 1}}, {real(image)}, {}},
      {Kind::slice, {.axes = {1}, .starts = {16}, .ends = {33}}, {real(image)}, {}},
      {Kind::slice,
       {.axes = {0, 1}, .starts = {309, 1}, .ends = {-500, 700}, .steps = {-1, 2}},
       {real(rows)},
       {}},
      {Kind::concat, {.axis = 1}, {real({4, 32, 41, 23}), real(image)}, {}},
      {Kind::concat, {.axis = 1}, {real(rows), real(rows)}, {}},
      {Kind::pad, {.alpha = 3, .starts = {0, 0, 1, 2}, .ends = {0, 0, 2, -1}}, {real(image)}, {}},
      {Kind::expand, {.dims = image.dims(), .reduction = Reduction::mean}, {real({4, 33, 1, 1})}, {}},
      {Kind::expand, {.dims = rows.dims()}, {real(bias)}, {}},
      {Kind::gather, {.axis = 0}, {real(rows), indices(random, {97}, 310)}, {}},
      {Kind::gather, {.axis = 1}, {real(rows), indices(random, {400}, 701)}, {}},
      {Kind::gather_grad, {.axis = 0}, {real({97, 701}), indices(random, {97}, 9)}, {like_rows}},
  };
  for (const auto reduction :
       {Reduction::sum, Reduction::maximum, Reduction::product, Reduction::l2, Reduction::log_sum_exp})
    for (const std::vector<std::int64_t>& axes :
         {std::vector<std::int64_t>{}, {0}, {1}, {2, 3}, {0, 2, 3}, {0, 3}}) {
      const Attributes attributes{.axes = axes, .reduction = reduction};
      Tensor x = random_tensor(random, image, 0.98, 1.02);
      all.push_back({Kind::reduce, attributes, {std::move(x)}, {}});
    }
  return all;
}

TEST_CASE("work that threads share agrees with plain loops", "[large]") {
  for (const Case& at : cases()) {
    INFO(name_of(at.kind) << " of " << at.operands[0].shape.text());
    agree([&](Lab& lab) { return compute(lab, at); });
  }
}

TEST_CASE("the number of threads changes no bit", "[large]") {
  const int threads = omp_get_max_threads();
  for (const Case& at : cases())
    for (const std::uint32_t blocked : {0u, 3u}) {
      INFO(name_of(at.kind) << " of " << at.operands[0].shape.text() << ", blocked " << blocked);
      std::vector<std::vector<Tensor>> results;
      for (const int count : {1, 2, 5}) {
        omp_set_num_threads(count);
        Lab lab = Lab::cpu(blocked);
        results.push_back(compute(lab, at));
      }
      omp_set_num_threads(threads);
      for (std::size_t i = 1; i < results.size(); ++i)
        for (std::size_t k = 0; k < results[0].size(); ++k)
          CHECK(results[i][k].values == results[0][k].values);
    }
}

}  // namespace
}  // namespace trainyard::ops
