// Bags of embeddings, and gradients of tables as the rows that have one. Ids are sorted by radix, so that
// equal ones stand together in their order; each row is then one sum by one thread, whatever the number of
// threads.
#include <algorithm>
#include <array>
#include <bit>
#include <numeric>

#include "common/ops/cpu/arrangement.hpp"
#include "common/ops/cpu/lanes/table.hpp"
#include "common/ops/cpu/parallel.hpp"

namespace trainyard::ops::cpu {
namespace {

constexpr int kDigitBits = 11;
constexpr std::size_t kDigits = std::size_t{1} << kDigitBits;

/// The bags of a run: where each begins, checked.
struct Bags {
  Bags(const void* id_list, const void* offset_list, std::int64_t id_count, std::int64_t bag_count)
      : ids(static_cast<const std::int32_t*>(id_list)),
        offsets(static_cast<const std::int32_t*>(offset_list)),
        length(id_count),
        bags(bag_count) {
    for (std::int64_t bag = 0; bag < bags; ++bag)
      check(offsets[bag] >= 0 && offsets[bag] <= end(bag) && end(bag) <= length,
            "the offsets of bags ascend within the ids");
  }
  std::int64_t end(std::int64_t bag) const { return bag + 1 < bags ? offsets[bag + 1] : length; }
  /// What the sum is divided by for the mean; 1 of an empty bag.
  float members(std::int64_t bag) const {
    const auto count =
        std::count_if(ids + offsets[bag], ids + end(bag), [](std::int32_t id) { return id >= 0; });
    return static_cast<float>(std::max<std::int64_t>(1, count));
  }
  const std::int32_t *ids, *offsets;
  std::int64_t length, bags;
};

void check_ids(const std::int32_t* ids, std::int64_t count, std::int64_t rows) {
  std::int32_t largest = -1;
  for (std::int64_t i = 0; i < count; ++i) largest = std::max(largest, ids[i]);
  check(largest < rows, "an id is below the number of rows");
}

void divide(float* row, std::int64_t width, float by) {
#pragma omp simd
  for (std::int64_t i = 0; i < width; ++i) row[i] /= by;
}

class EmbeddingBag final : public Kernel {
 public:
  explicit EmbeddingBag(const Operation& op)
      : rows_(op.inputs[0].shape[0]),
        width_(op.inputs[0].shape[1]),
        length_(op.inputs[1].shape.elements()),
        bags_(op.inputs[2].shape.elements()),
        mean_(op.attributes.reduction == Reduction::mean) {
    outputs_ = {plain_layout(op.outputs[0].shape, DType::f32)};
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const auto* const table = static_cast<const float*>(inputs[0]);
    auto* const y = static_cast<float*>(outputs[0]);
    const Bags bags(inputs[1], inputs[2], length_, bags_);
    check_ids(bags.ids, length_, rows_);
    in_pieces(bags_, 1, length_ * width_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t bag = begin; bag < end; ++bag) {
        const std::int64_t first = bags.offsets[bag];
        lanes::table().sum_rows(table, bags.ids + first, bags.end(bag) - first, width_, y + bag * width_);
        if (mean_) divide(y + bag * width_, width_, bags.members(bag));
      }
    });
  }

 private:
  const std::int64_t rows_, width_, length_, bags_;
  const bool mean_;
};

/// Pairs of an id and the row of dy that goes to it, sorted by id; pairs of equal ids keep their order.
class Sorter {
 public:
  Sorter(std::int64_t length, std::int64_t rows)
      : length_(length), bits_(static_cast<int>(std::bit_width(static_cast<std::uint64_t>(rows)))) {}
  std::size_t bytes() const { return static_cast<std::size_t>(length_) * 4 * sizeof(std::int32_t); }
  void use(void* scratch) {
    auto* at = static_cast<std::int32_t*>(scratch);
    for (std::int32_t** list : {&ids, &from, &other_ids_, &other_from_}) {
      *list = at;
      at += length_;
    }
    count = 0;
  }
  void push(std::int32_t id, std::int32_t row) {
    ids[count] = id;
    from[count++] = row;
  }
  void sort() {
    std::array<std::int64_t, kDigits> starts;
    for (int shift = 0; shift < bits_; shift += kDigitBits) {
      starts.fill(0);
      const auto digit = [&](std::int64_t i) {
        return static_cast<std::size_t>(ids[i] >> shift) & (kDigits - 1);
      };
      for (std::int64_t i = 0; i < count; ++i) ++starts[digit(i)];
      std::exclusive_scan(starts.begin(), starts.end(), starts.begin(), std::int64_t{0});
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t to = starts[digit(i)]++;
        other_ids_[to] = ids[i];
        other_from_[to] = from[i];
      }
      std::swap(ids, other_ids_);
      std::swap(from, other_from_);
    }
  }
  /// Where the pairs of each id begin, behind which comes their count; in memory that sort() needs no more.
  std::int32_t* starts() const { return other_ids_; }

  std::int32_t *ids = nullptr, *from = nullptr;
  std::int64_t count = 0;

 private:
  const std::int64_t length_;
  const int bits_;
  std::int32_t *other_ids_ = nullptr, *other_from_ = nullptr;
};

