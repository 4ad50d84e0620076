#include <algorithm>
#include <cmath>

#include "common/ops/reference/reference.hpp"

// The score of a path of tags is the sum of its emissions and of the transitions between its tags, with begin
// (K) in front and end (K+1) behind. The loss is the logarithm of the sum of exp(score) over all paths, less
// the score of the tags (Lample and others, Neural Architectures for Named Entity Recognition, 2016, section
// 2.2); its gradient is what the model expects less what is there (Sutton, McCallum, 2012, section 4.1.1).
namespace trainyard::ops::reference {
namespace {

using Table = std::vector<double>;  // [length, K]

/// What a run works in, kept from run to run.
struct Work {
  Table alpha, beta;
  std::vector<double> terms, dtransitions;
  std::vector<std::int32_t> from;
};

double log_sum_exp(const std::vector<double>& values) {
  const double top = *std::max_element(values.begin(), values.end());
  if (top == -INFINITY) return top;
  double sum = 0;
  for (const double value : values) sum += std::exp(value - top);
  return top + std::log(sum);
}

/// One sample: its emissions, and the transitions of the model.
template <typename Real>
struct Chain {
  double emission(std::int64_t t, std::int64_t k) const { return emissions[t * tags + k]; }
  double transition(std::int64_t from, std::int64_t to) const { return transitions[from * (tags + 2) + to]; }
  std::int64_t begin() const { return tags; }
  std::int64_t end() const { return tags + 1; }
  std::size_t cells() const { return static_cast<std::size_t>(length * tags); }

