// Random fields: one thread a sequence, in double precision. Formulas and their sources: reference/crf.cpp.
#include <cmath>

#include "common/ops/cuda/kernel.hpp"
#include "common/ops/cuda/numbers.hpp"

namespace trainyard::ops::cuda {
namespace {

/// log(sum(exp(term(i)))) of `count` terms.
template <typename Term>
__device__ double log_sum_exp(std::int64_t count, const Term& term) {
  double top = -INFINITY, sum = 0;
  for (std::int64_t i = 0; i < count; ++i) top = term(i) > top ? term(i) : top;
  if (top == -INFINITY) return top;
  for (std::int64_t i = 0; i < count; ++i) sum += std::exp(term(i) - top);
  return top + std::log(sum);
}

struct Field {
  std::int64_t times, tags;
  const float *emissions, *transitions;
  const std::int32_t* lengths;
  __device__ double emission(std::int64_t n, std::int64_t t, std::int64_t k) const {
    return emissions[(n * times + t) * tags + k];
  }
  __device__ double transition(std::int64_t from, std::int64_t to) const {
    return transitions[from * (tags + 2) + to];
  }
  __device__ std::int64_t length(std::int64_t n) const {
    const std::int64_t length = lengths != nullptr ? lengths[n] : times;
    return length < 0 ? 0 : length < times ? length : times;
  }
};

struct CrfEach {
  Field f;
  const std::int32_t* paths;
  double *alphas, *betas;  // [N, T, K]
  float* demissions;
  double* dtransitions;  // [N, K + 2, K + 2], zero
  Outcome* shares;