/// What embedding_bag_grad_rows and gather_grad_rows give, and embedding_bag_grad spreads over the table:
/// each id once, and the sum of what goes to it.
class RowSums : public Kernel {
 public:
  /// Of a table of `table` rows of `width` values, from `length` ids.
  RowSums(const Operation& op, std::int64_t table, std::int64_t width, std::int64_t length)
      : table_(table),
        length_(length),
        width_(width),
        bag_(op.kind != Kind::gather_grad_rows),
        mean_(bag_ && op.attributes.reduction == Reduction::mean),
        bags_(bag_ ? op.inputs[2].shape.elements() : 0),
        type_(op.inputs[1].type),
        sorter_(length_ + 1, table_),
        sorter_bytes_(tensor::aligned(sorter_.bytes())) {
    scratch_bytes_ = sorter_bytes_;
    if (mean_) scratch_bytes_ += static_cast<std::size_t>(bags_ * width_) * sizeof(float);
  }

 protected:
  /// What is summed for a run: the sum of unique id i is that of the rows from[starts[i]] to
  /// from[starts[i + 1] - 1] of dy. All but dy lies in the scratch memory.
  struct Sums {
    const float* dy = nullptr;
    const std::int32_t *ids = nullptr, *from = nullptr, *starts = nullptr;
    std::int32_t count = 0;  // of unique ids, which ascend
  };
  Sums sums(std::span<void* const> inputs, void* scratch) {
    const auto* dy = static_cast<const float*>(inputs[0]);
    sorter_.use(scratch);
    if (bag_) {
      const Bags bags(inputs[1], inputs[2], length_, bags_);
      push_bags(bags);
      if (mean_)
        dy = shares(bags, dy, reinterpret_cast<float*>(static_cast<std::byte*>(scratch) + sorter_bytes_));
    } else {
      push_index(inputs[1]);
    }
    sorter_.sort();
    std::int32_t* const ids = sorter_.ids;  // each unique one moves to the front
    std::int32_t* const starts = sorter_.starts();
    std::int32_t count = 0;
    for (std::int64_t i = 0; i < sorter_.count; ++i) {
      if (i > 0 && ids[i] == ids[i - 1]) continue;
      ids[count] = ids[i];
      starts[count++] = static_cast<std::int32_t>(i);
    }
    starts[count] = static_cast<std::int32_t>(sorter_.count);
    return {dy, ids, sorter_.from, starts, count};
  }
  void sum(const Sums& sums, std::int64_t i, float* to) const {
    lanes::table().sum_rows(sums.dy, sums.from + sums.starts[i], sums.starts[i + 1] - sums.starts[i], width_,
                            to);
  }

  const std::int64_t table_, length_, width_;

 private:
  void push_bags(const Bags& bags) {
    check_ids(bags.ids, length_, table_);
    for (std::int64_t bag = 0; bag < bags_; ++bag)
      for (std::int64_t i = bags.offsets[bag]; i < bags.end(bag); ++i)
        if (bags.ids[i] >= 0) sorter_.push(bags.ids[i], static_cast<std::int32_t>(bag));
  }
  void push_index(const void* index) {
    for (std::int64_t i = 0; i < length_; ++i) {
      const std::int64_t id = type_ == DType::i32 ? static_cast<const std::int32_t*>(index)[i]
                                                  : static_cast<const std::int64_t*>(index)[i];
      check(id >= -table_ && id < table_, "an index points into the tensor");
      sorter_.push(static_cast<std::int32_t>(id < 0 ? id + table_ : id), static_cast<std::int32_t>(i));
    }
  }
  /// What each member of a bag gets of its gradient.
  const float* shares(const Bags& bags, const float* dy, float* to) const {
    in_pieces(bags_, 1, bags_ * width_, [&](std::int64_t begin, std::int64_t end) {
      std::copy(dy + begin * width_, dy + end * width_, to + begin * width_);
      for (std::int64_t bag = begin; bag < end; ++bag) divide(to + bag * width_, width_, bags.members(bag));
    });
    return to;
  }

