#include "common/ops/cpu/recurrent.hpp"

namespace trainyard::ops::cpu {
namespace {

class Forward final : public Recurrent {
 public:
  explicit Forward(const Operation& op) : Recurrent(op), keep_(op.attributes.workspace) {
    for (std::size_t i = 0; i + 1 < op.outputs.size(); ++i)
      outputs_.push_back(plain_layout(op.outputs[i].shape, DType::f32));
    outputs_.push_back(std::make_shared<const RawLayout>(keep_ ? workspace_floats() * sizeof(float) : 0));
    const Table& table = lanes::table();
    packed_floats_ = table.packed_floats(hidden_, state_rows());
    packed_third_floats_ = third_apart() ? table.packed_floats(hidden_, hidden_) : 0;
    packed_input_floats_ = stepwise() ? table.packed_floats(inputs_, rows_) : 0;
    Area area;
    reserve_tasks(area);
    workspace_ = area.floats(keep_ ? 0 : static_cast<std::int64_t>(workspace_floats()));
    biases_ = area.floats(directions_ * (rows_ + hidden_));
    zeros_ = area.floats(hidden_);
    packed_ = area.floats(directions_ * packed_floats_);
    packed_third_ = area.floats(directions_ * packed_third_floats_);
    packed_input_ = area.floats(directions_ * packed_input_floats_);
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
    pack(r, rows_ * hidden_, 1, hidden_, hidden_, state_rows(), at.packed, packed_floats_);
    if (third_apart())
      pack(r + state_rows() * hidden_, rows_ * hidden_, 1, hidden_, hidden_, hidden_, at.packed_third,
           packed_third_floats_);
    at.x = floats_of(inputs, 0);
    at.packed_input = place(scratch, packed_input_);
    if (stepwise())
      pack(floats_of(inputs, 1), rows_ * inputs_, 1, inputs_, inputs_, rows_, at.packed_input,
           packed_input_floats_);
    else
      product('N', 'T', steps(), all_rows(), inputs_, at.x, inputs_, floats_of(inputs, 1), inputs_, at.gates,
              all_rows());
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
    const float *x, *h0, *c0;
    float *y, *h, *c, *gates, *extra, *zeros, *biases, *packed, *packed_third, *packed_input;
  };

  /// Enough sequences that a product of one step keeps the registers busy. Says the same for any number of
  /// threads, as the bits depend on it.
  bool stepwise() const { return n_ >= 16; }

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
      task.from[i] = task.states + i * hidden_;
      task.to[i] = task.gates + i * rows_;
      std::copy_n(before(at, at.h0, at.y, d, path, step), hidden_, task.states + i * hidden_);
      const std::int64_t now = time(d, path, step);
      if (stepwise()) {
        task.second_from[i] = task.inputs + i * inputs_;
        std::copy_n(at.x + row(path.sample, now) * inputs_, inputs_, task.inputs + i * inputs_);
      } else {
        std::copy_n(at.gates + gates_at(d, path.sample, now), rows_, task.to[i]);
      }
    }
    if (stepwise())
      table.multiply(count, task.second_from, inputs_, at.packed_input + d * packed_input_floats_, rows_,
                     task.to, false);
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
      const Path& path = task.paths[static_cast<std::size_t>(i)];
      if (keep_) std::copy_n(task.to[i], rows_, at.gates + gates_at(d, path.sample, time(d, path, step)));
    }
  }

  void finish(const At& at, std::int64_t d, const Path& path) const {
    const std::int64_t to = end_at(d, path.sample);
    std::copy_n(before(at, at.h0, at.y, d, path, path.length), hidden_, at.h + to);
    if (lstm()) std::copy_n(before(at, at.c0, at.extra, d, path, path.length), hidden_, at.c + to);
  }

  bool keep_;
  std::size_t workspace_ = 0, biases_ = 0, zeros_ = 0, packed_ = 0, packed_third_ = 0, packed_input_ = 0;
  std::int64_t packed_floats_ = 0, packed_third_floats_ = 0, packed_input_floats_ = 0;
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
  return recurrent_grad(op);
}

}  // namespace trainyard::ops::cpu