  const Real *emissions, *transitions;
  std::int64_t length, tags;
};

/// Of the paths up to tag k at time t: the logarithm of the sum of exp(score).
template <typename Real>
void alphas(const Chain<Real>& chain, Table& alpha, std::vector<double>& terms) {
  alpha.assign(chain.cells(), 0);
  terms.assign(static_cast<std::size_t>(chain.tags), 0);
  for (std::int64_t t = 0; t < chain.length; ++t)
    for (std::int64_t k = 0; k < chain.tags; ++k) {
      for (std::int64_t i = 0; i < chain.tags; ++i)
        terms[i] = t == 0 ? chain.transition(chain.begin(), k)
                          : alpha[(t - 1) * chain.tags + i] + chain.transition(i, k);
      alpha[t * chain.tags + k] = (t == 0 ? terms[0] : log_sum_exp(terms)) + chain.emission(t, k);
    }
}

/// Of the paths from tag k at time t on, without its own emission.
template <typename Real>
void betas(const Chain<Real>& chain, Table& beta, std::vector<double>& terms) {
  beta.assign(chain.cells(), 0);
  terms.assign(static_cast<std::size_t>(chain.tags), 0);
  for (std::int64_t t = chain.length; t-- > 0;)
    for (std::int64_t k = 0; k < chain.tags; ++k) {
      if (t + 1 == chain.length) {
        beta[t * chain.tags + k] = chain.transition(k, chain.end());
        continue;
      }
      for (std::int64_t j = 0; j < chain.tags; ++j)
        terms[j] = chain.transition(k, j) + chain.emission(t + 1, j) + beta[(t + 1) * chain.tags + j];
      beta[t * chain.tags + k] = log_sum_exp(terms);
    }
}

template <typename Real>
double score(const Chain<Real>& chain, const std::int32_t* tags) {
  double sum =
      chain.transition(chain.begin(), tags[0]) + chain.transition(tags[chain.length - 1], chain.end());
  for (std::int64_t t = 0; t < chain.length; ++t) {
    sum += chain.emission(t, tags[t]);
    if (t > 0) sum += chain.transition(tags[t - 1], tags[t]);
  }
  return sum;
}

/// Adds the sample's gradients; true when each tag is the most probable one of its time.
template <typename Real>
bool add_gradients(const Chain<Real>& chain, const std::int32_t* tags, const Table& alpha, const Table& beta,
                   double whole, Real* demissions, std::vector<double>& dtransitions) {
  const auto d = [&](std::int64_t from, std::int64_t to) -> double& {
    return dtransitions[static_cast<std::size_t>(from * (chain.tags + 2) + to)];
  };
  bool all = true;
  for (std::int64_t t = 0; t < chain.length; ++t) {
    std::int64_t best = 0;
    const auto place = [&](std::int64_t k) { return static_cast<std::size_t>(t * chain.tags + k); };
    for (std::int64_t k = 0; k < chain.tags; ++k) {
      const double p = std::exp(alpha[place(k)] + beta[place(k)] - whole), hit = k == tags[t] ? 1 : 0;
      if (alpha[place(k)] + beta[place(k)] > alpha[place(best)] + beta[place(best)]) best = k;
      demissions[place(k)] = static_cast<Real>(p - hit);
      if (t == 0) d(chain.begin(), k) += p - hit;
      if (t + 1 == chain.length) d(k, chain.end()) += p - hit;
      for (std::int64_t j = 0; j < chain.tags && t + 1 < chain.length; ++j) {
        const std::size_t next = place(j) + static_cast<std::size_t>(chain.tags);
        d(k, j) += std::exp(alpha[place(k)] + chain.transition(k, j) + chain.emission(t + 1, j) + beta[next] -
                            whole) -
                   (hit != 0 && j == tags[t + 1] ? 1 : 0);
      }
    }
    all = all && best == tags[t];
  }
  return all;
}

std::int64_t length_of(const Operands& at, std::size_t operands, std::size_t operand, std::int64_t n,
                       std::int64_t times) {
  if (operands <= operand || at.in<std::int32_t>(operand) == nullptr) return times;
  const std::int64_t length = at.in<std::int32_t>(operand)[n];
  check(length >= 0 && length <= times, "the length of a sequence is within its time steps");
  return length;
}

template <typename Real>
std::unique_ptr<Kernel> crf_loss(const Operation& op) {
  const Shape x = op.inputs[0].shape;
  const std::int64_t times = x[1], tags = x[2];
  const std::size_t operands = op.inputs.size();
  std::vector<LayoutPtr> outputs{plain_layout<Real>(x), plain_layout<Real>(op.inputs[1].shape),
                                 bytes_layout(sizeof(Outcome))};
  return std::make_unique<LoopKernel>(std::move(outputs), [=, work = Work{}](const Operands& at) mutable {
    Outcome outcome;
    std::fill_n(at.out<Real>(0), x.elements(), Real{0});
    auto& [alpha, beta, ends, dtransitions, from] = work;
    dtransitions.assign(static_cast<std::size_t>((tags + 2) * (tags + 2)), 0);
    for (std::int64_t n = 0; n < x[0]; ++n) {
      const std::int64_t length = length_of(at, operands, 3, n, times);
      if (length == 0) continue;
      const std::int32_t* const path = at.in<std::int32_t>(2) + n * times;
      for (std::int64_t t = 0; t < length; ++t)
        check(path[t] >= 0 && path[t] < tags, "a tag is below the number of tags");
      const Chain<Real> chain{at.in<Real>(0) + n * times * tags, at.in<Real>(1), length, tags};
      alphas(chain, alpha, ends);
      betas(chain, beta, ends);
      for (std::int64_t k = 0; k < tags; ++k)
        ends[k] = alpha[(length - 1) * tags + k] + chain.transition(k, chain.end());
      const double whole = log_sum_exp(ends);
      outcome.loss_sum += whole - score(chain, path);
      outcome.weight_sum += 1;
      outcome.correct +=
          add_gradients(chain, path, alpha, beta, whole, at.out<Real>(0) + n * times * tags, dtransitions)
              ? 1
              : 0;
    }
    for (std::size_t i = 0; i < dtransitions.size(); ++i)
      at.out<Real>(1)[i] = static_cast<Real>(dtransitions[i]);
    *at.out<Outcome>(2) = outcome;
  });
}

/// Viterbi, 1967: as alphas, with the largest instead of the sum; the first of equals.
template <typename Real>
void best_path(const Chain<Real>& chain, std::int32_t* path, Work& work) {
  auto& [best, beta, terms, dtransitions, from] = work;
  best.assign(chain.cells(), 0);
  from.assign(chain.cells(), 0);
  for (std::int64_t t = 0; t < chain.length; ++t)
    for (std::int64_t k = 0; k < chain.tags; ++k) {
      double top = t == 0 ? chain.transition(chain.begin(), k) : -INFINITY;
      for (std::int64_t i = 0; i < chain.tags && t > 0; ++i) {
        const double value = best[(t - 1) * chain.tags + i] + chain.transition(i, k);
        if (value <= top) continue;
        top = value;
        from[t * chain.tags + k] = static_cast<std::int32_t>(i);
      }
      best[t * chain.tags + k] = top + chain.emission(t, k);
    }
  std::int32_t last = 0;
  double top = -INFINITY;
  for (std::int64_t k = 0; k < chain.tags; ++k) {
    const double value = best[(chain.length - 1) * chain.tags + k] + chain.transition(k, chain.end());
    if (value <= top) continue;
    top = value;
    last = static_cast<std::int32_t>(k);
  }
  for (std::int64_t t = chain.length; t-- > 0;) {
    path[t] = last;
    last = from[t * chain.tags + last];
  }
}

template <typename Real>
std::unique_ptr<Kernel> viterbi(const Operation& op) {
  const Shape x = op.inputs[0].shape;
  const std::int64_t times = x[1], tags = x[2];
  const std::size_t operands = op.inputs.size();
  return loops<Real>(op, [=, work = Work{}](const Operands& at) mutable {
    std::fill_n(at.out<std::int32_t>(0), x[0] * times, 0);
    for (std::int64_t n = 0; n < x[0]; ++n) {
      const Chain<Real> chain{at.in<Real>(0) + n * times * tags, at.in<Real>(1),
                              length_of(at, operands, 2, n, times), tags};
      if (chain.length > 0) best_path(chain, at.out<std::int32_t>(0) + n * times, work);
    }
  });
}

}  // namespace

template <typename Real>
std::unique_ptr<Kernel> crf_kernel(const Operation& op) {
  if (op.kind == Kind::crf_loss) return crf_loss<Real>(op);
  return viterbi<Real>(op);
}

template std::unique_ptr<Kernel> crf_kernel<float>(const Operation&);
template std::unique_ptr<Kernel> crf_kernel<double>(const Operation&);

}  // namespace trainyard::ops::reference
