#include <algorithm>
#include <cmath>

#include "common/ops/attention_mask.hpp"
#include "common/ops/reference/reference.hpp"

// scores = alpha q k^T + mask, p = softmax of each row, y = p v (Vaswani and others, Attention Is All You
// Need, 2017, equation 1). A row whose scores are all minus infinity attends to nothing: y and p are 0.
// Gradient: ds = p (dp - sum of p dp), where the sum is that of y dy (Dao and others, 2022, section 3.1).
namespace trainyard::ops::reference {
namespace {

struct Sizes {
  Sizes(const Shape& q, const Shape& v, const Operand* mask_operand)
      : maps(q[0] * q[1]), heads(q[1]), queries(q[2]), keys(v[2]), depth(q[3]), width(v[3]) {
    if (mask_operand == nullptr || mask_operand->layout == nullptr) return;
    strides = mask_steps(mask_operand->shape, {q[0], heads, queries, keys});
    masked = true;
  }
  std::int64_t mask_at(std::int64_t map, std::int64_t i, std::int64_t j) const {
    return map / heads * strides[0] + map % heads * strides[1] + i * strides[2] + j * strides[3];
  }
  std::int64_t maps, heads, queries, keys, depth, width;
  std::array<std::int64_t, 4> strides{};  // of the mask; 0 where it is stretched
  bool masked = false;
};

template <typename Real>
double dot(const Real* a, const Real* b, std::int64_t count) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += double(a[i]) * b[i];
  return sum;
}

/// Scores of query `i` of map `map`.
template <typename Real>
std::vector<double> scores(const Sizes& s, double alpha, const Operands& at, std::int64_t map,
                           std::int64_t i) {
  std::vector<double> row(static_cast<std::size_t>(s.keys));
  for (std::int64_t j = 0; j < s.keys; ++j) {
    row[j] = alpha * dot(at.in<Real>(0) + (map * s.queries + i) * s.depth,
                         at.in<Real>(1) + (map * s.keys + j) * s.depth, s.depth);
    if (s.masked) row[j] += at.in<Real>(3)[s.mask_at(map, i, j)];
  }
  return row;
}

template <typename Real>
std::unique_ptr<Kernel> attention(const Operation& op) {
  const Sizes s(op.inputs[0].shape, op.inputs[2].shape, op.inputs.size() > 3 ? &op.inputs[3] : nullptr);
  const double alpha = op.attributes.alpha;
  return loops<Real>(op, [=](const Operands& at) {
    for (std::int64_t map = 0; map < s.maps; ++map)
      for (std::int64_t i = 0; i < s.queries; ++i) {
        const auto row = scores<Real>(s, alpha, at, map, i);
        const double top = row.empty() ? -INFINITY : *std::max_element(row.begin(), row.end());
        double sum = 0;
        for (const double score : row) sum += top == -INFINITY ? 0 : std::exp(score - top);
        at.out<Real>(1)[map * s.queries + i] = static_cast<Real>(top + std::log(sum));
        for (std::int64_t e = 0; e < s.width; ++e) {
          double y = 0;
          for (std::int64_t j = 0; j < s.keys && sum > 0; ++j)
            y += std::exp(row[j] - top) / sum * at.in<Real>(2)[(map * s.keys + j) * s.width + e];
          at.out<Real>(0)[(map * s.queries + i) * s.width + e] = static_cast<Real>(y);
        }
      }
  });
}

/// Operands: q, k, v, mask?, y, log-sum-exp, dy.
template <typename Real>
std::unique_ptr<Kernel> attention_grad(const Operation& op) {
  const Sizes s(op.inputs[0].shape, op.inputs[2].shape, &op.inputs[3]);
  const double alpha = op.attributes.alpha;
  return loops<Real>(op, [=](const Operands& at) {
    std::vector<double> dq(static_cast<std::size_t>(s.maps * s.queries * s.depth));
    std::vector<double> dk(static_cast<std::size_t>(s.maps * s.keys * s.depth));
    std::vector<double> dv(static_cast<std::size_t>(s.maps * s.keys * s.width));
    for (std::int64_t map = 0; map < s.maps; ++map)
      for (std::int64_t i = 0; i < s.queries; ++i) {
        const std::int64_t query = map * s.queries + i;
        const Real* dy = at.in<Real>(6) + query * s.width;
        const double whole = at.in<Real>(5)[query];
        const double mean = dot(at.in<Real>(4) + query * s.width, dy, s.width);
        const auto row = scores<Real>(s, alpha, at, map, i);
        for (std::int64_t j = 0; j < s.keys; ++j) {
          const std::int64_t key = map * s.keys + j;
          const double p = whole == -INFINITY ? 0 : std::exp(row[j] - whole);
          const double ds = p * (dot(at.in<Real>(2) + key * s.width, dy, s.width) - mean);
          for (std::int64_t e = 0; e < s.width; ++e) dv[key * s.width + e] += p * dy[e];
          for (std::int64_t d = 0; d < s.depth; ++d) {
            dq[query * s.depth + d] += alpha * ds * at.in<Real>(1)[key * s.depth + d];
            dk[key * s.depth + d] += alpha * ds * at.in<Real>(0)[query * s.depth + d];
          }
        }
      }
    std::size_t output = 0;
    for (const auto* sums : {&dq, &dk, &dv}) {
      for (std::size_t i = 0; i < sums->size(); ++i) at.out<Real>(output)[i] = static_cast<Real>((*sums)[i]);
      ++output;
    }
  });
}

/// Attention of heads that are cut out of x, and put back together.
template <typename Real>
std::unique_ptr<Kernel> self_attention(const Operation& op) {
  const bool gradient = op.kind == Kind::self_attention_grad;
  const Shape x = op.inputs[0].shape;
  const std::int64_t n = x[0], steps = x[1], heads = op.attributes.groups, depth = x[2] / (3 * heads);
  const Shape part{n, heads, steps, depth}, whole{n, heads, steps};
  const auto operand = [](const Shape& shape) { return Operand{shape, plain_layout<Real>(shape)}; };
  Operation inner{gradient ? Kind::attention_grad : Kind::attention, op.attributes, {}, {part, part, part}};
  for (int i = 0; i < 3; ++i) inner.inputs.push_back(operand(part));
  inner.inputs.push_back(present(op.inputs, 1) ? op.inputs[1] : Operand{});
  if (gradient) {
    for (const Shape& shape : {part, whole, part}) inner.inputs.push_back(operand(shape));
  } else {
    inner.outputs = {part, whole};
  }
  const std::shared_ptr<Kernel> kernel = gradient ? attention_grad<Real>(inner) : attention<Real>(inner);
  // Element (sample, head, step, i) of a part that begins at column `first` of rows of `columns`.
  const auto each = [=](std::int64_t columns, std::int64_t first, const auto& use) {
    for (std::int64_t at = 0; at < part.elements(); ++at) {
      const std::int64_t i = at % depth, step = at / depth % steps, head = at / depth / steps % heads,
                         sample = at / depth / steps / heads;
      use(at, (sample * steps + step) * columns + first + head * depth + i);
    }
  };
  const std::int64_t third = heads * depth;
  return loops<Real>(op, [=](const Operands& at) {
    const auto size = static_cast<std::size_t>(part.elements());
    std::vector<Real> in[5], out[3];
    for (auto& values : in) values.resize(size);
    for (auto& values : out) values.resize(size);
    for (std::int64_t k = 0; k < 3; ++k)
      each(3 * third, k * third,
           [&](std::int64_t to, std::int64_t from) { in[k][to] = at.in<Real>(0)[from]; });
    const auto pointer = [](const auto* data) { return const_cast<void*>(static_cast<const void*>(data)); };
    // A mask that is not there need not have a place among the operands.
    const Real* const mask = present(op.inputs, 1) ? at.in<Real>(1) : nullptr;
    std::vector<void*> inputs{in[0].data(), in[1].data(), in[2].data(), pointer(mask)};
    if (!gradient) {
      void* const results[] = {out[0].data(), at.out<Real>(1)};
      if (!present(op.inputs, 1)) inputs.pop_back();
      kernel->run(inputs, results, nullptr);
      each(third, 0, [&](std::int64_t from, std::int64_t to) { at.out<Real>(0)[to] = out[0][from]; });
      return;
    }
    each(third, 0, [&](std::int64_t to, std::int64_t from) {
      in[3][to] = at.in<Real>(2)[from];
      in[4][to] = at.in<Real>(4)[from];
    });
    inputs.insert(inputs.end(), {in[3].data(), pointer(at.in<Real>(3)), in[4].data()});
    void* const results[] = {out[0].data(), out[1].data(), out[2].data()};
    kernel->run(inputs, results, nullptr);
    for (std::int64_t k = 0; k < 3; ++k)
      each(3 * third, k * third,
           [&](std::int64_t from, std::int64_t to) { at.out<Real>(0)[to] = out[k][from]; });
  });
}

}  // namespace

template <typename Real>
std::unique_ptr<Kernel> attention_kernel(const Operation& op) {
  if (op.kind == Kind::self_attention || op.kind == Kind::self_attention_grad)
    return self_attention<Real>(op);
  if (op.kind == Kind::attention) return attention<Real>(op);
  return attention_grad<Real>(op);
}

template std::unique_ptr<Kernel> attention_kernel<float>(const Operation&);
template std::unique_ptr<Kernel> attention_kernel<double>(const Operation&);

}  // namespace trainyard::ops::reference
