#include <algorithm>

#include "common/ops/reference/reference.hpp"

// Bags of embeddings here; recurrent cells, attention and random fields in files of their own.
namespace trainyard::ops::reference {

template <typename Real>
std::unique_ptr<Kernel> recurrent_kernel(const Operation&);
template <typename Real>
std::unique_ptr<Kernel> attention_kernel(const Operation&);
template <typename Real>
std::unique_ptr<Kernel> crf_kernel(const Operation&);

namespace {

/// Calls visit(bag, row of the table, weight) for each id that counts, in the order of the ids.
template <typename Visit>
void each_row(const std::int32_t* ids, std::int64_t count, const std::int32_t* offsets, std::int64_t bags,
              std::int64_t rows, bool mean, const Visit& visit) {
  for (std::int64_t bag = 0; bag < bags; ++bag) {
    const std::int64_t first = offsets[bag], last = bag + 1 < bags ? offsets[bag + 1] : count;
    check(first >= 0 && first <= last && last <= count, "the offsets of bags ascend within the ids");
    const auto members =
        std::count_if(ids + first, ids + last, [](const std::int32_t id) { return id >= 0; });
    for (std::int64_t i = first; i < last; ++i) {
      if (ids[i] < 0) continue;
      check(ids[i] < rows, "an id is below the number of rows");
      visit(bag, ids[i], mean ? 1.0 / static_cast<double>(members) : 1.0);
    }
  }
}

template <typename Real>
std::unique_ptr<Kernel> embedding_bag(const Operation& op) {
  const bool gradient = op.kind == Kind::embedding_bag_grad;
  const Shape table = gradient ? op.outputs[0].shape : op.inputs[0].shape;
  const std::int64_t count = op.inputs[1].shape.elements(), bags = op.inputs[2].shape.elements();
  const std::int64_t rows = table[0], width = table[1], results = op.outputs[0].shape.elements();
  const bool mean = op.attributes.reduction == Reduction::mean;
  return loops<Real>(op, [=](const Operands& at) {
    std::vector<double> sums(static_cast<std::size_t>(results));
    each_row(at.in<std::int32_t>(1), count, at.in<std::int32_t>(2), bags, rows, mean,
             [&](std::int64_t bag, std::int64_t row, double weight) {
               const std::int64_t from = gradient ? bag : row, to = gradient ? row : bag;
               for (std::int64_t i = 0; i < width; ++i)
                 sums[to * width + i] += weight * at.in<Real>(0)[from * width + i];
             });
    for (std::int64_t i = 0; i < results; ++i) at.out<Real>(0)[i] = static_cast<Real>(sums[i]);
  });
}

}  // namespace

template <typename Real>
std::unique_ptr<Kernel> sequence_kernel(const Operation& op) {
  switch (op.kind) {
    case Kind::embedding_bag:
    case Kind::embedding_bag_grad:
      return embedding_bag<Real>(op);
    case Kind::recurrent:
    case Kind::recurrent_grad:
      return recurrent_kernel<Real>(op);
    case Kind::attention:
    case Kind::attention_grad:
    case Kind::self_attention:
    case Kind::self_attention_grad:
      return attention_kernel<Real>(op);
    case Kind::crf_loss:
    case Kind::viterbi:
      return crf_kernel<Real>(op);
    default:
      return nullptr;
  }
}

template std::unique_ptr<Kernel> sequence_kernel<float>(const Operation&);
template std::unique_ptr<Kernel> sequence_kernel<double>(const Operation&);

}  // namespace trainyard::ops::reference
