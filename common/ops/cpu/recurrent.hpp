// What a recurrent cell and its gradient share: sizes, how sequences are dealt to threads, scratch memory.
//
// Of many sequences, each step multiplies its inputs and its states by matrices that were packed once. Of
// few, the share of the input of all steps is one large product instead. Sequences do not see each other, so
// a thread takes some of them through all steps of a direction and waits for nobody. The gradients of the
// weights are large products again, over all steps at once. Private to this backend.
#pragma once

#include <omp.h>

#include <algorithm>

#include "common/ops/cpu/lanes/table.hpp"
#include "common/ops/cpu/onednn.hpp"
#include "common/tensor/buffer.hpp"

namespace trainyard::ops::cpu {

using lanes::Table;

/// Scratch memory by name: offsets, each a multiple of 64 bytes.
class Area {
 public:
  std::size_t floats(std::int64_t count) { return bytes(static_cast<std::size_t>(count) * sizeof(float)); }
  std::size_t bytes(std::size_t count) {
    const std::size_t at = size_;
    size_ += tensor::aligned(count);
    return at;
  }
  std::size_t size() const { return size_; }

 private:
  std::size_t size_ = 0;
};

template <typename T = float>
T* place(void* scratch, std::size_t offset) {
  return reinterpret_cast<T*>(static_cast<std::byte*>(scratch) + offset);
}

/// C = op(A) op(B), row major; by the whole team.
inline void product(char transpose_a, char transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
                    const float* a, std::int64_t a_row, const float* b, std::int64_t b_row, float* c,
                    std::int64_t c_row) {
  const dnnl_status_t done =
      dnnl_sgemm(transpose_a, transpose_b, m, n, k, 1, a, a_row, b, b_row, 0, c, c_row);
  check(done == dnnl_success, "a product of two matrices is computed");
}

/// A sequence, and how many steps it takes.
struct Path {
  std::int64_t sample = 0, length = 0;
};

/// What one thread does: some sequences, the longest first, through one direction; and room for pointers to
/// their rows.
struct Task {
  std::int64_t direction = 0;
  std::span<const Path> paths;
  const float **from = nullptr, **second_from = nullptr;
  float **to = nullptr, **second_to = nullptr;
  /// Copies of one step's gates and states, side by side. In the tensors of all steps, rows of the same time
  /// lie so far apart, often by a power of two, that they push each other out of the caches.
  float *gates = nullptr, *states = nullptr, *inputs = nullptr;
};

class Recurrent : public Kernel {
 protected:
  explicit Recurrent(const Operation& op)
      : a_(op.attributes),
        n_(op.inputs[0].shape[0]),
        t_(op.inputs[0].shape[1]),
        inputs_(op.inputs[0].shape[2]),
        directions_(op.inputs[2].shape[0]),
        hidden_(op.inputs[2].shape[2]),
        rows_(op.inputs[2].shape[1]),
        bias_(present(op.inputs, 3)),
        lengths_(present(op.inputs, 4)) {}

  bool lstm() const { return a_.cell == Cell::lstm; }
  bool gru() const { return a_.cell == Cell::gru; }
  bool before_reset() const { return a_.cell == Cell::gru_linear_before_reset; }
  bool third_apart() const { return gru() || before_reset(); }
  /// Rows of r that meet the state as it is: all, but in a gru those of its two gates.
  std::int64_t state_rows() const { return third_apart() ? 2 * hidden_ : rows_; }
  std::int64_t all_rows() const { return directions_ * rows_; }
  std::int64_t steps() const { return n_ * t_; }
  std::int64_t gates_floats() const { return steps() * all_rows(); }
  std::int64_t state_floats() const { return steps() * directions_ * hidden_; }
  /// What the workspace holds: the gates, and a row a step of c, of R2 h + Rb2 or of r h.
  std::size_t workspace_floats() const {
    return static_cast<std::size_t>(gates_floats() + (a_.cell == Cell::rnn ? 0 : state_floats()));
  }

  std::int64_t row(std::int64_t sample, std::int64_t time) const { return sample * t_ + time; }
  std::int64_t gates_at(std::int64_t d, std::int64_t sample, std::int64_t time) const {
    return row(sample, time) * all_rows() + d * rows_;
  }
  std::int64_t state_at(std::int64_t d, std::int64_t sample, std::int64_t time) const {
    return (row(sample, time) * directions_ + d) * hidden_;
  }
  std::int64_t end_at(std::int64_t d, std::int64_t sample) const { return (d * n_ + sample) * hidden_; }
  /// The time of step `step` of a sequence.
  std::int64_t time(std::int64_t d, const Path& path, std::int64_t step) const {
    return a_.direction == Direction::reverse || d == 1 ? path.length - 1 - step : step;
  }

