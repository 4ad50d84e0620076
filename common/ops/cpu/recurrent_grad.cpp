#include "common/ops/cpu/recurrent.hpp"

namespace trainyard::ops::cpu {
namespace {

class Backward final : public Recurrent {
 public:
  explicit Backward(const Operation& op)
      : Recurrent(op), dx_(op.read(0)), h0_(present(op.inputs, 5)), c0_(present(op.inputs, 6)) {
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
    pack(r, rows_ * hidden_, hidden_, 1, state_rows(), hidden_, at.packed, packed_floats_);
    if (third_apart())
      pack(r + state_rows() * hidden_, rows_ * hidden_, hidden_, 1, hidden_, hidden_, at.packed_third,
           packed_third_floats_);
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
      float *const da = task.gates + i * rows_, *const dh = at.dh + end;
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
      if (!gru()) std::copy_n(da, rows_, at.da + gate);
    }
    if (third_apart())
      table.multiply(count, task.second_from, hidden_, at.packed_third + d * packed_third_floats_, hidden_,
                     task.second_to, before_reset());
    for (std::int64_t i = 0; i < count && gru(); ++i) {
      const Path& path = task.paths[static_cast<std::size_t>(i)];
      const std::int64_t now = time(d, path, step), gate = gates_at(d, path.sample, now);
      float* const da = task.gates + i * rows_;
      table.gru_gates_grad(hidden_, at.gates + gate, at.before + state_at(d, path.sample, now),
                           task.second_to[i], task.to[i], da);
      std::copy_n(da, rows_, at.da + gate);
    }
    table.multiply(count, task.from, state_rows(), at.packed + d * packed_floats_, hidden_, task.to,
                   third_apart());
  }

  /// dx, dw, dr and db, each a product or a sum over all steps.
  void weights(const Table& table, const At& at, const float* x, const float* w,
               std::span<void* const> outputs, double* sums) const {
    const std::int64_t all = all_rows(), states = directions_ * hidden_;
    if (dx_)
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

  bool dx_, h0_, c0_;
  std::size_t da_ = 0, before_ = 0, third_ = 0, dh_ = 0, dc_ = 0, dreset_ = 0, zeros_ = 0, packed_ = 0,
              packed_third_ = 0, sums_ = 0;
  std::int64_t packed_floats_ = 0, packed_third_floats_ = 0;
};

}  // namespace

std::unique_ptr<Kernel> recurrent_grad(const Operation& op) { return std::make_unique<Backward>(op); }

}  // namespace trainyard::ops::cpu