  const bool bag_, mean_;
  const std::int64_t bags_;
  const DType type_;
  Sorter sorter_;
  const std::size_t sorter_bytes_;
};

/// embedding_bag_grad_rows and gather_grad_rows.
class GradRows final : public RowSums {
 public:
  explicit GradRows(const Operation& op)
      : RowSums(op, op.attributes.size, op.outputs[1].shape.volume(1), op.outputs[0].shape.elements()) {
    outputs_ = {plain_layout(op.outputs[0].shape, DType::i32), plain_layout(op.outputs[1].shape, DType::f32),
                plain_layout(op.outputs[2].shape, DType::i32)};
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    const Sums all = sums(inputs, scratch);
    auto* const ids = static_cast<std::int32_t*>(outputs[0]);
    auto* const rows = static_cast<float*>(outputs[1]);
    std::copy_n(all.ids, all.count, ids);
    std::fill(ids + all.count, ids + length_, -1);
    in_pieces(length_, 1, length_ * width_, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t summed = std::min<std::int64_t>(end, all.count);
      for (std::int64_t i = begin; i < summed; ++i) sum(all, i, rows + i * width_);
      const std::int64_t unused = std::max<std::int64_t>(begin, all.count);
      if (unused < end) std::fill(rows + unused * width_, rows + end * width_, 0.0f);
    });
    *static_cast<std::int32_t*>(outputs[2]) = all.count;
  }
};

/// embedding_bag_grad: the gradient of the whole table.
class GradTable final : public RowSums {
 public:
  explicit GradTable(const Operation& op)
      : RowSums(op, op.outputs[0].shape[0], op.outputs[0].shape.volume(1), op.inputs[1].shape.elements()) {
    outputs_ = {plain_layout(op.outputs[0].shape, DType::f32)};
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    const Sums all = sums(inputs, scratch);
    auto* const table = static_cast<float*>(outputs[0]);
    in_pieces(table_, 1, table_ * width_, [&](std::int64_t begin, std::int64_t end) {
      const std::int32_t* const last = all.ids + all.count;
      for (const std::int32_t* id = std::lower_bound(all.ids, last, begin); id != last && *id < end; ++id) {
        std::fill(table + begin * width_, table + *id * width_, 0.0f);
        sum(all, id - all.ids, table + *id * width_);
        begin = *id + 1;
      }
      std::fill(table + begin * width_, table + end * width_, 0.0f);
    });
  }
};

}  // namespace

std::unique_ptr<Kernel> rows_kernel(const Operation& op) {
  constexpr std::int64_t kIdsMax = INT32_MAX;
  switch (op.kind) {
    case Kind::embedding_bag:
      if (op.outputs[0].type != DType::f32 || op.inputs[0].shape.elements() == 0) return nullptr;
      return over_arranged(op, std::make_unique<EmbeddingBag>(op), {});
    case Kind::embedding_bag_grad_rows:
    case Kind::gather_grad_rows:
      if (op.outputs[1].shape.elements() == 0 || op.attributes.size >= kIdsMax ||
          op.outputs[0].shape.elements() >= kIdsMax)
        return nullptr;
      return over_arranged(op, std::make_unique<GradRows>(op), {});
    case Kind::embedding_bag_grad:
      if (op.outputs[0].type != DType::f32 || op.outputs[0].shape.elements() == 0 ||
          op.outputs[0].shape[0] >= kIdsMax || op.inputs[1].shape.elements() >= kIdsMax)
        return nullptr;
      return over_arranged(op, std::make_unique<GradTable>(op), {});
    default:
      return nullptr;
  }
}

}  // namespace trainyard::ops::cpu
