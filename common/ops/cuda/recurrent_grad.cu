// The gradient of recurrent cells: from the last step to the first a kernel of the cell and a product that
// takes its gates' gradients to the state in front; then products over all steps for inputs and weights.
#include <algorithm>

#include "common/ops/cuda/columns.hpp"
#include "common/ops/cuda/recurrent.hpp"

namespace trainyard::ops::cuda {
namespace {

template <typename T>
struct BeginGrad {
  const T* from;  // null: zeros
  float* to;
  __device__ void operator()(std::int64_t i) const { to[i] = from != nullptr ? widen(from[i]) : 0.0f; }
};

template <typename T>
struct StoreGrad {
  const float* from;
  T* to;
  __device__ void operator()(std::int64_t i) const { to[i] = narrow<T>(from[i]); }
};

/// Takes one value of one sequence's state a step back. `gates` [N, G H]: gradients of this step's gates in
/// front of their functions, for the product; `da`, `du` [N T, G H]: the same at their times, as the input
/// and as the state see them; `before`, `reset` [N T, H]: the states that the products of the step read. What
/// the product adds to `dh` begins with what goes around it. A gru whose linear map stands behind the reset
/// has a second half, when `dreset` [N, H] is there.
template <typename T>
struct BackEach {
  Cells s;
  std::int64_t direction, step;
  bool second_half;
  const std::int32_t* lengths;
  const T *h0, *c0, *y, *dy;
  const float *kept, *dreset;
  float *dh, *dc;
  T *gates, *da, *du, *before, *reset;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t n = i / s.hidden, j = i % s.hidden, length = s.length(lengths, n),
                       row = s.gates * s.hidden;
    T* const now = gates + n * row + j;
    if (step >= length) {
      if (!second_half)
        for (std::int64_t gate = 0; gate < s.gates; ++gate) now[gate * s.hidden] = narrow<T>(0.0f);
      return;
    }
    const std::int64_t t = s.time(direction, length, step), place = (n * s.t + t) * row + j,
                       past = step > 0 ? s.time(direction, length, step - 1) : 0;
    const float* const at = kept + s.kept_at(direction, n, t) + j;
    const auto gate = [&](std::int64_t g) { return at[g * s.hidden]; };
    const auto bend = [&](std::int64_t g) { return gate(g) * (1 - gate(g)); };
    const auto give = [&](std::int64_t g, float input, float state) {
      now[g * s.hidden] = narrow<T>(state);
      da[place + g * s.hidden] = narrow<T>(input);
      if (du != da) du[place + g * s.hidden] = narrow<T>(state);
    };
    const float front = step > 0        ? widen(y[s.y_at(direction, n, past) + j])
                        : h0 != nullptr ? widen(h0[i])
                                        : 0.0f;
    if (second_half) {
      const float through = dreset[i];
      const float dr = through * front * bend(1);
      give(1, dr, dr);
      dh[i] += through * gate(1);
      return;
    }
    before[(n * s.t + t) * s.hidden + j] = narrow<T>(front);
    const float slope = dh[i] + (dy != nullptr ? widen(dy[s.y_at(direction, n, t) + j]) : 0.0f);
    switch (s.cell) {
      case Cell::lstm: {
        const float bent = std::tanh(gate(4));
        const float cell = step > 0        ? kept[s.kept_at(direction, n, past) + 4 * s.hidden + j]
                           : c0 != nullptr ? widen(c0[i])
                                           : 0.0f;
        const float through = dc[i] + slope * gate(1) * (1 - bent * bent);
        const float din = through * gate(3) * bend(0), dout = slope * bent * bend(1),
                    dforget = through * cell * bend(2), dfresh = through * gate(0) * (1 - gate(3) * gate(3));
        give(0, din, din);
        give(1, dout, dout);
        give(2, dforget, dforget);
        give(3, dfresh, dfresh);
        dc[i] = through * gate(2);
        dh[i] = 0;
        break;
      }
      case Cell::rnn: {
        const float da0 = slope * (1 - gate(0) * gate(0));
        give(0, da0, da0);
        dh[i] = 0;
        break;
      }
      default: {
        const float dn = slope * (1 - gate(0)) * (1 - gate(2) * gate(2));
        const float dz = slope * (front - gate(2)) * bend(0);
        give(0, dz, dz);
        dh[i] = slope * gate(0);
        if (s.cell == Cell::gru) {
          give(2, dn, dn);
          reset[(n * s.t + t) * s.hidden + j] = narrow<T>(front * gate(1));
        } else {
          const float dr = dn * gate(3) * bend(1);
          give(1, dr, dr);
          give(2, dn, dn * gate(1));
        }
        break;
      }
    }
  }
};

template <typename T>
struct GateValue {
  std::int64_t row;
  const T *da, *du;
  __device__ ColumnSums operator()(std::int64_t r, std::int64_t c) const {
    return {widen(da[r * row + c]), widen(du[r * row + c])};
  }
};
template <typename T>
struct StoreBias {
  std::int64_t row;
  T* db;
  __device__ void operator()(std::int64_t c, double of_input, double of_state) const {
    db[c] = narrow<T>(static_cast<float>(of_input));
    db[row + c] = narrow<T>(static_cast<float>(of_state));
  }
};

}  // namespace

