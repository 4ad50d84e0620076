#include <map>

#include "common/ops/reference/reference.hpp"

// Gradients of tables as the rows that have one: an ordered map from the id to the sum.
namespace trainyard::ops::reference {
namespace {

using Sums = std::map<std::int32_t, std::vector<double>>;

/// The gradient of a row of the result goes to a row of the table.
template <typename Real>
void add(Sums& sums, std::int64_t id, const Real* dy, std::int64_t width, double weight) {
  std::vector<double>& sum = sums[static_cast<std::int32_t>(id)];
  sum.resize(static_cast<std::size_t>(width));
  for (std::int64_t i = 0; i < width; ++i)
    sum[static_cast<std::size_t>(i)] += weight * static_cast<double>(dy[i]);
}

/// Writes what a kernel of this file gives.
template <typename Real>
void write(const Sums& sums, const Operands& at, std::int64_t length, std::int64_t width) {
  std::fill_n(at.out<std::int32_t>(0), length, -1);
  std::fill_n(at.out<Real>(1), length * width, Real{0});
  std::int64_t count = 0;
  for (const auto& [id, sum] : sums) {
    at.out<std::int32_t>(0)[count] = id;
    for (std::int64_t i = 0; i < width; ++i)
      at.out<Real>(1)[count * width + i] = static_cast<Real>(sum[static_cast<std::size_t>(i)]);
    ++count;
  }
  *at.out<std::int32_t>(2) = static_cast<std::int32_t>(count);
}

template <typename Real>
std::unique_ptr<Kernel> of_bags(const Operation& op, std::int64_t length, std::int64_t width) {
  const std::int64_t bags = op.inputs[2].shape.elements(), table = op.attributes.size;
  const bool mean = op.attributes.reduction == Reduction::mean;
  return loops<Real>(op, [=](const Operands& at) {
    const auto *ids = at.in<std::int32_t>(1), *offsets = at.in<std::int32_t>(2);
    Sums sums;
    for (std::int64_t bag = 0; bag < bags; ++bag) {
      const std::int64_t first = offsets[bag], last = bag + 1 < bags ? offsets[bag + 1] : length;
      check(first >= 0 && first <= last && last <= length, "the offsets of bags ascend within the ids");
      double members = 0;
      for (std::int64_t i = first; i < last; ++i) members += ids[i] >= 0 ? 1 : 0;
      for (std::int64_t i = first; i < last; ++i) {
        if (ids[i] < 0) continue;
        check(ids[i] < table, "an id is below the number of rows");
        add(sums, ids[i], at.in<Real>(0) + bag * width, width, mean ? 1 / members : 1);
      }
    }
    write<Real>(sums, at, length, width);
  });
}

template <typename Real>
std::unique_ptr<Kernel> of_gather(const Operation& op, std::int64_t length, std::int64_t width) {
  const std::int64_t table = op.attributes.size;
  const bool narrow = op.inputs[1].type == DType::i32;
  return loops<Real>(op, [=](const Operands& at) {
    Sums sums;
    for (std::int64_t i = 0; i < length; ++i) {
      const std::int64_t id = narrow ? at.in<std::int32_t>(1)[i] : at.in<std::int64_t>(1)[i];
      check(id >= -table && id < table, "an index points into the tensor");
      add(sums, id < 0 ? id + table : id, at.in<Real>(0) + i * width, width, 1);
    }
    write<Real>(sums, at, length, width);
  });
}

template <typename Real>
std::unique_ptr<Kernel> of_others(const Operation& op, std::int64_t length, std::int64_t width) {
  const std::size_t parts = op.inputs.size() / 3;
  return loops<Real>(op, [=](const Operands& at) {
    Sums sums;
    for (std::size_t part = 0; part < parts; ++part)
      for (std::int64_t i = 0; i < *at.in<std::int32_t>(3 * part + 2); ++i)
        add(sums, at.in<std::int32_t>(3 * part)[i], at.in<Real>(3 * part + 1) + i * width, width, 1);
    write<Real>(sums, at, length, width);
  });
}

}  // namespace

template <typename Real>
std::unique_ptr<Kernel> rows_kernel(const Operation& op) {
  const bool rows = op.kind == Kind::embedding_bag_grad_rows || op.kind == Kind::gather_grad_rows ||
                    op.kind == Kind::merge_rows;
  if (!rows) return nullptr;
  const std::int64_t length = op.outputs[0].shape.elements(), width = op.outputs[1].shape.volume(1);
  if (op.kind == Kind::embedding_bag_grad_rows) return of_bags<Real>(op, length, width);
  if (op.kind == Kind::gather_grad_rows) return of_gather<Real>(op, length, width);
  return of_others<Real>(op, length, width);
}

template std::unique_ptr<Kernel> rows_kernel<float>(const Operation&);
template std::unique_ptr<Kernel> rows_kernel<double>(const Operation&);

}  // namespace trainyard::ops::reference
