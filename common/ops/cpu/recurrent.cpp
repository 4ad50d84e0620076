#include <omp.h>

#include <algorithm>

#include "common/ops/cpu/lanes/table.hpp"
#include "common/ops/cpu/onednn.hpp"
#include "common/tensor/buffer.hpp"

// The share of the input of all steps is one large product; what remains of a step is a small product with
// the state. Sequences do not see each other, so a thread takes some of them through all steps of a direction
// and waits for nobody. The gradients of the weights are large products again, over all steps at once.
namespace trainyard::ops::cpu {
namespace {

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
void product(char transpose_a, char transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
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

  void pack(const float* r, std::int64_t k_step, std::int64_t column_step, std::int64_t k,
            std::int64_t columns, float* packed, std::int64_t packed_floats) const {
    const lanes::Table& table = lanes::table();
#pragma omp parallel for schedule(static) if (directions_ * k * columns > 1 << 15)
    for (std::int64_t d = 0; d < directions_; ++d)
      table.pack(r + d * rows_ * hidden_, k_step, column_step, k, columns, packed + d * packed_floats);
  }

  const Attributes a_;
  const std::int64_t n_, t_, inputs_, directions_, hidden_, rows_;
  const bool bias_, lengths_;

 private:
  std::size_t paths_ = 0, pointers_ = 0;
};

const float* floats_of(std::span<void* const> operands, std::size_t index) {
  return index < operands.size() ? static_cast<const float*>(operands[index]) : nullptr;
}
const std::int32_t* lengths_of(std::span<void* const> operands) {
  return operands.size() > 4 ? static_cast<const std::int32_t*>(operands[4]) : nullptr;
}

class Forward final : public Recurrent {
 public:
  explicit Forward(const Operation& op) : Recurrent(op), keep_(op.attributes.workspace) {
    for (std::size_t i = 0; i + 1 < op.outputs.size(); ++i)
      outputs_.push_back(plain_layout(op.outputs[i].shape, DType::f32));
    outputs_.push_back(std::make_shared<const RawLayout>(keep_ ? workspace_floats() * sizeof(float) : 0));
    const Table& table = lanes::table();
    packed_floats_ = table.packed_floats(hidden_, state_rows());
    packed_third_floats_ = third_apart() ? table.packed_floats(hidden_, hidden_) : 0;
    Area area;
    reserve_tasks(area);
    workspace_ = area.floats(keep_ ? 0 : static_cast<std::int64_t>(workspace_floats()));
    biases_ = area.floats(directions_ * (rows_ + hidden_));
    zeros_ = area.floats(hidden_);
    packed_ = area.floats(directions_ * packed_floats_);
    packed_third_ = area.floats(directions_ * packed_third_floats_);
    scratch_bytes_ = area.size();
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    const Table& table = lanes::table();
    At at;
    at.h0 = floats_of(inputs, 5);
    at.c0 = floats_of(inputs, 6);
    at.y = static_cast<float*>(outputs[0]);
    at.h = static_cast<float*>(outputs[1]);
    at.c = lstm() ? static_cast<float*>(outputs[2]) : nullptr;
    at.gates = keep_ ? static_cast<float*>(outputs.back()) : place(scratch, workspace_);
    at.extra = at.gates + gates_floats();
    at.zeros = place(scratch, zeros_);
    std::fill_n(at.zeros, hidden_, 0.0f);
    at.biases = place(scratch, biases_);
    add_biases(bias_ ? floats_of(inputs, 3) : nullptr, at.biases);
    at.packed = place(scratch, packed_);
    at.packed_third = place(scratch, packed_third_);
    const float* const r = floats_of(inputs, 2);
    pack(r, 1, hidden_, hidden_, state_rows(), at.packed, packed_floats_);
    if (third_apart())
      pack(r + state_rows() * hidden_, 1, hidden_, hidden_, hidden_, at.packed_third, packed_third_floats_);
    product('N', 'T', steps(), all_rows(), inputs_, floats_of(inputs, 0), inputs_, floats_of(inputs, 1),
            inputs_, at.gates, all_rows());
    const std::int32_t* const lengths = lengths_ ? lengths_of(inputs) : nullptr;
    each_task(lengths, scratch, [&](const Task& task) {
      for (std::int64_t step = 0; step < t_; ++step) {
        Task now = task;
        now.paths = task.paths.first(active(task.paths, step));
        if (now.paths.empty()) break;
        advance(table, at, now, step);
      }
      for (const Path& path : task.paths) finish(at, task.direction, path);
    });
    clear_behind(lengths, at.y, directions_ * hidden_);
    if (keep_ && a_.cell != Cell::rnn) clear_behind(lengths, at.extra, directions_ * hidden_);
  }

