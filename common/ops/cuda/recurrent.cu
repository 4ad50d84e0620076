// Recurrent cells: one product for all inputs, then step by step a product of the states and a kernel of the
// cell. Sequences that have ended keep their state.
#include <algorithm>

#include "common/ops/cuda/recurrent.hpp"

namespace trainyard::ops::cuda {
namespace {

template <typename T>
struct Begin {
  const T* from;  // null: zeros
  T* h;
  float* c;
  __device__ void operator()(std::int64_t i) const {
    const float value = from != nullptr ? widen(from[i]) : 0.0f;
    if (h != nullptr) h[i] = narrow<T>(value);
    if (c != nullptr) c[i] = value;
  }
};

template <typename T>
struct Finish {
  const float* from;
  T* to;
  __device__ void operator()(std::int64_t i) const { to[i] = narrow<T>(from[i]); }
};

/// One value of one sequence's state. `first_half`: of a gru whose linear map stands behind the reset, all
/// but the new state; the second half comes when that map is done.
template <typename T>
struct StepEach {
  Cells s;
  std::int64_t direction, step;
  bool first_half;
  const std::int32_t* lengths;
  const float *a, *u, *u2;  // [N T, G H], [N, G H], of the reset state [N, H]
  const T* b;               // of the direction; or null
  T *h, *reset, *y;
  float *c, *kept;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t n = i / s.hidden, j = i % s.hidden, length = s.length(lengths, n);
    if (step >= length) {
      if (first_half) reset[i] = narrow<T>(0.0f);
      return;
    }
    const std::int64_t t = s.time(direction, length, step), row = s.gates * s.hidden;
    const auto of_input = [&](std::int64_t gate) {
      const float bias = b != nullptr ? widen(b[gate * s.hidden + j]) : 0.0f;
      return a[(n * s.t + t) * row + gate * s.hidden + j] + bias;
    };
    const auto bias_of_state = [&](std::int64_t gate) {
      return b != nullptr ? widen(b[row + gate * s.hidden + j]) : 0.0f;
    };
    const auto of_state = [&](std::int64_t gate) {
      return u[n * row + gate * s.hidden + j] + bias_of_state(gate);
    };
    float* const at = kept != nullptr ? kept + s.kept_at(direction, n, t) + j : nullptr;
    const auto keep = [&](std::int64_t gate, float value) {
      if (at != nullptr) at[gate * s.hidden] = value;
    };
    float state = 0;
    switch (s.cell) {
      case Cell::lstm: {
        const float in = logistic(of_input(0) + of_state(0)), out = logistic(of_input(1) + of_state(1)),
                    forget = logistic(of_input(2) + of_state(2)),
                    fresh = std::tanh(of_input(3) + of_state(3));
        const float next = forget * c[i] + in * fresh;
        c[i] = next;
        state = out * std::tanh(next);
        keep(0, in);
        keep(1, out);
        keep(2, forget);
        keep(3, fresh);
        keep(4, next);
        break;
      }
      case Cell::rnn:
        state = std::tanh(of_input(0) + of_state(0));
        keep(0, state);
        keep(1, 0);
        break;
      default: {
        const float z = logistic(of_input(0) + of_state(0)), r = logistic(of_input(1) + of_state(1));
        if (first_half) {
          reset[i] = narrow<T>(r * widen(h[i]));
          return;
        }
        const float through = s.cell == Cell::gru ? u2[i] + bias_of_state(2) : r * of_state(2);
        const float fresh = std::tanh(of_input(2) + through);
        state = (1 - z) * fresh + z * widen(h[i]);
        keep(0, z);
        keep(1, r);
        keep(2, fresh);
        keep(3, of_state(2));
        break;
      }
    }
    h[i] = narrow<T>(state);
    y[s.y_at(direction, n, t) + j] = narrow<T>(state);
  }
};

/// Operands: x, w, r, b?, lengths?, h0?, c0?.
Result<KernelPtr> recurrent(const Operation& op, Queue& queue) {
  const Cells s(op.inputs[0].shape, op.inputs[2].shape, op.attributes);
  const DType type = op.inputs[0].type;
  const bool lstm = s.cell == Cell::lstm, keep = op.attributes.workspace;
  std::vector<LayoutPtr> outputs;
  for (std::size_t i = 0; i + 1 < op.outputs.size(); ++i)
    outputs.push_back(plain_layout(op.outputs[i].shape, op.outputs[i].type));
  outputs.push_back(raw_layout(keep ? s.workspace_bytes() : 0));
  const std::size_t last = outputs.size() - 1, y_bytes = outputs[0]->bytes;
  std::size_t workspace_bytes = 0;
  auto of_inputs = CellProduct::make(queue,
                                     {.m = s.n * s.t,
                                      .n = s.row(),
                                      .k = s.inputs,
                                      .transpose_b = true,
                                      .row_a = s.inputs,
                                      .row_b = s.inputs,
                                      .row_d = s.row(),
                                      .in = type},
                                     workspace_bytes);
  auto of_states = CellProduct::make(queue,
                                     {.m = s.n,
                                      .n = s.row(),
                                      .k = s.hidden,
                                      .transpose_b = true,
                                      .row_a = s.hidden,
                                      .row_b = s.hidden,
                                      .row_d = s.row(),
                                      .in = type},
                                     workspace_bytes);
  auto of_reset = CellProduct::make(queue,
                                    {.m = s.n,
                                     .n = s.hidden,
                                     .k = s.hidden,
                                     .transpose_b = true,
                                     .row_a = s.hidden,
                                     .row_b = s.hidden,
                                     .row_d = s.hidden,
                                     .in = type},
                                    workspace_bytes);
  for (const auto* made : {&of_inputs, &of_states, &of_reset})
    if (!*made) return made->error();
  Area area;
  const std::size_t a_at = area.add<float>(s.n * s.t * s.row()), u_at = area.add<float>(s.n * s.row());
  const std::size_t u2_at = area.add<float>(s.states()), c_at = area.add<float>(s.states());
  const std::size_t h_at = area.add<float>(s.states()), reset_at = area.add<float>(s.states());
  const std::size_t products_at = area.add(workspace_bytes);
  return by_real(type, [&]<typename T>(T) -> KernelPtr {
    auto kernel = std::make_unique<Closure>(
        outputs,
        [=, &queue, of_inputs = *of_inputs, of_states = *of_states, of_reset = *of_reset](const At& at) {
          auto *const a = at.scratch<float>(a_at), *const u = at.scratch<float>(u_at),
                      *const u2 = at.scratch<float>(u2_at), *const c = at.scratch<float>(c_at);
          auto *const h = at.scratch<T>(h_at), *const reset = at.scratch<T>(reset_at);
          void* const products = at.scratch(products_at);
          zero(queue, at.out(0), y_bytes);
          if (keep) zero(queue, at.out(last), s.workspace_bytes());
          for (std::int64_t d = 0; d < s.directions; ++d) {
            const T *const w = at.in<T>(1) + d * s.row() * s.inputs, *const r =
                                                                         at.in<T>(2) + d * s.row() * s.hidden;
            const auto of = [&](std::size_t index, std::int64_t step) {
              return at.in<T>(index) != nullptr ? at.in<T>(index) + d * step : nullptr;
            };
            of_inputs(at.in(0), w, a, products);
            each(queue, s.states(), Begin<T>{of(5, s.states()), h, nullptr});
            if (lstm) each(queue, s.states(), Begin<T>{of(6, s.states()), nullptr, c});
            StepEach<T> one{s,
                            d,
                            0,
                            s.gru(),
                            at.in<std::int32_t>(4),
                            a,
                            u,
                            u2,
                            of(3, 2 * s.row()),
                            h,
                            reset,
                            at.out<T>(0),
                            c,
                            keep ? at.out<float>(last) : nullptr};
            for (one.step = 0; one.step < s.t; ++one.step) {
              of_states(h, r, u, products);
              if (s.gru()) {
                one.first_half = true;
                each(queue, s.states(), one);
                of_reset(reset, r + 2 * s.hidden * s.hidden, u2, products);
                one.first_half = false;
              }
              each(queue, s.states(), one);
            }
            copy(queue, at.out<T>(1) + d * s.states(), h, static_cast<std::size_t>(s.states()) * sizeof(T));
            if (lstm) each(queue, s.states(), Finish<T>{c, at.out<T>(2) + d * s.states()});
          }
        });
    kernel->needs(area.bytes());
    return kernel;
  });
}

}  // namespace

Result<KernelPtr> recurrent_grad(const Operation&, Queue&);

Result<KernelPtr> recurrent_kernel(const Operation& op, Queue& queue) {
  if (op.kind != Kind::recurrent && op.kind != Kind::recurrent_grad) return KernelPtr();
  if (op.inputs[0].shape.elements() == 0 || op.inputs[2].shape.elements() == 0) return KernelPtr();
  for (const std::size_t i : {1, 2, 3, 5, 6})
    if (present(op.inputs, i) && op.inputs[i].type != op.inputs[0].type) return KernelPtr();
  return op.kind == Kind::recurrent ? recurrent(op, queue) : recurrent_grad(op, queue);
}

}  // namespace trainyard::ops::cuda
