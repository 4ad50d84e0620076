// One step of a recurrent cell for one row of a batch, without its products; see Table. The equations are
// those of reference/recurrent.cpp. Included within the namespace of an instruction set.

/// Calls visit(first unit, load, store) for each register of `hidden` units.
template <typename Visit>
inline void each_unit(std::int64_t hidden, const Visit& visit) {
  std::int64_t j = 0;
  for (; j + kWidth <= hidden; j += kWidth)
    visit([j](const float* at) { return load_register(at + j); },
          [j](float* at, Register value) { store_register(at + j, value); });
  const int rest = static_cast<int>(hidden - j);
  if (rest > 0)
    visit([j, rest](const float* at) { return load_some_of(at + j, rest); },
          [j, rest](float* at, Register value) { store_some_of(at + j, value, rest); });
}

void lstm(std::int64_t hidden, const float* bias, const float* c_before, float* gates, float* c, float* h) {
  each_unit(hidden, [&](auto load, auto store) {
    const Register i = logistic(load(gates) + load(bias));
    const Register o = logistic(load(gates + hidden) + load(bias + hidden));
    const Register f = logistic(load(gates + 2 * hidden) + load(bias + 2 * hidden));
    const Register g = hyperbolic_tangent(load(gates + 3 * hidden) + load(bias + 3 * hidden));
    const Register next = f * load(c_before) + i * g;
    store(gates, i);
    store(gates + hidden, o);
    store(gates + 2 * hidden, f);
    store(gates + 3 * hidden, g);
    store(c, next);
    store(h, o * hyperbolic_tangent(next));
  });
}

void lstm_grad(std::int64_t hidden, const float* gates, const float* c, const float* c_before,
               const float* dh, const float* dy, float* dc, float* da) {
  each_unit(hidden, [&](auto load, auto store) {
    const Register i = load(gates), o = load(gates + hidden), f = load(gates + 2 * hidden),
                   g = load(gates + 3 * hidden);
    const Register bent = hyperbolic_tangent(load(c));
    const Register d = dy ? load(dh) + load(dy) : load(dh);
    const Register dcell = load(dc) + d * o * (1.0f - bent * bent);
    store(da, dcell * g * i * (1.0f - i));
    store(da + hidden, d * bent * o * (1.0f - o));
    store(da + 2 * hidden, dcell * load(c_before) * f * (1.0f - f));
    store(da + 3 * hidden, dcell * i * (1.0f - g * g));
    store(dc, dcell * f);
  });
}

/// `state`: R2 h without its bias, which is `state_bias`; becomes R2 h + Rb2.
void gru_before_reset(std::int64_t hidden, const float* bias, const float* state_bias, const float* before,
                      float* gates, float* state, float* h) {
  each_unit(hidden, [&](auto load, auto store) {
    const Register z = logistic(load(gates) + load(bias));
    const Register r = logistic(load(gates + hidden) + load(bias + hidden));
    const Register u = load(state) + load(state_bias);
    const Register n = hyperbolic_tangent(load(gates + 2 * hidden) + load(bias + 2 * hidden) + r * u);
    store(gates, z);
    store(gates + hidden, r);
    store(gates + 2 * hidden, n);
    store(state, u);
    store(h, n + z * (load(before) - n));
  });
}

/// da: of W's side; dstate: of R's share of the third gate; dh becomes what reaches the state past the gates.
void gru_before_reset_grad(std::int64_t hidden, const float* gates, const float* state, const float* before,
                           const float* dy, float* dh, float* da, float* dstate) {
  each_unit(hidden, [&](auto load, auto store) {
    const Register z = load(gates), r = load(gates + hidden), n = load(gates + 2 * hidden);
    const Register d = dy ? load(dh) + load(dy) : load(dh);
    const Register dn = d * (1.0f - z) * (1.0f - n * n);
    store(da, d * (load(before) - n) * z * (1.0f - z));
    store(da + hidden, dn * load(state) * r * (1.0f - r));
    store(da + 2 * hidden, dn);
    store(dstate, dn * r);
    store(dh, d * z);
  });
}