  /// Room for paths and pointers.
  void reserve_tasks(Area& area) {
    const auto paths = static_cast<std::size_t>(n_), all = static_cast<std::size_t>(directions_ * n_);
    paths_ = area.bytes(2 * paths * sizeof(Path));
    pointers_ = area.bytes(4 * all * sizeof(float*));
    step_gates_ = area.floats(directions_ * n_ * rows_);
    step_states_ = area.floats(directions_ * n_ * hidden_);
    step_inputs_ = area.floats(directions_ * n_ * inputs_);
  }

  /// Calls body(task) so that each sequence goes through each direction once; a team shares the tasks.
  template <typename Body>
  void each_task(const std::int32_t* lengths, void* scratch, const Body& body) const {
    Path *const sorted = place<Path>(scratch, paths_), *const dealt = sorted + n_;
    for (std::int64_t i = 0; i < n_; ++i) {
      const std::int64_t length = lengths ? lengths[i] : t_;
      check(length >= 0 && length <= t_, "the length of a sequence is within its time steps");
      sorted[i] = {i, length};
    }
    std::sort(sorted, sorted + n_, [](const Path& left, const Path& right) {
      return left.length != right.length ? left.length > right.length : left.sample < right.sample;
    });
    const std::int64_t threads = omp_get_max_threads();
    const std::int64_t shares =
        std::clamp<std::int64_t>(threads % directions_ == 0 ? threads / directions_ : threads, 1, n_);
    // Like cards, so that each share has long and short ones.
    const auto first_of = [&](std::int64_t share) {
      return share * (n_ / shares) + std::min(share, n_ % shares);
    };
    for (std::int64_t i = 0; i < n_; ++i) dealt[first_of(i % shares) + i / shares] = sorted[i];
    const std::int64_t all = directions_ * n_;
#pragma omp parallel for schedule(dynamic, 1)
    for (std::int64_t number = 0; number < directions_ * shares; ++number) {
      const std::int64_t direction = number % directions_, share = number / directions_;
      const std::int64_t first = first_of(share), room = direction * n_ + first;
      Task task;
      task.direction = direction;
      task.paths = {dealt + first, dealt + first_of(share + 1)};
      task.from = place<const float*>(scratch, pointers_) + room;
      task.second_from = task.from + all;
      task.to = place<float*>(scratch, pointers_) + 2 * all + room;
      task.second_to = task.to + all;
      task.gates = place(scratch, step_gates_) + room * rows_;
      task.states = place(scratch, step_states_) + room * hidden_;
      task.inputs = place(scratch, step_inputs_) + room * inputs_;
      body(task);
    }
  }

  /// How many of the paths, the longest first, take step `step`.
  static std::size_t active(std::span<const Path> paths, std::int64_t step) {
    std::size_t count = 0;
    while (count < paths.size() && paths[count].length > step) ++count;
    return count;
  }

  /// Zero at every time behind the lengths.
  void clear_behind(const std::int32_t* lengths, float* at, std::int64_t row_floats) const {
    for (std::int64_t i = 0; i < n_ && lengths; ++i)
      std::fill_n(at + row(i, lengths[i]) * row_floats, (t_ - lengths[i]) * row_floats, 0.0f);
  }

  /// The matrices of all directions, `floats` of them apart.
  void pack(const float* r, std::int64_t floats, std::int64_t k_step, std::int64_t column_step,
            std::int64_t k, std::int64_t columns, float* packed, std::int64_t packed_floats) const {
    const lanes::Table& table = lanes::table();
#pragma omp parallel for schedule(static) if (directions_ * k * columns > 1 << 15)
    for (std::int64_t d = 0; d < directions_; ++d)
      table.pack(r + d * floats, k_step, column_step, k, columns, packed + d * packed_floats);
  }

  const Attributes a_;
  const std::int64_t n_, t_, inputs_, directions_, hidden_, rows_;
  const bool bias_, lengths_;

 private:
  std::size_t paths_ = 0, pointers_ = 0, step_gates_ = 0, step_states_ = 0, step_inputs_ = 0;
};

inline const float* floats_of(std::span<void* const> operands, std::size_t index) {
  return index < operands.size() ? static_cast<const float*>(operands[index]) : nullptr;
}
inline const std::int32_t* lengths_of(std::span<void* const> operands) {
  return operands.size() > 4 ? static_cast<const std::int32_t*>(operands[4]) : nullptr;
}

/// Operands: x, w, r, b?, lengths?, h0?, c0?, y, workspace, dy?, dh?, dc?.
std::unique_ptr<Kernel> recurrent_grad(const Operation&);

}  // namespace trainyard::ops::cpu