 private:
  struct At {
    const float *h0, *c0;
    float *y, *h, *c, *gates, *extra, *zeros, *biases, *packed, *packed_third;
  };

  /// Wb + Rb of each gate; but where the linear map comes before the reset, the third's Rb behind them.
  void add_biases(const float* b, float* sums) const {
    for (std::int64_t d = 0; d < directions_; ++d, sums += rows_ + hidden_) {
      std::fill_n(sums, rows_ + hidden_, 0.0f);
      if (b == nullptr) continue;
      const float *const w = b + d * 2 * rows_, *const r = w + rows_;
      for (std::int64_t j = 0; j < rows_; ++j) {
        const bool apart = before_reset() && j >= 2 * hidden_;
        sums[j] = apart ? w[j] : w[j] + r[j];
        if (apart) sums[hidden_ + j] = r[j];
      }
    }
  }

  /// The state in front of a step; that in front of the step at the length is the last.
  const float* before(const At& at, const float* initial, const float* states, std::int64_t d,
                      const Path& path, std::int64_t step) const {
    if (step > 0) return states + state_at(d, path.sample, time(d, path, step - 1));
    return initial ? initial + end_at(d, path.sample) : at.zeros;
  }

  void advance(const Table& table, const At& at, const Task& task, std::int64_t step) const {
    const std::int64_t d = task.direction;
    const auto count = static_cast<std::int64_t>(task.paths.size());
    const auto state_of = [&](std::int64_t i) {
      const Path& path = task.paths[static_cast<std::size_t>(i)];
      return state_at(d, path.sample, time(d, path, step));
    };
    for (std::int64_t i = 0; i < count; ++i) {
      const Path& path = task.paths[static_cast<std::size_t>(i)];
      task.from[i] = before(at, at.h0, at.y, d, path, step);
      task.to[i] = at.gates + gates_at(d, path.sample, time(d, path, step));
    }
    table.multiply(count, task.from, hidden_, at.packed + d * packed_floats_, state_rows(), task.to, true);
    const float* const bias = at.biases + d * (rows_ + hidden_);
    if (third_apart()) {
      for (std::int64_t i = 0; i < count; ++i) {
        float* const extra = at.extra + state_of(i);
        if (gru()) table.gru_gates(hidden_, bias, task.from[i], task.to[i], extra);
        task.second_from[i] = gru() ? extra : task.from[i];
        task.second_to[i] = gru() ? task.to[i] + 2 * hidden_ : extra;
      }
      table.multiply(count, task.second_from, hidden_, at.packed_third + d * packed_third_floats_, hidden_,
                     task.second_to, gru());
    }
    for (std::int64_t i = 0; i < count; ++i) {
      float *const y = at.y + state_of(i), *const extra = at.extra + state_of(i);
      switch (a_.cell) {
        case Cell::lstm:
          table.lstm(hidden_, bias,
                     before(at, at.c0, at.extra, d, task.paths[static_cast<std::size_t>(i)], step),
                     task.to[i], extra, y);
          break;
        case Cell::gru_linear_before_reset:
          table.gru_before_reset(hidden_, bias, bias + rows_, task.from[i], task.to[i], extra, y);
          break;
        case Cell::gru:
          table.gru_state(hidden_, bias, task.from[i], task.to[i], y);
          break;
        case Cell::rnn:
          table.rnn(hidden_, bias, task.to[i], y);
          break;
      }
    }
  }

  void finish(const At& at, std::int64_t d, const Path& path) const {
    const std::int64_t to = end_at(d, path.sample);
    std::copy_n(before(at, at.h0, at.y, d, path, path.length), hidden_, at.h + to);
    if (lstm()) std::copy_n(before(at, at.c0, at.extra, d, path, path.length), hidden_, at.c + to);
  }

