// Attention a head of a sample at a time, in blocks of queries whose scores stay in the caches; the gradient
// computes them anew (Dao and others, 2022, section 3.1). One thread has a head, so that the number of
// threads changes no bit.
#include <omp.h>

#include <array>
#include <cmath>

#include "common/ops/cpu/arrangement.hpp"
#include "common/ops/cpu/lanes/table.hpp"
#include "common/ops/cpu/parallel.hpp"

namespace trainyard::ops::cpu {
namespace {

constexpr std::int64_t kBlockQueries = 60;  // a multiple of the rows that multiply() takes at once
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
  Sizes(const Shape& q, const Shape& v, const Operand* mask_operand)
      : maps(q[0] * q[1]), heads(q[1]), queries(q[2]), keys(v[2]), depth(q[3]), width(v[3]) {
    block = std::clamp<std::int64_t>(kBlockScores / std::max<std::int64_t>(keys, 1), 12, kBlockQueries);
    block = std::min(block, queries);
    if (mask_operand == nullptr || mask_operand->layout == nullptr) return;
    masked = true;
    const Shape& mask = mask_operand->shape;
    const std::array<std::int64_t, 4> extents{q[0], heads, queries, keys};
    std::int64_t stride = 1;
    for (std::size_t back = 0; back < mask.rank(); ++back) {
      const std::int64_t extent = mask[mask.rank() - 1 - back];
      if (extent == extents[3 - back] && extent > 1) mask_steps[3 - back] = stride;
      stride *= extent;
    }
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

/// What both directions share: scratch memory a thread, heads dealt to threads.
class Heads : public Kernel {
 protected:
  Heads(const Operation& op, const Sizes& sizes)
      : sizes_(sizes), scale_(static_cast<float>(op.attributes.alpha)), threads_(omp_get_max_threads()) {
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

  const Sizes sizes_;
  const float scale_;

 private:
  const int threads_;
  std::int64_t room_ = 0;
};

class Attention final : public Heads {
 public:
  explicit Attention(const Operation& op)
      : Heads(op, {op.inputs[0].shape, op.inputs[2].shape, op.inputs.size() > 3 ? &op.inputs[3] : nullptr}) {
    reserve(Parts(sizes_, nullptr).floats);
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    const Sizes& s = sizes_;
    const auto *const q = static_cast<const float*>(inputs[0]),
                      *const k = static_cast<const float*>(inputs[1]),
                      *const v = static_cast<const float*>(inputs[2]),
                      *const mask = s.masked ? static_cast<const float*>(inputs[3]) : nullptr;
    auto *const y = static_cast<float*>(outputs[0]), *const whole = static_cast<float*>(outputs[1]);
    each_head(scratch, [&](std::int64_t map, float* room) {
      const Parts at(s, room);
      lanes::table().pack_columns(k + map * s.keys * s.depth, s.depth, s.depth, s.keys, at.k);
      lanes::table().pack_rows(v + map * s.keys * s.width, s.width, s.keys, s.width, at.v);
      for (std::int64_t first = 0; first < s.queries; first += s.block) {
        const std::int64_t count = std::min(s.block, s.queries - first), query = map * s.queries + first;
        multiply(q + query * s.depth, s.depth, count, s.depth, at.k, s.keys, at.scores, s.keys, false);
        for (std::int64_t i = 0; i < count; ++i) {
          float top = 0, sum = 0;
          lanes::table().softmax_scores(at.scores + i * s.keys, s.mask_of(mask, map, first + i),
                                        static_cast<int>(s.mask_steps[3]), s.keys, scale_, &top, &sum);
          whole[query + i] = top + std::log(sum);
        }
        multiply(at.scores, s.keys, count, s.keys, at.v, s.width, y + query * s.width, s.width, false);
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

/// Operands: q, k, v, mask?, y, log-sum-exp, dy.
class AttentionGrad final : public Heads {
 public:
  explicit AttentionGrad(const Operation& op)
      : Heads(op, {op.inputs[0].shape, op.inputs[2].shape, &op.inputs[3]}) {
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
    const auto in = [&](std::size_t index, std::int64_t floats) {
      return static_cast<const float*>(inputs[index]) + map * floats;
    };
    const auto out = [&](std::size_t index, std::int64_t floats) {
      return static_cast<float*>(outputs[index]) + map * floats;
    };
    const float *const q = in(0, s.queries * s.depth), *const k = in(1, s.keys * s.depth),
                       *const v = in(2, s.keys * s.width), *const y = in(4, s.queries * s.width),
                       *const whole = in(5, s.queries), *const dy = in(6, s.queries * s.width);
    const auto* const mask = s.masked ? static_cast<const float*>(inputs[3]) : nullptr;
    float *const dq = out(0, s.queries * s.depth), *const dk = out(1, s.keys * s.depth),
                 *const dv = out(2, s.keys * s.width);
    table.pack_columns(k, s.depth, s.depth, s.keys, at.k_columns);
    table.pack_columns(v, s.width, s.width, s.keys, at.v_columns);
    table.pack_rows(k, s.depth, s.keys, s.depth, at.k_rows);
    for (std::int64_t first = 0; first < s.queries; first += s.block) {
      const std::int64_t count = std::min(s.block, s.queries - first);
      const float *const q_block = q + first * s.depth, *const dy_block = dy + first * s.width;
      multiply(q_block, s.depth, count, s.depth, at.k_columns, s.keys, at.p, s.keys, false);
      multiply(dy_block, s.width, count, s.width, at.v_columns, s.keys, at.ds, s.keys, false);
      for (std::int64_t i = 0; i < count; ++i)
        table.softmax_scores_grad(at.p + i * s.keys, at.ds + i * s.keys, s.mask_of(mask, map, first + i),
                                  static_cast<int>(s.mask_steps[3]), s.keys, scale_, whole[first + i],
                                  y + (first + i) * s.width, dy_block + i * s.width, s.width);
      multiply(at.ds, s.keys, count, s.keys, at.k_rows, s.depth, dq + first * s.depth, s.depth, false);
      table.pack_rows(dy_block, s.width, count, s.width, at.dy_rows);
      table.pack_rows(q_block, s.depth, count, s.depth, at.q_rows);
      table.transpose(at.p, s.keys, count, s.keys, at.turned, count);
      multiply(at.turned, count, s.keys, count, at.dy_rows, s.width, dv, s.width, first > 0);
      table.transpose(at.ds, s.keys, count, s.keys, at.turned, count);
      multiply(at.turned, count, s.keys, count, at.q_rows, s.depth, dk, s.depth, first > 0);
    }
  }
};

}  // namespace

std::unique_ptr<Kernel> attention_kernel(const Operation& op) {
  if (op.kind != Kind::attention && op.kind != Kind::attention_grad) return nullptr;
  if (op.outputs[0].type != DType::f32) return nullptr;
  for (std::size_t i = 0; i < 3; ++i)
    if (op.inputs[i].shape.elements() == 0) return nullptr;
  if (op.kind == Kind::attention) return over_arranged(op, std::make_unique<Attention>(op), {});
  return over_arranged(op, std::make_unique<AttentionGrad>(op), {});
}

}  // namespace trainyard::ops::cpu
