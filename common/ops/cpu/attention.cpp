// Attention a head of a sample at a time, in blocks of queries whose scores stay in the caches; the gradient
// computes them anew (Dao and others, 2022, section 3.1). One thread has a head, so that the number of
// threads changes no bit.
#include <omp.h>

#include <array>
#include <cmath>

#include "common/ops/attention_mask.hpp"
#include "common/ops/cpu/arrangement.hpp"
#include "common/ops/cpu/lanes/table.hpp"
#include "common/ops/cpu/parallel.hpp"

namespace trainyard::ops::cpu {
namespace {

constexpr std::int64_t kRowsAtOnce = 12;  // that multiply() takes
constexpr std::int64_t kBlockQueries = 6 * kRowsAtOnce;
constexpr std::int64_t kBlockScores = 1 << 16;

/// c[r] (+)= a[r] b, of rows that lie in steps.
void multiply(const float* a, std::int64_t a_step, std::int64_t rows, std::int64_t k, const float* packed,
              std::int64_t columns, float* c, std::int64_t c_step, bool add) {
  std::array<const float*, kBlockQueries> from;
  std::array<float*, kBlockQueries> to;
  for (std::int64_t first = 0; first < rows; first += kBlockQueries) {
    const std::int64_t count = std::min(kBlockQueries, rows - first);
    for (std::int64_t r = 0; r < count; ++r) {
      from[static_cast<std::size_t>(r)] = a + (first + r) * a_step;
      to[static_cast<std::size_t>(r)] = c + (first + r) * c_step;
    }
    lanes::table().multiply(count, from.data(), k, packed, columns, to.data(), add);
  }
}

struct Sizes {
  /// Of attention and its gradient.
  static Sizes apart(const Operation& op) {
    const Shape &q = op.inputs[0].shape, &v = op.inputs[2].shape;
    return Sizes({q[0], q[1], q[2], v[2]}, q[3], v[3], op, 3);
  }
  /// Of self_attention and its gradient.
  static Sizes together(const Operation& op) {
    const Shape& x = op.inputs[0].shape;
    const std::int64_t heads = op.attributes.groups, depth = x[2] / 3 / heads;
    return Sizes({x[0], heads, x[1], x[1]}, depth, depth, op, 1);
  }
  Sizes(const std::array<std::int64_t, 4>& extents, std::int64_t q_width, std::int64_t v_width,
        const Operation& op, std::size_t mask_index)
      : maps(extents[0] * extents[1]),
        heads(extents[1]),
        queries(extents[2]),
        keys(extents[3]),
        depth(q_width),
        width(v_width) {
    const auto round_up = [](std::int64_t x, std::int64_t to) { return (x + to - 1) / to * to; };
    const std::int64_t most =
        std::clamp<std::int64_t>(kBlockScores / std::max<std::int64_t>(keys, 1), kRowsAtOnce, kBlockQueries);
    // A short last block would cost as much as a long one to prepare.
    const std::int64_t blocks = std::max<std::int64_t>(1, (queries + most - 1) / most);
    block = std::min({round_up((queries + blocks - 1) / blocks, kRowsAtOnce), kBlockQueries, queries});
    masked = present(op.inputs, mask_index);
    if (!masked) return;
    mask_steps = ops::mask_steps(op.inputs[mask_index].shape, extents);
  }
  const float* mask_of(const float* mask, std::int64_t map, std::int64_t query) const {
    if (!masked) return nullptr;
    return mask + map / heads * mask_steps[0] + map % heads * mask_steps[1] + query * mask_steps[2];
  }
  std::int64_t maps, heads, queries, keys, depth, width, block = 0;
  std::array<std::int64_t, 4> mask_steps{};  // 0 where it is stretched
  bool masked = false;
};

/// Hands out scratch memory of one thread.
class Room {
 public:
  float* take(std::int64_t floats) {
    float* const at = base_ == nullptr ? nullptr : base_ + taken_;
    taken_ += (floats + 15) / 16 * 16;
    return at;
  }
  std::int64_t taken() const { return taken_; }
  explicit Room(float* base) : base_(base) {}