  bool keep_;
  std::size_t workspace_ = 0, biases_ = 0, zeros_ = 0, packed_ = 0, packed_third_ = 0;
  std::int64_t packed_floats_ = 0, packed_third_floats_ = 0;
};

/// Operands: x, w, r, b?, lengths?, h0?, c0?, y, workspace, dy?, dh?, dc?.
class Backward final : public Recurrent {
 public:
  explicit Backward(const Operation& op)
      : Recurrent(op), h0_(present(op.inputs, 5)), c0_(present(op.inputs, 6)) {
    for (const Signature& signature : op.outputs)
      outputs_.push_back(plain_layout(signature.shape, DType::f32));
    const Table& table = lanes::table();
    packed_floats_ = table.packed_floats(state_rows(), hidden_);
    packed_third_floats_ = third_apart() ? table.packed_floats(hidden_, hidden_) : 0;
    const std::int64_t ends = directions_ * n_ * hidden_;
    Area area;
    reserve_tasks(area);
    da_ = area.floats(gates_floats());
    before_ = area.floats(state_floats());
    third_ = area.floats(before_reset() ? state_floats() : 0);
    dh_ = area.floats(ends);
    dc_ = area.floats(lstm() ? ends : 0);
    dreset_ = area.floats(gru() ? ends : 0);
    zeros_ = area.floats(hidden_);
    packed_ = area.floats(directions_ * packed_floats_);
    packed_third_ = area.floats(directions_ * packed_third_floats_);
    sums_ = area.bytes(static_cast<std::size_t>(all_rows() + directions_ * hidden_) * sizeof(double));
    scratch_bytes_ = area.size();
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    const Table& table = lanes::table();
    At at;
    at.h0 = floats_of(inputs, 5);
    at.c0 = floats_of(inputs, 6);
    at.y = floats_of(inputs, 7);
    at.gates = floats_of(inputs, 8);
    at.extra = at.gates + gates_floats();
    at.dy = floats_of(inputs, 9);
    at.da = place(scratch, da_);
    at.before = place(scratch, before_);
    at.third = place(scratch, third_);
    at.dh = place(scratch, dh_);
    at.dc = place(scratch, dc_);
    at.dreset = place(scratch, dreset_);
    at.zeros = place(scratch, zeros_);
    std::fill_n(at.zeros, hidden_, 0.0f);
    begin(floats_of(inputs, 10), at.dh);
    if (lstm()) begin(floats_of(inputs, 11), at.dc);
    at.packed = place(scratch, packed_);
    at.packed_third = place(scratch, packed_third_);
    const float* const r = floats_of(inputs, 2);
    pack(r, hidden_, 1, state_rows(), hidden_, at.packed, packed_floats_);
    if (third_apart())
      pack(r + state_rows() * hidden_, hidden_, 1, hidden_, hidden_, at.packed_third, packed_third_floats_);
    const std::int32_t* const lengths = lengths_ ? lengths_of(inputs) : nullptr;
    each_task(lengths, scratch, [&](const Task& task) {
      for (std::int64_t step = t_; step-- > 0;) {
        Task now = task;
        now.paths = task.paths.first(active(task.paths, step));
        if (!now.paths.empty()) retreat(table, at, now, step);
      }
    });
    clear_behind(lengths, at.da, all_rows());
    clear_behind(lengths, at.before, directions_ * hidden_);
    if (before_reset()) clear_behind(lengths, at.third, directions_ * hidden_);
    weights(table, at, floats_of(inputs, 0), floats_of(inputs, 1), outputs, place<double>(scratch, sums_));
    const std::size_t next = bias_ ? 4 : 3;
    const auto states = static_cast<std::size_t>(directions_ * n_ * hidden_);
    if (h0_) std::copy_n(at.dh, states, static_cast<float*>(outputs[next]));
    if (c0_) std::copy_n(at.dc, states, static_cast<float*>(outputs[next + (h0_ ? 1 : 0)]));
  }

 private:
  struct At {
    const float *h0, *c0, *y, *gates, *extra, *dy;
    float *da, *before, *third, *dh, *dc, *dreset, *zeros, *packed, *packed_third;
  };

  void begin(const float* given, float* at) const {
    const std::int64_t floats = directions_ * n_ * hidden_;
    if (given)
      std::copy_n(given, floats, at);
    else
      std::fill_n(at, floats, 0.0f);
  }

