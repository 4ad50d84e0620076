// Attention as matrix products over some heads at a time, so that the scores of all of them never have to lie
// in memory together: scores by a product in float, softmax by own kernels, values by another product.
#include <algorithm>
#include <cmath>

#include "common/ops/arithmetic.hpp"
#include "common/ops/attention_mask.hpp"
#include "common/ops/cuda/gemm.hpp"
#include "common/ops/cuda/group.hpp"
#include "common/ops/cuda/kernel.hpp"
#include "common/ops/cuda/numbers.hpp"

namespace trainyard::ops::cuda {
namespace {

constexpr std::int64_t kScoresMax = std::int64_t{1} << 26;  // floats of the scores that lie at once

struct Sizes {
  Sizes(const Shape& q, const Shape& v, const Operand* operand)
      : maps(q[0] * q[1]), heads(q[1]), queries(q[2]), keys(v[2]), depth(q[3]), width(v[3]) {
    const std::int64_t room =
        std::max<std::int64_t>(1, kScoresMax / std::max<std::int64_t>(1, queries * keys));
    together = std::max<std::int64_t>(1, std::min(maps, room));
    if (operand == nullptr || operand->layout == nullptr) return;
    const auto steps = mask_steps(operand->shape, {q[0], heads, queries, keys});
    std::copy(steps.begin(), steps.end(), strides);
  }
  __device__ std::int64_t mask_at(std::int64_t map, std::int64_t i, std::int64_t j) const {
    return map / heads * strides[0] + map % heads * strides[1] + i * strides[2] + j * strides[3];
  }
  std::int64_t maps, heads, queries, keys, depth, width;
  std::int64_t together;         // maps whose scores lie at once
  std::int64_t strides[4] = {};  // of the mask; 0 where it is stretched
};

/// Row i of some maps: probabilities from raw products, and the logarithm of their sum.
template <typename T>
struct SoftmaxRow {
  Sizes s;
  std::int64_t first;  // map
  float alpha;
  const float *scores, *mask;
  T* p;
  float* whole;
  template <typename Group>
  __device__ void operator()(std::int64_t row, const Group& group) const {
    const std::int64_t map = first + row / s.queries, i = row % s.queries;
    const float* const from = scores + row * s.keys;
    const auto score = [&](std::int64_t j) {
      return alpha * from[j] + (mask != nullptr ? mask[s.mask_at(map, i, j)] : 0.0f);
    };
    float top = -INFINITY, sum = 0;
    group.over(s.keys, [&](std::int64_t j) { top = combine(Arithmetic::maximum, top, score(j)); });
    top = group.reduce(top, [](float a, float b) { return combine(Arithmetic::maximum, a, b); });
    if (top != -INFINITY) group.over(s.keys, [&](std::int64_t j) { sum += std::exp(score(j) - top); });
    sum = group.reduce(sum, [](float a, float b) { return a + b; });
    if (group.first()) whole[first * s.queries + row] = top + std::log(sum);
    group.over(s.keys, [&](std::int64_t j) {
      p[row * s.keys + j] = narrow<T>(top == -INFINITY ? 0.0f : std::exp(score(j) - top) / sum);
    });
  }
};

/// The same again from the logarithms, and the gradient of the raw products: ds = alpha p (dp - sum of y dy).
template <typename T>
struct GradRow {
  Sizes s;
  std::int64_t first;
  float alpha;
  const float *scores, *mask, *whole, *dp;
  const T *y, *dy;
  T *p, *ds;
  template <typename Group>
  __device__ void operator()(std::int64_t row, const Group& group) const {
    const std::int64_t map = first + row / s.queries, i = row % s.queries;
    const std::int64_t query = first * s.queries + row;
    float mean = 0;
    group.over(s.width, [&](std::int64_t e) {
      mean += widen(y[query * s.width + e]) * widen(dy[query * s.width + e]);
    });
    mean = group.reduce(mean, [](float a, float b) { return a + b; });
    group.over(s.keys, [&](std::int64_t j) {
      const std::int64_t at = row * s.keys + j;
      const float score = alpha * scores[at] + (mask != nullptr ? mask[s.mask_at(map, i, j)] : 0.0f);
      const float probability = whole[query] == -INFINITY ? 0.0f : std::exp(score - whole[query]);
      p[at] = narrow<T>(probability);
      ds[at] = narrow<T>(alpha * probability * (dp[at] - mean));
    });
  }
};

/// Products of a batch of maps, and of the fewer maps that may be left at the end.
struct Products {
  std::shared_ptr<const Gemm> full, rest;
  std::size_t bytes() const {
    return std::max(full->workspace_bytes(), rest ? rest->workspace_bytes() : std::size_t{0});
  }
  const Gemm& of(bool all) const { return all ? *full : *rest; }
};

Result<Products> products(Queue& queue, GemmSpec spec, const Sizes& s) {
  spec.alignment = static_cast<std::uint32_t>(tensor::size_of(spec.in));
  spec.stride_a = spec.transpose_a ? spec.k * spec.m : spec.m * spec.k;
  spec.stride_b = spec.k * spec.n;
  spec.stride_d = spec.m * spec.n;
  spec.row_a = spec.transpose_a ? spec.m : spec.k;
  spec.row_b = spec.transpose_b ? spec.k : spec.n;
  spec.row_d = spec.n;
  Products made;
  for (const bool all : {true, false}) {
    spec.batch = all ? s.together : s.maps % s.together;
    if (spec.batch == 0) continue;
    auto product = make_gemm(queue, spec);
    if (!product) return product.error();
    (all ? made.full : made.rest) = *product;
  }
  return made;
}

std::int64_t maps_at(const Sizes& s, std::int64_t first) { return std::min(s.together, s.maps - first); }

Result<KernelPtr> attention(const Operation& op, Queue& queue) {
  const Sizes s(op.inputs[0].shape, op.inputs[2].shape, op.inputs.size() > 3 ? &op.inputs[3] : nullptr);
  const DType type = op.inputs[0].type;
  auto score =
      products(queue, {.m = s.queries, .n = s.keys, .k = s.depth, .transpose_b = true, .in = type}, s);
  auto value = products(queue, {.m = s.queries, .n = s.width, .k = s.keys, .in = type, .out = type}, s);
  if (!score) return score.error();
  if (!value) return value.error();
  Area area;
  const std::int64_t cells = s.together * s.queries * s.keys;
  const std::size_t scores_at = area.add<float>(cells);
  const std::size_t p_at = area.add(static_cast<std::size_t>(cells) * tensor::size_of(type));
  const std::size_t workspace = area.add(std::max(score->bytes(), value->bytes()));
  return by_real(type, [&]<typename T>(T) -> KernelPtr {
    auto kernel = closure(op, [=, &queue, alpha = static_cast<float>(op.attributes.alpha), score = *score,
                               value = *value](const At& at) {
      auto* const scores = at.scratch<float>(scores_at);
      auto* const p = at.scratch<T>(p_at);
      for (std::int64_t first = 0; first < s.maps; first += s.together) {
        const std::int64_t maps = maps_at(s, first);
        const bool all = maps == s.together;
        score.of(all).run(at.in<T>(0) + first * s.queries * s.depth, at.in<T>(1) + first * s.keys * s.depth,
                          scores, nullptr, at.scratch(workspace));
        each_group(queue, maps * s.queries, s.keys, false,
                   SoftmaxRow<T>{s, first, alpha, scores, at.in<float>(3), p, at.out<float>(1)});
        value.of(all).run(p, at.in<T>(2) + first * s.keys * s.width,
                          at.out<T>(0) + first * s.queries * s.width, nullptr, at.scratch(workspace));
      }
    });
    kernel->needs(area.bytes());
    return kernel;
  });
}

/// Operands: q, k, v, mask?, y, log-sum-exp, dy.
Result<KernelPtr> attention_grad(const Operation& op, Queue& queue) {
  const Sizes s(op.inputs[0].shape, op.inputs[2].shape, &op.inputs[3]);
  const DType type = op.inputs[0].type;
  auto score =
      products(queue, {.m = s.queries, .n = s.keys, .k = s.depth, .transpose_b = true, .in = type}, s);
  auto slope =
      products(queue, {.m = s.queries, .n = s.keys, .k = s.width, .transpose_b = true, .in = type}, s);
  auto dq = products(queue, {.m = s.queries, .n = s.depth, .k = s.keys, .in = type, .out = type}, s);
  auto dk = products(
      queue, {.m = s.keys, .n = s.depth, .k = s.queries, .transpose_a = true, .in = type, .out = type}, s);
  auto dv = products(
      queue, {.m = s.keys, .n = s.width, .k = s.queries, .transpose_a = true, .in = type, .out = type}, s);
  for (const auto* made : {&score, &slope, &dq, &dk, &dv})
    if (!*made) return made->error();
  Area area;
  const std::int64_t cells = s.together * s.queries * s.keys;
  const std::size_t cell_bytes = static_cast<std::size_t>(cells) * tensor::size_of(type);
  const std::size_t scores_at = area.add<float>(cells), dp_at = area.add<float>(cells);
  const std::size_t p_at = area.add(cell_bytes), ds_at = area.add(cell_bytes);
  const std::size_t workspace =
      area.add(std::max({score->bytes(), slope->bytes(), dq->bytes(), dk->bytes(), dv->bytes()}));
  return by_real(type, [&]<typename T>(T) -> KernelPtr {
    auto kernel = closure(op, [=, &queue, alpha = static_cast<float>(op.attributes.alpha), score = *score,
                               slope = *slope, dq = *dq, dk = *dk, dv = *dv](const At& at) {
      auto *const scores = at.scratch<float>(scores_at), *const dp = at.scratch<float>(dp_at);
      auto *const p = at.scratch<T>(p_at), *const ds = at.scratch<T>(ds_at);
      void* const area_of_products = at.scratch(workspace);
      for (std::int64_t first = 0; first < s.maps; first += s.together) {
        const std::int64_t maps = maps_at(s, first);
        const bool all = maps == s.together;
        const T *const q = at.in<T>(0) + first * s.queries * s.depth,
                       *const k = at.in<T>(1) + first * s.keys * s.depth,
                       *const v = at.in<T>(2) + first * s.keys * s.width,
                       *const dy = at.in<T>(6) + first * s.queries * s.width;
        score.of(all).run(q, k, scores, nullptr, area_of_products);
        slope.of(all).run(dy, v, dp, nullptr, area_of_products);
        each_group(queue, maps * s.queries, s.keys, false,
                   GradRow<T>{s, first, alpha, scores, at.in<float>(3), at.in<float>(5), dp, at.in<T>(4),
                              at.in<T>(6), p, ds});
        dq.of(all).run(ds, k, at.out<T>(0) + first * s.queries * s.depth, nullptr, area_of_products);
        dk.of(all).run(ds, q, at.out<T>(1) + first * s.keys * s.depth, nullptr, area_of_products);
        dv.of(all).run(p, dy, at.out<T>(2) + first * s.keys * s.width, nullptr, area_of_products);
      }
    });
    kernel->needs(area.bytes());
    return kernel;
  });
}

}  // namespace

Result<KernelPtr> attention_kernel(const Operation& op, Queue& queue) {
  if (op.kind != Kind::attention && op.kind != Kind::attention_grad) return KernelPtr();
  if (op.inputs[2].shape[2] == 0 || op.inputs[0].shape.elements() == 0) return KernelPtr();
  if (present(op.inputs, 3) && op.inputs[3].type != DType::f32) return KernelPtr();
  return op.kind == Kind::attention ? attention(op, queue) : attention_grad(op, queue);
}

}  // namespace trainyard::ops::cuda