 private:
  float* base_;
  std::int64_t taken_ = 0;
};

std::int64_t packed(std::int64_t k, std::int64_t columns) { return lanes::table().packed_floats(k, columns); }

/// Rows of one head.
template <typename T>
struct Rows {
  T* at;
  std::int64_t step;
  Rows from(std::int64_t row) const { return {at + row * step, step}; }
};

/// Where the heads of a tensor lie: [N, h, T, D], or side by side in rows of `columns` values, from `first`
/// on.
struct Placement {
  static Placement apart(std::int64_t heads, std::int64_t steps, std::int64_t width) {
    return {heads, heads * steps * width, steps * width, width, 0};
  }
  static Placement together(const Sizes& sizes, std::int64_t columns, std::int64_t first) {
    return {sizes.heads, sizes.queries * columns, sizes.depth, columns, first};
  }
  Rows<const float> of(const void* data, std::int64_t map) const {
    return {static_cast<const float*>(data) + offset(map), step};
  }
  Rows<float> in(void* data, std::int64_t map) const {
    return {static_cast<float*>(data) + offset(map), step};
  }
  std::int64_t offset(std::int64_t map) const { return map / heads * sample + map % heads * head + first; }
  std::int64_t heads = 1, sample = 0, head = 0, step = 0, first = 0;
};

/// Operands and results of a run, whatever the kind.
struct Places {
  Places(const Sizes& s, bool side_by_side) : together(side_by_side) {
    const std::int64_t third = s.heads * s.depth;
    q = together ? Placement::together(s, 3 * third, 0) : Placement::apart(s.heads, s.queries, s.depth);
    k = together ? Placement::together(s, 3 * third, third) : Placement::apart(s.heads, s.keys, s.depth);
    v = together ? Placement::together(s, 3 * third, 2 * third) : Placement::apart(s.heads, s.keys, s.width);
    y = together ? Placement::together(s, third, 0) : Placement::apart(s.heads, s.queries, s.width);
  }
  /// Number `index` of q, k, v, mask, y, log-sum-exp, dy among the operands.
  std::size_t operand(std::size_t index) const { return !together ? index : index < 3 ? 0 : index - 2; }
  /// Number `index` of dq, dk, dv among the results.
  std::size_t result(std::size_t index) const { return together ? 0 : index; }
  bool together;
  Placement q, k, v, y;
};

/// What both directions share: scratch memory a thread, heads dealt to threads.
class Heads : public Kernel {
 protected:
  Heads(const Operation& op, bool together)
      : sizes_(together ? Sizes::together(op) : Sizes::apart(op)),
        places_(sizes_, together),
        scale_(static_cast<float>(op.attributes.alpha)),
        threads_(omp_get_max_threads()) {
    for (const Signature& of : op.outputs) outputs_.push_back(plain_layout(of.shape, DType::f32));
  }
  void reserve(std::int64_t floats) {
    room_ = floats;
    scratch_bytes_ = static_cast<std::size_t>(floats * threads_) * sizeof(float);
  }
  template <typename Work>
  void each_head(void* scratch, const Work& work) const {
    const int threads = std::min<int>(threads_, omp_get_max_threads());
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (std::int64_t map = 0; map < sizes_.maps; ++map)
      work(map, static_cast<float*>(scratch) + omp_get_thread_num() * room_);
  }
  const float* mask(std::span<void* const> inputs) const {
    return sizes_.masked ? static_cast<const float*>(inputs[places_.operand(3)]) : nullptr;
  }

  const Sizes sizes_;
  const Places places_;
  const float scale_;

 private:
  const int threads_;
  std::int64_t room_ = 0;
};

void multiply(const Rows<const float>& a, std::int64_t rows, std::int64_t k, const float* packed,
              std::int64_t columns, const Rows<float>& c, bool add) {
  multiply(a.at, a.step, rows, k, packed, columns, c.at, c.step, add);
}

class Attention final : public Heads {
 public:
  Attention(const Operation& op, bool together) : Heads(op, together) {
    reserve(Parts(sizes_, nullptr).floats);
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    const Sizes& s = sizes_;
    const float* const mask_values = mask(inputs);
    auto* const whole = static_cast<float*>(outputs[1]);
    each_head(scratch, [&](std::int64_t map, float* room) {
      const Parts at(s, room);
      const auto q = places_.q.of(inputs[places_.operand(0)], map),
                 k = places_.k.of(inputs[places_.operand(1)], map),
                 v = places_.v.of(inputs[places_.operand(2)], map);
      const auto y = places_.y.in(outputs[0], map);
      lanes::table().pack_columns(k.at, k.step, s.depth, s.keys, at.k);
      lanes::table().pack_rows(v.at, v.step, s.keys, s.width, at.v);
      const Rows<float> scores{at.scores, s.keys};
      for (std::int64_t first = 0; first < s.queries; first += s.block) {
        const std::int64_t count = std::min(s.block, s.queries - first);
        multiply(q.from(first), count, s.depth, at.k, s.keys, scores, false);
        for (std::int64_t i = 0; i < count; ++i) {
          float top = 0, sum = 0;
          lanes::table().softmax_scores(scores.from(i).at, s.mask_of(mask_values, map, first + i),
                                        static_cast<int>(s.mask_steps[3]), s.keys, scale_, &top, &sum);
          whole[map * s.queries + first + i] = top + std::log(sum);
        }
        multiply({scores.at, scores.step}, count, s.keys, at.v, s.width, y.from(first), false);
      }
    });
  }