  /// The gradients of one step's gates, and dh of the step in front.
  void retreat(const Table& table, const At& at, const Task& task, std::int64_t step) const {
    const std::int64_t d = task.direction;
    const auto count = static_cast<std::int64_t>(task.paths.size());
    for (std::int64_t i = 0; i < count; ++i) {
      const Path& path = task.paths[static_cast<std::size_t>(i)];
      const std::int64_t now = time(d, path, step), end = end_at(d, path.sample);
      const std::int64_t state = state_at(d, path.sample, now), gate = gates_at(d, path.sample, now);
      const float* before = at.h0 ? at.h0 + end : at.zeros;
      const float* c_before = at.c0 ? at.c0 + end : at.zeros;
      if (step > 0) {
        const std::int64_t past = state_at(d, path.sample, time(d, path, step - 1));
        before = at.y + past;
        c_before = at.extra + past;
      }
      std::copy_n(before, hidden_, at.before + state);
      const float *const gates = at.gates + gate, *const dy = at.dy ? at.dy + state : nullptr;
      float *const da = at.da + gate, *const dh = at.dh + end;
      task.from[i] = da;
      task.to[i] = dh;
      switch (a_.cell) {
        case Cell::lstm:
          table.lstm_grad(hidden_, gates, at.extra + state, c_before, dh, dy, at.dc + end, da);
          break;
        case Cell::gru_linear_before_reset:
          table.gru_before_reset_grad(hidden_, gates, at.extra + state, before, dy, dh, da, at.third + state);
          task.second_from[i] = at.third + state;
          task.second_to[i] = dh;
          break;
        case Cell::gru:
          table.gru_state_grad(hidden_, gates, before, dy, dh, da);
          task.second_from[i] = da + 2 * hidden_;
          task.second_to[i] = at.dreset + end;
          break;
        case Cell::rnn:
          table.rnn_grad(hidden_, gates, dh, dy, da);
          break;
      }
    }
    if (third_apart())
      table.multiply(count, task.second_from, hidden_, at.packed_third + d * packed_third_floats_, hidden_,
                     task.second_to, before_reset());
    for (std::int64_t i = 0; i < count && gru(); ++i) {
      const Path& path = task.paths[static_cast<std::size_t>(i)];
      const std::int64_t now = time(d, path, step), gate = gates_at(d, path.sample, now);
      table.gru_gates_grad(hidden_, at.gates + gate, at.before + state_at(d, path.sample, now),
                           task.second_to[i], task.to[i], at.da + gate);
    }
    table.multiply(count, task.from, state_rows(), at.packed + d * packed_floats_, hidden_, task.to,
                   third_apart());
  }

  /// dx, dw, dr and db, each a product or a sum over all steps.
  void weights(const Table& table, const At& at, const float* x, const float* w,
               std::span<void* const> outputs, double* sums) const {
    const std::int64_t all = all_rows(), states = directions_ * hidden_;
    product('N', 'N', steps(), inputs_, all, at.da, all, w, inputs_, static_cast<float*>(outputs[0]),
            inputs_);
    product('T', 'N', all, inputs_, steps(), at.da, all, x, inputs_, static_cast<float*>(outputs[1]),
            inputs_);
    for (std::int64_t d = 0; d < directions_; ++d) {
      const float *const da = at.da + d * rows_, *const before = at.before + d * hidden_;
      float* const dr = static_cast<float*>(outputs[2]) + d * rows_ * hidden_;
      const std::int64_t alike = state_rows();
      product('T', 'N', alike, hidden_, steps(), da, all, before, states, dr, hidden_);
      float* const third = dr + alike * hidden_;
      if (gru())
        product('T', 'N', hidden_, hidden_, steps(), da + alike, all, at.extra + d * hidden_, states, third,
                hidden_);
      if (before_reset())
        product('T', 'N', hidden_, hidden_, steps(), at.third + d * hidden_, states, before, states, third,
                hidden_);
    }
    if (!bias_) return;
    table.column_sums(at.da, all, steps(), all, sums);
    if (before_reset()) table.column_sums(at.third, states, steps(), states, sums + all);
    auto* const db = static_cast<float*>(outputs[3]);
    for (std::int64_t d = 0; d < directions_; ++d)
      for (std::int64_t j = 0; j < rows_; ++j) {
        const bool apart = before_reset() && j >= 2 * hidden_;
        const double in = sums[d * rows_ + j];
        db[d * 2 * rows_ + j] = static_cast<float>(in);
        db[(d * 2 + 1) * rows_ + j] =
            static_cast<float>(apart ? sums[all + d * hidden_ + j - 2 * hidden_] : in);
      }
  }

  bool h0_, c0_;
  std::size_t da_ = 0, before_ = 0, third_ = 0, dh_ = 0, dc_ = 0, dreset_ = 0, zeros_ = 0, packed_ = 0,
              packed_third_ = 0, sums_ = 0;
  std::int64_t packed_floats_ = 0, packed_third_floats_ = 0;
};

bool all_plain(const Operation& op) {
  return std::all_of(op.inputs.begin(), op.inputs.end(), [](const Operand& operand) {
    return !operand.layout || dynamic_cast<const RawLayout*>(operand.layout.get()) || is_plain(operand);
  });
}

}  // namespace

std::unique_ptr<Kernel> recurrent_kernel(const Operation& op) {
  if (op.kind != Kind::recurrent && op.kind != Kind::recurrent_grad) return nullptr;
  if (!all_plain(op) || op.inputs[0].shape.elements() == 0) return fallback(op);
  if (op.kind == Kind::recurrent) return std::make_unique<Forward>(op);
  return std::make_unique<Backward>(op);
}

}  // namespace trainyard::ops::cpu