/// Operands: x, w, r, b?, lengths?, h0?, c0?, y, workspace, dy?, dh?, dc?.
Result<KernelPtr> recurrent_grad(const Operation& op, Queue& queue) {
  const Cells s(op.inputs[0].shape, op.inputs[2].shape, op.attributes);
  const DType type = op.inputs[0].type;
  const auto there = [&](std::size_t i) { return present(op.inputs, i); };
  const bool bias = there(3), h0 = there(5), c0 = there(6), lstm = s.cell == Cell::lstm;
  for (const Signature& of : op.outputs)
    if (of.type != type) return KernelPtr();
  const std::int64_t rows = s.n * s.t, row = s.row(), h = s.hidden;
  std::size_t workspace_bytes = 0;
  const auto product = [&](GemmSpec spec) {
    spec.in = type;
    return CellProduct::make(queue, spec, workspace_bytes);
  };
  // Into the state in front: of all gates, or, of a gru, of the reset state and of the first two gates.
  auto back = product({.m = s.n,
                       .n = h,
                       .k = s.gru() ? 2 * h : row,
                       .row_a = row,
                       .row_b = h,
                       .row_d = h,
                       .accumulate = true});
  auto back_reset = product({.m = s.n, .n = h, .k = h, .row_a = row, .row_b = h, .row_d = h});
  auto to_x = product(
      {.m = rows, .n = s.inputs, .k = row, .row_a = row, .row_b = s.inputs, .row_d = s.inputs, .out = type});
  auto more_to_x = product({.m = rows,
                            .n = s.inputs,
                            .k = row,
                            .row_a = row,
                            .row_b = s.inputs,
                            .row_d = s.inputs,
                            .out = type,
                            .accumulate = true});
  auto to_w = product({.m = row,
                       .n = s.inputs,
                       .k = rows,
                       .transpose_a = true,
                       .row_a = row,
                       .row_b = s.inputs,
                       .row_d = s.inputs,
                       .out = type});
  auto to_r = product({.m = s.gru() ? 2 * h : row,
                       .n = h,
                       .k = rows,
                       .transpose_a = true,
                       .row_a = row,
                       .row_b = h,
                       .row_d = h,
                       .out = type});
  auto to_r2 = product(
      {.m = h, .n = h, .k = rows, .transpose_a = true, .row_a = row, .row_b = h, .row_d = h, .out = type});
  for (const auto* made : {&back, &back_reset, &to_x, &more_to_x, &to_w, &to_r, &to_r2})
    if (!*made) return made->error();
  const bool apart = s.cell == Cell::gru_linear_before_reset;  // du is not da
  const std::size_t width = tensor::size_of(type);
  const auto bytes = [width](std::int64_t count) { return static_cast<std::size_t>(count) * width; };
  Area area;
  const std::size_t dh_at = area.add<float>(s.states()), dc_at = area.add<float>(s.states());
  const std::size_t dreset_at = area.add<float>(s.states()), gates_at = area.add(bytes(s.n * row));
  const std::size_t zeros_from = area.bytes();
  const std::size_t da_at = area.add(bytes(rows * row)), du_at = area.add(apart ? bytes(rows * row) : 0);
  const std::size_t before_at = area.add(bytes(rows * h)), reset_at = area.add(s.gru() ? bytes(rows * h) : 0);
  const std::size_t zeros_until = area.bytes();
  const std::size_t columns_at = area.add(bias ? column_bytes(rows, row) : 0);
  const std::size_t products_at = area.add(workspace_bytes);
  const std::size_t dh0_at = bias ? 4 : 3, dc0_at = dh0_at + (h0 ? 1 : 0);
  return by_real(type, [&]<typename T>(T) -> KernelPtr {
    auto kernel =
        closure(op, [=, &queue, back = *back, back_reset = *back_reset, to_x = *to_x, more_to_x = *more_to_x,
                     to_w = *to_w, to_r = *to_r, to_r2 = *to_r2](const At& at) {
          void* const products = at.scratch(products_at);
          auto *const dh = at.scratch<float>(dh_at), *const dc = at.scratch<float>(dc_at),
                      *const dreset = at.scratch<float>(dreset_at);
          T *const gates = at.scratch<T>(gates_at), *const da = at.scratch<T>(da_at),
                   *const du = apart ? at.scratch<T>(du_at) : da, *const before = at.scratch<T>(before_at),
                   *const reset = at.scratch<T>(reset_at);
          for (std::int64_t d = 0; d < s.directions; ++d) {
            const T *const w = at.in<T>(1) + d * row * s.inputs, *const r = at.in<T>(2) + d * row * h;
            const auto of = [&](std::size_t index) {
              return at.in<T>(index) != nullptr ? at.in<T>(index) + d * s.states() : nullptr;
            };
            zero(queue, at.scratch(zeros_from), zeros_until - zeros_from);
            each(queue, s.states(), BeginGrad<T>{of(10), dh});
            if (lstm) each(queue, s.states(), BeginGrad<T>{of(11), dc});
            BackEach<T> one{s,      d,      0,           false,       at.in<std::int32_t>(4),
                            of(5),  of(6),  at.in<T>(7), at.in<T>(9), at.in<float>(8),
                            dreset, dh,     dc,          gates,       da,
                            du,     before, reset};
            for (one.step = s.t - 1; one.step >= 0; --one.step) {
              each(queue, s.states(), one);
              if (s.gru()) {
                back_reset(gates + 2 * h, r + 2 * h * h, dreset, products);
                one.second_half = true;
                each(queue, s.states(), one);
                one.second_half = false;
              }
              back(gates, r, dh, products);
            }
            (d == 0 ? to_x : more_to_x)(da, w, at.out(0), products);
            to_w(da, at.in(0), at.out<T>(1) + d * row * s.inputs, products);
            T* const dr = at.out<T>(2) + d * row * h;
            to_r(du, before, dr, products);
            if (s.gru()) to_r2(du + 2 * h, reset, dr + 2 * h * h, products);
            if (bias)
              sum_columns(queue, rows, row, at.scratch(columns_at), GateValue<T>{row, da, du},
                          StoreBias<T>{row, at.out<T>(3) + d * 2 * row});
            if (h0) each(queue, s.states(), StoreGrad<T>{dh, at.out<T>(dh0_at) + d * s.states()});
            if (c0) each(queue, s.states(), StoreGrad<T>{dc, at.out<T>(dc0_at) + d * s.states()});
          }
        });
    kernel->needs(area.bytes());
    return kernel;
  });
}

}  // namespace trainyard::ops::cuda