/// The gates z and r, and the state behind the reset.
void gru_gates(std::int64_t hidden, const float* bias, const float* before, float* gates, float* reset) {
  each_unit(hidden, [&](auto load, auto store) {
    const Register r = logistic(load(gates + hidden) + load(bias + hidden));
    store(gates, logistic(load(gates) + load(bias)));
    store(gates + hidden, r);
    store(reset, r * load(before));
  });
}
void gru_state(std::int64_t hidden, const float* bias, const float* before, float* gates, float* h) {
  each_unit(hidden, [&](auto load, auto store) {
    const Register z = load(gates);
    const Register n = hyperbolic_tangent(load(gates + 2 * hidden) + load(bias + 2 * hidden));
    store(gates + 2 * hidden, n);
    store(h, n + z * (load(before) - n));
  });
}
/// The gradients of z and n; dh becomes what passes by them.
void gru_state_grad(std::int64_t hidden, const float* gates, const float* before, const float* dy, float* dh,
                    float* da) {
  each_unit(hidden, [&](auto load, auto store) {
    const Register z = load(gates), n = load(gates + 2 * hidden);
    const Register d = dy ? load(dh) + load(dy) : load(dh);
    store(da, d * (load(before) - n) * z * (1.0f - z));
    store(da + 2 * hidden, d * (1.0f - z) * (1.0f - n * n));
    store(dh, d * z);
  });
}
/// The gradient of r, from that of the state behind the reset; adds what passes to dh.
void gru_gates_grad(std::int64_t hidden, const float* gates, const float* before, const float* dreset,
                    float* dh, float* da) {
  each_unit(hidden, [&](auto load, auto store) {
    const Register r = load(gates + hidden), d = load(dreset);
    store(da + hidden, d * load(before) * r * (1.0f - r));
    store(dh, load(dh) + d * r);
  });
}

void rnn(std::int64_t hidden, const float* bias, float* gates, float* h) {
  each_unit(hidden, [&](auto load, auto store) {
    const Register value = hyperbolic_tangent(load(gates) + load(bias));
    store(gates, value);
    store(h, value);
  });
}
void rnn_grad(std::int64_t hidden, const float* gates, const float* dh, const float* dy, float* da) {
  each_unit(hidden, [&](auto load, auto store) {
    const Register d = dy ? load(dh) + load(dy) : load(dh);
    store(da, d * (1.0f - load(gates) * load(gates)));
  });
}

/// sums[i] = sum of the rows' elements i: 64 rows at a time in float, the rest in double. Goes along the rows
/// of a strip of columns whose sums stay in the first cache.
void column_sums(const float* from, std::int64_t row_step, std::int64_t rows, std::int64_t columns,
                 double* sums) {
  constexpr std::int64_t strip = 32 * kWidth;
  float part[strip];
  for (std::int64_t i = 0; i < columns; ++i) sums[i] = 0;
  for (std::int64_t begin = 0; begin < columns; begin += strip) {
    const std::int64_t here = columns - begin < strip ? columns - begin : strip;
    for (std::int64_t first = 0; first < rows; first += 64) {
      const std::int64_t last = first + 64 < rows ? first + 64 : rows;
      for (std::int64_t i = 0; i < here; ++i) part[i] = 0;
      for (std::int64_t row = first; row < last; ++row) {
        const float* const at = from + row * row_step + begin;
        std::int64_t i = 0;
        for (; i + kWidth <= here; i += kWidth)
          store_register(part + i, load_register(part + i) + load_register(at + i));
        for (; i < here; ++i) part[i] += at[i];
      }
      for (std::int64_t i = 0; i < here; ++i) sums[begin + i] += static_cast<double>(part[i]);
    }
  }
}
