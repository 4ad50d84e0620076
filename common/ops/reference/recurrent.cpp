#include <cmath>

#include "common/ops/functions.hpp"
#include "common/ops/reference/reference.hpp"

// The equations of ONNX's LSTM, GRU and RNN. With a = W x + Wb and u = R h + Rb, gate by gate, s the logistic
// function and * between vectors value by value:
//   lstm: i = s(a0 + u0), o = s(a1 + u1), f = s(a2 + u2), g = tanh(a3 + u3); c = f * c + i * g; h = o *
//   tanh(c) gru:  z = s(a0 + u0), r = s(a1 + u1), n = tanh(a2 + R2 (r * h) + Rb2) or, with the linear map in
//   front of
//         the reset, tanh(a2 + r * u2); h = (1 - z) * n + z * h
//   rnn:  h = tanh(a0 + u0)
// Source: ONNX, Operators.md, LSTM (Hochreiter, Schmidhuber, 1997), GRU (Cho and others, 2014).
namespace trainyard::ops::reference {
namespace {

using Row = std::vector<double>;

struct Sizes {
  Sizes(const Shape& x, const Shape& r, const Attributes& a)
      : n(x[0]),
        t(x[1]),
        inputs(x[2]),
        hidden(r[2]),
        gates(r[1] / r[2]),
        directions(r[0]),
        cell(a.cell),
        reverse(a.direction == Direction::reverse) {}
  /// The time of step `step` of a sequence with `length` steps.
  std::int64_t time(std::int64_t direction, std::int64_t length, std::int64_t step) const {
    return reverse || direction == 1 ? length - 1 - step : step;
  }
  std::int64_t y_at(std::int64_t direction, std::int64_t in, std::int64_t it) const {
    return ((in * t + it) * directions + direction) * hidden;
  }
  /// What the workspace keeps of one step: its gates, and one more row: c, or R2 h + Rb2 of a gru.
  std::int64_t kept() const { return (gates + 1) * hidden; }
  std::int64_t kept_at(std::int64_t direction, std::int64_t in, std::int64_t it) const {
    return ((direction * n + in) * t + it) * kept();
  }
  std::size_t workspace_bytes() const {
    return static_cast<std::size_t>(directions * n * t * kept()) * sizeof(double);
  }
  std::int64_t n, t, inputs, hidden, gates, directions;
  Cell cell;
  bool reverse;
};

/// Operands of both kinds, by name; absent ones are null.
template <typename Real>
struct Weights {
  Weights(const Sizes& sizes, const Operands& at, std::size_t operands, std::int64_t direction)
      : s(sizes),
        w(at.in<Real>(1) + direction * s.gates * s.hidden * s.inputs),
        r(at.in<Real>(2) + direction * s.gates * s.hidden * s.hidden),
        b(operands > 3 && at.in<Real>(3) ? at.in<Real>(3) + direction * 2 * s.gates * s.hidden : nullptr) {}
  std::int64_t length(const Operands& at, std::size_t operands, std::int64_t n) const {
    if (operands <= 4 || at.in<std::int32_t>(4) == nullptr) return s.t;
    const std::int64_t length = at.in<std::int32_t>(4)[n];
    check(length >= 0 && length <= s.t, "the length of a sequence is within its time steps");
    return length;
  }
  /// One gate's share of the input, and of the state.
  double a(const Real* x, std::int64_t gate, std::int64_t j) const {
    double sum = b ? b[gate * s.hidden + j] : Real{0};
    for (std::int64_t i = 0; i < s.inputs; ++i) sum += double(w[(gate * s.hidden + j) * s.inputs + i]) * x[i];
    return sum;
  }
  double u(const Row& h, std::int64_t gate, std::int64_t j) const {
    double sum = b ? b[(s.gates + gate) * s.hidden + j] : Real{0};
    for (std::int64_t i = 0; i < s.hidden; ++i)
      sum += double(r[(gate * s.hidden + j) * s.hidden + i]) * h[static_cast<std::size_t>(i)];
    return sum;
  }
  const Sizes& s;
  const Real *w, *r, *b;
};

template <typename Real>
Row initial(const Sizes& s, const Operands& at, std::size_t operands, std::size_t operand,
            std::int64_t direction, std::int64_t n) {
  Row row(static_cast<std::size_t>(s.hidden), 0.0);
  if (operands <= operand || at.in<Real>(operand) == nullptr) return row;
  const Real* from = at.in<Real>(operand) + (direction * s.n + n) * s.hidden;
  row.assign(from, from + s.hidden);
  return row;
}

/// Brings h and c one step forward and writes what the gradient needs of it.
template <typename Real>
void advance(const Weights<Real>& weights, const Real* x, Row& h, Row& c, double* kept) {
  const Sizes& s = weights.s;
  const Row before = h;
  const auto sum = [&](std::int64_t gate, std::int64_t j) {
    return weights.a(x, gate, j) + weights.u(before, gate, j);
  };
  double* const extra = kept + s.gates * s.hidden;
  for (std::int64_t j = 0; j < s.hidden; ++j)
    for (std::int64_t gate = 0; gate < s.gates; ++gate) {
      double& value = kept[gate * s.hidden + j];
      if (s.cell == Cell::rnn || (s.cell == Cell::lstm && gate == 3))
        value = std::tanh(sum(gate, j));
      else if (s.cell == Cell::lstm || gate < 2)
        value = sigmoid(sum(gate, j));
    }
  const auto kept_of = [&](std::int64_t gate, std::int64_t j) { return kept[gate * s.hidden + j]; };
  if (s.cell == Cell::gru || s.cell == Cell::gru_linear_before_reset) {
    Row reset = before;
    for (std::int64_t j = 0; j < s.hidden; ++j) reset[j] *= kept_of(1, j);
    for (std::int64_t j = 0; j < s.hidden; ++j) {
      extra[j] = weights.u(before, 2, j);
      const double state = s.cell == Cell::gru ? weights.u(reset, 2, j) : kept_of(1, j) * extra[j];
      kept[2 * s.hidden + j] = std::tanh(weights.a(x, 2, j) + state);
    }
  }
  for (std::int64_t j = 0; j < s.hidden; ++j) {
    if (s.cell == Cell::lstm) {
      c[j] = kept_of(2, j) * c[j] + kept_of(0, j) * kept_of(3, j);
      h[j] = kept_of(1, j) * std::tanh(c[j]);
      extra[j] = c[j];
    } else if (s.cell == Cell::rnn) {
      h[j] = kept_of(0, j);
      extra[j] = 0;
    } else {
      h[j] = (1 - kept_of(0, j)) * kept_of(2, j) + kept_of(0, j) * before[j];
    }
  }
}

template <typename Real>
std::unique_ptr<Kernel> recurrent(const Operation& op) {
  const Sizes s(op.inputs[0].shape, op.inputs[2].shape, op.attributes);
  const std::size_t operands = op.inputs.size();
  const bool lstm = s.cell == Cell::lstm, keep = op.attributes.workspace;
  std::vector<LayoutPtr> outputs;
  for (std::size_t i = 0; i + 1 < op.outputs.size(); ++i)
    outputs.push_back(plain_layout<Real>(op.outputs[i].shape));
  outputs.push_back(bytes_layout(keep ? s.workspace_bytes() : 0));
  const std::size_t workspace = outputs.size() - 1;
  return std::make_unique<LoopKernel>(std::move(outputs), [=](const Operands& at) {
    std::fill_n(at.out<Real>(0), s.n * s.t * s.directions * s.hidden, Real{0});
    if (keep) std::fill_n(at.out<std::byte>(workspace), s.workspace_bytes(), std::byte{0});
    Row unkept(static_cast<std::size_t>(s.kept()));
    for (std::int64_t d = 0; d < s.directions; ++d) {
      const Weights<Real> weights(s, at, operands, d);
      for (std::int64_t n = 0; n < s.n; ++n) {
        Row h = initial<Real>(s, at, operands, 5, d, n), c = initial<Real>(s, at, operands, 6, d, n);
        const std::int64_t length = weights.length(at, operands, n);
        for (std::int64_t step = 0; step < length; ++step) {
          const std::int64_t t = s.time(d, length, step);
          advance(weights, at.in<Real>(0) + (n * s.t + t) * s.inputs, h, c,
                  keep ? at.out<double>(workspace) + s.kept_at(d, n, t) : unkept.data());
          for (std::int64_t j = 0; j < s.hidden; ++j)
            at.out<Real>(0)[s.y_at(d, n, t) + j] = static_cast<Real>(h[j]);
        }
        for (std::int64_t j = 0; j < s.hidden; ++j) {
          at.out<Real>(1)[(d * s.n + n) * s.hidden + j] = static_cast<Real>(h[j]);
          if (lstm) at.out<Real>(2)[(d * s.n + n) * s.hidden + j] = static_cast<Real>(c[j]);
        }
      }
    }
  });
}

/// Sums of the gradients of one direction.
struct Sums {
  explicit Sums(const Sizes& s)
      : dw(static_cast<std::size_t>(s.gates * s.hidden * s.inputs)),
        dr(static_cast<std::size_t>(s.gates * s.hidden * s.hidden)),
        db(static_cast<std::size_t>(2 * s.gates * s.hidden)) {}
  Row dw, dr, db;
};

/// The gradient through W x + Wb of one gate value.
template <typename Real>
void through_input(const Weights<Real>& weights, std::int64_t row, double da, const Real* x, double* dx,
                   Sums& sums) {
  sums.db[row] += da;
  for (std::int64_t i = 0; i < weights.s.inputs; ++i) {
    sums.dw[row * weights.s.inputs + i] += da * x[i];
    dx[i] += da * weights.w[row * weights.s.inputs + i];
  }
}

/// The gradient through R state + Rb of one gate value.
template <typename Real>
void through_state(const Weights<Real>& weights, std::int64_t row, double du, const Row& state, Row& dstate,
                   Sums& sums) {
  const Sizes& s = weights.s;
  sums.db[s.gates * s.hidden + row] += du;
  for (std::int64_t i = 0; i < s.hidden; ++i) {
    sums.dr[row * s.hidden + i] += du * state[i];
    dstate[i] += du * weights.r[row * s.hidden + i];
  }
}

/// Takes dh and dc one step back. `before` and `c_before` are the states in front of the step.
template <typename Real>
void retreat(const Weights<Real>& weights, const Real* x, double* dx, const double* kept, const Row& before,
             const Row& c_before, Row& dh, Row& dc, Sums& sums) {
  const Sizes& s = weights.s;
  const double* const extra = kept + s.gates * s.hidden;
  const auto gate = [&](std::int64_t g, std::int64_t j) { return kept[g * s.hidden + j]; };
  const auto logistic = [&](std::int64_t g, std::int64_t j) { return gate(g, j) * (1 - gate(g, j)); };
  Row dbefore(static_cast<std::size_t>(s.hidden), 0.0), dreset = dbefore, reset = before;
  const auto both = [&](std::int64_t g, std::int64_t j, double da) {
    through_input(weights, g * s.hidden + j, da, x, dx, sums);
    through_state(weights, g * s.hidden + j, da, before, dbefore, sums);
  };
  for (std::int64_t j = 0; j < s.hidden; ++j) {
    switch (s.cell) {
      case Cell::lstm: {
        const double bent = std::tanh(extra[j]);
        both(1, j, dh[j] * bent * logistic(1, j));
        dc[j] += dh[j] * gate(1, j) * (1 - bent * bent);
        both(0, j, dc[j] * gate(3, j) * logistic(0, j));
        both(2, j, dc[j] * c_before[j] * logistic(2, j));
        both(3, j, dc[j] * gate(0, j) * (1 - gate(3, j) * gate(3, j)));
        dc[j] *= gate(2, j);
        break;
      }
      case Cell::rnn:
        both(0, j, dh[j] * (1 - gate(0, j) * gate(0, j)));
        break;
      case Cell::gru:
      case Cell::gru_linear_before_reset: {
        const double dn = dh[j] * (1 - gate(0, j)) * (1 - gate(2, j) * gate(2, j));
        both(0, j, dh[j] * (before[j] - gate(2, j)) * logistic(0, j));
        dbefore[j] += dh[j] * gate(0, j);
        through_input(weights, 2 * s.hidden + j, dn, x, dx, sums);
        if (s.cell == Cell::gru_linear_before_reset) {
          through_state(weights, 2 * s.hidden + j, dn * gate(1, j), before, dbefore, sums);
          both(1, j, dn * extra[j] * logistic(1, j));
        } else {
          if (j == 0)
            for (std::int64_t i = 0; i < s.hidden; ++i) reset[i] = before[i] * gate(1, i);
          through_state(weights, 2 * s.hidden + j, dn, reset, dreset, sums);
        }
        break;
      }
    }
  }
  if (s.cell == Cell::gru)
    for (std::int64_t j = 0; j < s.hidden; ++j) {
      both(1, j, dreset[j] * before[j] * logistic(1, j));
      dbefore[j] += dreset[j] * gate(1, j);
    }
  dh = dbefore;
}

template <typename Real>
void store(const Row& sums, Real* out) {
  for (std::size_t i = 0; i < sums.size(); ++i) out[i] = static_cast<Real>(sums[i]);
}

/// Operands: x, w, r, b?, lengths?, h0?, c0?, y, workspace, dy?, dh?, dc?.
template <typename Real>
std::unique_ptr<Kernel> recurrent_grad(const Operation& op) {
  const Sizes s(op.inputs[0].shape, op.inputs[2].shape, op.attributes);
  const auto present = [&](std::size_t i) { return op.inputs.size() > i && op.inputs[i].layout != nullptr; };
  const bool bias = present(3), h0 = present(5), c0 = present(6);
  return loops<Real>(op, [=](const Operands& at) {
    constexpr std::size_t operands = 12;
    const std::int64_t hidden = s.hidden, all_x = s.n * s.t * s.inputs;
    std::vector<double> dx(static_cast<std::size_t>(all_x));
    for (std::int64_t d = 0; d < s.directions; ++d) {
      const Weights<Real> weights(s, at, operands, d);
      Sums sums(s);
      for (std::int64_t n = 0; n < s.n; ++n) {
        const Row first = initial<Real>(s, at, operands, 5, d, n),
                  c_first = initial<Real>(s, at, operands, 6, d, n);
        Row dh = initial<Real>(s, at, operands, 10, d, n), dc = initial<Real>(s, at, operands, 11, d, n);
        const std::int64_t length = weights.length(at, operands, n);
        for (std::int64_t step = length; step-- > 0;) {
          const std::int64_t t = s.time(d, length, step);
          Row before = first, c_before = c_first;
          if (step > 0) {
            const std::int64_t past = s.time(d, length, step - 1);
            const Real* y = at.in<Real>(7) + s.y_at(d, n, past);
            const double* c = at.in<double>(8) + s.kept_at(d, n, past) + s.gates * hidden;
            before.assign(y, y + hidden);
            c_before.assign(c, c + hidden);
          }
          if (at.in<Real>(9))
            for (std::int64_t j = 0; j < hidden; ++j) dh[j] += at.in<Real>(9)[s.y_at(d, n, t) + j];
          retreat(weights, at.in<Real>(0) + (n * s.t + t) * s.inputs, dx.data() + (n * s.t + t) * s.inputs,
                  at.in<double>(8) + s.kept_at(d, n, t), before, c_before, dh, dc, sums);
        }
        const std::size_t dh0_at = bias ? 4 : 3, dc0_at = dh0_at + (h0 ? 1 : 0);
        if (h0) store(dh, at.out<Real>(dh0_at) + (d * s.n + n) * hidden);
        if (c0) store(dc, at.out<Real>(dc0_at) + (d * s.n + n) * hidden);
      }
      store(sums.dw, at.out<Real>(1) + d * static_cast<std::int64_t>(sums.dw.size()));
      store(sums.dr, at.out<Real>(2) + d * static_cast<std::int64_t>(sums.dr.size()));
      if (bias) store(sums.db, at.out<Real>(3) + d * static_cast<std::int64_t>(sums.db.size()));
    }
    store(dx, at.out<Real>(0));
  });
}

}  // namespace

template <typename Real>
std::unique_ptr<Kernel> recurrent_kernel(const Operation& op) {
  if (op.kind == Kind::recurrent) return recurrent<Real>(op);
  return recurrent_grad<Real>(op);
}

template std::unique_ptr<Kernel> recurrent_kernel<float>(const Operation&);
template std::unique_ptr<Kernel> recurrent_kernel<double>(const Operation&);

}  // namespace trainyard::ops::reference
