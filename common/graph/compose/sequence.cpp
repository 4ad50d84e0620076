// Recurrent cells, attention and what tells steps apart.
#include <cmath>

#include "common/base/text.hpp"
#include "common/graph/compose/composer.hpp"

namespace trainyard::graph {
namespace {

constexpr float kNoScore = -1e9f;  // exp of it is 0 beside any score

std::int64_t gates_of(ops::Cell cell) { return cell == ops::Cell::lstm ? 4 : cell == ops::Cell::rnn ? 1 : 3; }

const char* name_of(ops::Cell cell) {
  return cell == ops::Cell::lstm ? "lstm" : cell == ops::Cell::rnn ? "rnn" : "gru";
}

}  // namespace

RecurrentResult Composer::recurrent(ValueId x, const std::string& name, const Recurrent& r, ValueId lengths) {
  part(name, name_of(r.cell));
  if (!needs_sequence(x, name_of(r.cell))) return {};
  const std::int64_t directions = r.bidirectional ? 2 : 1, rows = gates_of(r.cell) * r.units;
  Attributes a;
  a.cell = r.cell;
  a.direction = r.bidirectional ? ops::Direction::bidirectional : ops::Direction::forward;
  const ValueId input =
      parameter(name + ".weight_input", {directions, rows, extent(x, 2)}, TensorKind::weight, Init::glorot);
  const ValueId state =
      parameter(name + ".weight_state", {directions, rows, r.units}, TensorKind::weight, Init::orthogonal);
  const ValueId bias = parameter(name + ".bias", {directions, 2 * rows}, TensorKind::bias,
                                 r.cell == ops::Cell::lstm ? Init::forget_bias : Init::zero);
  if (failed()) return {};
  const auto made = builder_.add_all(Kind::recurrent, a, {x, input, state, bias, lengths});
  if (!made) {
    fail(made.error().message);
    return {};
  }
  // The states [directions, N, units] side by side.
  const ValueId last = r.bidirectional ? transpose((*made)[1], {1, 0, 2}) : (*made)[1];
  return {(*made)[0], reshape(last, {directions * r.units})};
}

/// [N, T, h * d] -> [N, h, T, d]
ValueId Composer::heads_of(ValueId x, std::int64_t heads) {
  if (failed()) return kAbsent;
  return transpose(reshape(x, {extent(x, 1), heads, extent(x, 2) / heads}), {0, 2, 1, 3});
}

ValueId Composer::attention(ValueId q, ValueId k, ValueId v, const Attention& a) {
  for (const ValueId x : {q, k, v})
    if (!needs_sequence(x, "attention")) return kAbsent;
  const std::int64_t features = extent(q, 2), steps = extent(q, 1), memory = extent(k, 1);
  if (extent(k, 2) != features || extent(v, 1) != memory) {
    fail(
        format("attention of query {}, key {}, value {}; query and key need the same features, key and "
               "value the same steps",
               shape(q).text(), shape(k).text(), shape(v).text()));
    return kAbsent;
  }
  if (a.heads < 1 || features % a.heads != 0 || extent(v, 2) % a.heads != 0) {
    fail(format("{} heads do not divide {} features", a.heads, features));
    return kAbsent;
  }
  std::vector<ValueId> inputs{heads_of(q, a.heads), heads_of(k, a.heads), heads_of(v, a.heads)};
  ValueId mask = a.mask;
  if (a.causal) {
    std::vector<float> later(static_cast<std::size_t>(steps * memory), 0.0f);
    for (std::int64_t t = 0; t < steps; ++t)
      for (std::int64_t s = t + 1; s < memory; ++s)
        later[static_cast<std::size_t>(t * memory + s)] = kNoScore;
    const ValueId causal = numbers({1, 1, steps, memory}, later);
    mask = mask == kAbsent ? causal : add(mask, causal);
  }
  if (mask != kAbsent) inputs.push_back(mask);
  Attributes attributes;
  attributes.alpha = 1 / std::sqrt(static_cast<double>(features / a.heads));
  const ValueId y = apply(Kind::attention, attributes, std::move(inputs));
  return reshape(transpose(y, {0, 2, 1, 3}), {steps, extent(v, 2)});
}

ValueId Composer::multi_head_attention(ValueId q, ValueId k, ValueId v, const std::string& name,
                                       const Attention& a) {
  part(name, "multi_head_attention");
  for (const ValueId x : {q, k, v})
    if (!needs_sequence(x, "multi_head_attention")) return kAbsent;
  const std::int64_t features = extent(q, 2);
  if (a.heads < 1 || features % a.heads != 0) {
    fail(format("{} heads do not divide the {} features of {}", a.heads, features, shape(q).text()));
    return kAbsent;
  }
  const auto project = [&](ValueId x, const std::string& weight, const std::string& bias,
                           std::int64_t units) {
    std::vector<ValueId> inputs{
        x, parameter(name + weight, {units, extent(x, 2)}, TensorKind::weight, Init::glorot)};
    if (a.bias) inputs.push_back(parameter(name + bias, {units}, TensorKind::bias, Init::zero));
    Attributes last;
    last.axis = -1;
    return apply(Kind::dense, last, std::move(inputs));
  };
  ValueId y = kAbsent;
  if (q == k && k == v) {
    const ValueId all = project(q, ".in_proj_weight", ".in_proj_bias", 3 * features);
    const auto third = [&](std::int64_t i) { return slice(all, 2, i * features, (i + 1) * features); };
    y = attention(third(0), third(1), third(2), a);
  } else {
    y = attention(project(q, ".q_proj_weight", ".q_proj_bias", features),
                  project(k, ".k_proj_weight", ".k_proj_bias", features),
                  project(v, ".v_proj_weight", ".v_proj_bias", features), a);
  }
  return project(y, ".out_proj.weight", ".out_proj.bias", features);
}

ValueId Composer::encoder_block(ValueId x, const std::string& name, const EncoderBlock& b) {
  if (!needs_sequence(x, "transformer_encoder")) return kAbsent;
  const std::int64_t features = extent(x, 2);
  const std::int64_t between = b.feedforward == 0 ? 4 * features : b.feedforward;
  const auto attend = [&](ValueId y) {
    return dropout(multi_head_attention(y, y, y, name + ".self_attn", b.attention), b.dropout);
  };
  const auto feed = [&](ValueId y) {
    y = activate(b.activation, dense(y, name + ".linear1", {.units = between}));
    return dropout(dense(dropout(y, b.dropout), name + ".linear2", {.units = features}), b.dropout);
  };
  const auto norm = [&](ValueId y, const char* which) { return layer_norm(y, name + which, b.epsilon); };
  if (b.norm_first) {
    x = add(x, attend(norm(x, ".norm1")));
    return add(x, feed(norm(x, ".norm2")));
  }
  x = norm(add(x, attend(x)), ".norm1");
  return norm(add(x, feed(x)), ".norm2");
}

ValueId Composer::positions(ValueId x, const std::string& name, bool learned) {
  part(name, "positional_encoding");
  if (!needs_sequence(x, "positional_encoding")) return kAbsent;
  const std::int64_t steps = extent(x, 1), features = extent(x, 2);
  if (learned)
    return add(x, parameter(name + ".weight", {steps, features}, TensorKind::weight, Init::normal_02));
  std::vector<float> values;
  for (std::int64_t t = 0; t < steps; ++t) {
    for (std::int64_t i = 0; i < features; ++i) {
      const double rate = std::pow(10000.0, -static_cast<double>(i / 2 * 2) / static_cast<double>(features));
      const double angle = static_cast<double>(t) * rate;
      values.push_back(static_cast<float>(i % 2 == 0 ? std::sin(angle) : std::cos(angle)));
    }
  }
  return add(x, numbers({steps, features}, values));
}

ValueId Composer::step_mask(ValueId lengths, std::int64_t steps, bool real) {
  std::vector<std::int32_t> count;
  for (std::int64_t t = 0; t < steps; ++t) count.push_back(static_cast<std::int32_t>(t));
  const ValueId below =
      binary(ops::Arithmetic::less, whole_numbers({1, steps}, count), reshape(lengths, {1}));
  return real ? cast(below, DType::f32) : below;
}

ValueId Composer::score_mask(ValueId lengths, std::int64_t steps) {
  const ValueId counts = reshape(step_mask(lengths, steps, false), {1, 1, steps});
  return apply(Kind::where, {}, {counts, scalar(0), scalar(kNoScore)});
}

ValueId Composer::mean_of_steps(ValueId x, ValueId lengths) {
  if (!needs_sequence(x, "mean")) return kAbsent;
  const std::int64_t steps = extent(x, 1);
  const ValueId mask = reshape(step_mask(lengths, steps, true), {steps, 1});
  const ValueId sum = reduce(ops::Reduction::sum, multiply(x, mask), {1});
  const ValueId count = binary(ops::Arithmetic::maximum, reshape(cast(lengths, DType::f32), {1}), scalar(1));
  return binary(ops::Arithmetic::divide, sum, count);
}

}  // namespace trainyard::graph