 private:
  struct Parts {
    Parts(const Sizes& s, float* base) {
      Room room(base);
      k = room.take(packed(s.depth, s.keys));
      v = room.take(packed(s.keys, s.width));
      scores = room.take(s.block * s.keys);
      floats = room.taken();
    }
    float *k, *v, *scores;
    std::int64_t floats;
  };
};

class AttentionGrad final : public Heads {
 public:
  AttentionGrad(const Operation& op, bool together) : Heads(op, together) {
    reserve(Parts(sizes_, nullptr).floats);
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    each_head(scratch,
              [&](std::int64_t map, float* room) { head(inputs, outputs, map, Parts(sizes_, room)); });
  }

 private:
  struct Parts {
    Parts(const Sizes& s, float* base) {
      Room room(base);
      k_columns = room.take(packed(s.depth, s.keys));
      v_columns = room.take(packed(s.width, s.keys));
      k_rows = room.take(packed(s.keys, s.depth));
      q_rows = room.take(packed(s.block, s.depth));
      dy_rows = room.take(packed(s.block, s.width));
      for (float** scores : {&p, &ds, &turned}) *scores = room.take(s.block * s.keys);
      floats = room.taken();
    }
    float *k_columns, *v_columns, *k_rows, *q_rows, *dy_rows, *p, *ds, *turned;
    std::int64_t floats;
  };

  void head(std::span<void* const> inputs, std::span<void* const> outputs, std::int64_t map,
            const Parts& at) const {
    const Sizes& s = sizes_;
    const lanes::Table& table = lanes::table();
    const auto in = [&](const Placement& place, std::size_t index) {
      return place.of(inputs[places_.operand(index)], map);
    };
    const auto q = in(places_.q, 0), k = in(places_.k, 1), v = in(places_.v, 2), y = in(places_.y, 4),
               dy = in(places_.y, 6);
    const auto* const whole = static_cast<const float*>(inputs[places_.operand(5)]) + map * s.queries;
    const float* const mask_values = mask(inputs);
    const auto dq = places_.q.in(outputs[places_.result(0)], map),
               dk = places_.k.in(outputs[places_.result(1)], map),
               dv = places_.v.in(outputs[places_.result(2)], map);
    const Rows<float> p{at.p, s.keys}, ds{at.ds, s.keys};
    table.pack_columns(k.at, k.step, s.depth, s.keys, at.k_columns);
    table.pack_columns(v.at, v.step, s.width, s.keys, at.v_columns);
    table.pack_rows(k.at, k.step, s.keys, s.depth, at.k_rows);
    for (std::int64_t first = 0; first < s.queries; first += s.block) {
      const std::int64_t count = std::min(s.block, s.queries - first);
      const auto q_block = q.from(first), dy_block = dy.from(first);
      multiply(q_block, count, s.depth, at.k_columns, s.keys, p, false);
      multiply(dy_block, count, s.width, at.v_columns, s.keys, ds, false);
      for (std::int64_t i = 0; i < count; ++i)
        table.softmax_scores_grad(p.from(i).at, ds.from(i).at, s.mask_of(mask_values, map, first + i),
                                  static_cast<int>(s.mask_steps[3]), s.keys, scale_, whole[first + i],
                                  y.from(first + i).at, dy_block.from(i).at, s.width);
      multiply({ds.at, ds.step}, count, s.keys, at.k_rows, s.depth, dq.from(first), false);
      table.pack_rows(dy_block.at, dy_block.step, count, s.width, at.dy_rows);
      table.pack_rows(q_block.at, q_block.step, count, s.depth, at.q_rows);
      const Rows<const float> turned{at.turned, count};
      table.transpose(p.at, p.step, count, s.keys, at.turned, count);
      multiply(turned, s.keys, count, at.dy_rows, s.width, dv, first > 0);
      table.transpose(ds.at, ds.step, count, s.keys, at.turned, count);
      multiply(turned, s.keys, count, at.q_rows, s.depth, dk, first > 0);
    }
  }
};

}  // namespace

std::unique_ptr<Kernel> attention_kernel(const Operation& op) {
  const bool forward = op.kind == Kind::attention || op.kind == Kind::self_attention;
  const bool together = op.kind == Kind::self_attention || op.kind == Kind::self_attention_grad;
  if (!forward && !together && op.kind != Kind::attention_grad) return nullptr;
  if (op.outputs[0].type != DType::f32) return nullptr;
  for (std::size_t i = 0; i < (together ? 1 : 3); ++i)
    if (op.inputs[i].shape.elements() == 0) return nullptr;
  if (forward) return over_arranged(op, std::make_unique<Attention>(op, together), {});
  return over_arranged(op, std::make_unique<AttentionGrad>(op, together), {});
}

}  // namespace trainyard::ops::cpu