  __device__ void operator()(std::int64_t n) const {
    const std::int64_t tags = f.tags, length = f.length(n), wide = tags + 2;
    double *const alpha = alphas + n * f.times * tags, *const beta = betas + n * f.times * tags;
    float* const demission = demissions + n * f.times * tags;
    double* const dtransition = dtransitions + n * wide * wide;
    const std::int32_t* const path = paths + n * f.times;
    shares[n] = {0, 0, 0};
    for (std::int64_t i = 0; i < f.times * tags; ++i) demission[i] = 0;
    if (length == 0) return;
    for (std::int64_t t = 0; t < length; ++t)
      if (path[t] < 0 || path[t] >= tags) {
        shares[n] = {NAN, 1, 0};
        return;
      }
    for (std::int64_t t = 0; t < length; ++t)
      for (std::int64_t k = 0; k < tags; ++k) {
        const double before = t == 0 ? f.transition(tags, k) : log_sum_exp(tags, [&](std::int64_t i) {
          return alpha[(t - 1) * tags + i] + f.transition(i, k);
        });
        alpha[t * tags + k] = before + f.emission(n, t, k);
      }
    for (std::int64_t t = length; t-- > 0;)
      for (std::int64_t k = 0; k < tags; ++k)
        beta[t * tags + k] =
            t + 1 == length ? f.transition(k, tags + 1) : log_sum_exp(tags, [&](std::int64_t j) {
              return f.transition(k, j) + f.emission(n, t + 1, j) + beta[(t + 1) * tags + j];
            });
    const double whole = log_sum_exp(
        tags, [&](std::int64_t k) { return alpha[(length - 1) * tags + k] + f.transition(k, tags + 1); });
    double score = f.transition(tags, path[0]) + f.transition(path[length - 1], tags + 1);
    bool all = true;
    for (std::int64_t t = 0; t < length; ++t) {
      score += f.emission(n, t, path[t]);
      if (t > 0) score += f.transition(path[t - 1], path[t]);
      std::int64_t best = 0;
      for (std::int64_t k = 0; k < tags; ++k) {
        const std::int64_t at = t * tags + k;
        const double p = std::exp(alpha[at] + beta[at] - whole), hit = k == path[t] ? 1 : 0;
        if (alpha[at] + beta[at] > alpha[t * tags + best] + beta[t * tags + best]) best = k;
        demission[at] = static_cast<float>(p - hit);
        if (t == 0) dtransition[tags * wide + k] += p - hit;
        if (t + 1 == length) {
          dtransition[k * wide + tags + 1] += p - hit;
          continue;
        }
        for (std::int64_t j = 0; j < tags; ++j)
          dtransition[k * wide + j] += std::exp(alpha[at] + f.transition(k, j) + f.emission(n, t + 1, j) +
                                                beta[(t + 1) * tags + j] - whole) -
                                       (hit != 0 && j == path[t + 1] ? 1 : 0);
      }
      all = all && best == path[t];
    }
    shares[n] = {whole - score, 1, all ? 1ull : 0ull};
  }
};

struct TransitionSum {
  std::int64_t count, size;
  const double* parts;
  float* sum;
  __device__ void operator()(std::int64_t i) const {
    double all = 0;
    for (std::int64_t n = 0; n < count; ++n) all += parts[n * size + i];
    sum[i] = static_cast<float>(all);
  }
};

struct ShareSum {
  std::int64_t count;
  const Outcome* shares;
  Outcome* outcome;
  __device__ void operator()(std::int64_t) const {
    Outcome sum{0, 0, 0};
    for (std::int64_t n = 0; n < count; ++n) {
      sum.loss_sum += shares[n].loss_sum;
      sum.weight_sum += shares[n].weight_sum;
      sum.correct += shares[n].correct;
    }
    *outcome = sum;
  }
};

KernelPtr crf_loss(const Operation& op, Queue& queue) {
  const Shape& x = op.inputs[0].shape;
  const std::int64_t count = x[0], times = x[1], tags = x[2], size = (tags + 2) * (tags + 2);
  const std::vector<LayoutPtr> outputs{
      plain_layout(x, DType::f32), plain_layout(op.inputs[1].shape, DType::f32), raw_layout(sizeof(Outcome))};
  Area area;
  const std::size_t alphas = area.add<double>(x.elements()), betas = area.add<double>(x.elements());
  const std::size_t parts = area.add<double>(count * size), shares = area.add<Outcome>(count);
  auto kernel = std::make_unique<Closure>(outputs, [=, &queue](const At& at) {
    const Field field{times, tags, at.in<float>(0), at.in<float>(1), at.in<std::int32_t>(3)};
    zero(queue, at.scratch(parts), static_cast<std::size_t>(count * size) * sizeof(double));
    each(queue, count,
         CrfEach{field, at.in<std::int32_t>(2), at.scratch<double>(alphas), at.scratch<double>(betas),
                 at.out<float>(0), at.scratch<double>(parts), at.scratch<Outcome>(shares)});
    each(queue, size, TransitionSum{count, size, at.scratch<double>(parts), at.out<float>(1)});
    each(queue, 1, ShareSum{count, at.scratch<Outcome>(shares), at.out<Outcome>(2)});
  });
  kernel->needs(area.bytes());
  return kernel;
}

/// Viterbi, 1967: as alphas, with the largest instead of the sum; the first of equals.
struct ViterbiEach {
  Field f;
  double* bests;        // [N, T, K]
  std::int32_t* froms;  // [N, T, K]
  std::int32_t* paths;
  __device__ void operator()(std::int64_t n) const {
    const std::int64_t tags = f.tags, length = f.length(n);
    double* const best = bests + n * f.times * tags;
    std::int32_t* const from = froms + n * f.times * tags;
    for (std::int64_t t = 0; t < f.times; ++t) paths[n * f.times + t] = 0;
    if (length == 0) return;
    for (std::int64_t t = 0; t < length; ++t)
      for (std::int64_t k = 0; k < tags; ++k) {
        double top = t == 0 ? f.transition(tags, k) : -INFINITY;
        from[t * tags + k] = 0;
        for (std::int64_t i = 0; i < tags && t > 0; ++i) {
          const double value = best[(t - 1) * tags + i] + f.transition(i, k);
          if (value <= top) continue;
          top = value;
          from[t * tags + k] = static_cast<std::int32_t>(i);
        }
        best[t * tags + k] = top + f.emission(n, t, k);
      }
    std::int32_t last = 0;
    double top = -INFINITY;
    for (std::int64_t k = 0; k < tags; ++k) {
      const double value = best[(length - 1) * tags + k] + f.transition(k, tags + 1);
      if (value <= top) continue;
      top = value;
      last = static_cast<std::int32_t>(k);
    }
    for (std::int64_t t = length; t-- > 0;) {
      paths[n * f.times + t] = last;
      last = from[t * tags + last];
    }
  }
};

KernelPtr viterbi(const Operation& op, Queue& queue) {
  const Shape& x = op.inputs[0].shape;
  const std::int64_t count = x[0], times = x[1], tags = x[2];
  Area area;
  const std::size_t bests = area.add<double>(x.elements()), froms = area.add<std::int32_t>(x.elements());
  auto kernel = closure(op, [=, &queue](const At& at) {
    const Field field{times, tags, at.in<float>(0), at.in<float>(1), at.in<std::int32_t>(2)};
    each(queue, count,
         ViterbiEach{field, at.scratch<double>(bests), at.scratch<std::int32_t>(froms),
                     at.out<std::int32_t>(0)});
  });
  kernel->needs(area.bytes());
  return kernel;
}

}  // namespace

KernelPtr crf_kernel(const Operation& op, Queue& queue) {
  if (op.kind != Kind::crf_loss && op.kind != Kind::viterbi) return nullptr;
  if (op.inputs[0].type != DType::f32 || op.inputs[1].type != DType::f32) return nullptr;
  return op.kind == Kind::crf_loss ? crf_loss(op, queue) : viterbi(op, queue);
}

}  // namespace trainyard::ops::cuda
