// A small evaluator of whole numbers: what files compute from shapes, the batch being open. Vectors and
// single numbers; the rest is left to the operators themselves.
#include <algorithm>
#include <map>

#include "common/graph/onnx/operators.hpp"

namespace trainyard::graph::onnx_file {
namespace {

using Numbers = std::vector<Extents>;
using Evaluator = std::optional<Extents> (*)(Call&, const Numbers&);

/// Of the result's elements, from those of the operands; a single number stands beside each.
template <typename Combine>
std::optional<Extents> each(const Numbers& in, Combine&& combine_all) {
  Extents out{{}, {}, in.back().type, false};
  std::size_t count = 1;
  for (const Extents& one : in) {
    if (one.dims.size() > 1) return std::nullopt;
    if (one.values.size() != 1 && count != 1 && one.values.size() != count) return std::nullopt;
    if (one.values.size() != 1) count = one.values.size();
    if (one.dims.size() > out.dims.size()) out.dims = one.dims;
    if (one.dims.size() == out.dims.size() && one.values.size() != 1) out.dims = one.dims;
  }
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<Extent> row;
    for (const Extents& one : in) row.push_back(one.values[one.values.size() == 1 ? 0 : i]);
    const std::optional<Extent> value = combine_all(row);
    if (!value) return std::nullopt;
    out.values.push_back(*value);
  }
  return out;
}

template <Whole operation>
std::optional<Extents> arithmetic(Call&, const Numbers& in) {
  auto out = each(in, [](const std::vector<Extent>& row) {
    std::optional<Extent> all = row[0];
    for (std::size_t i = 1; i < row.size() && all; ++i) all = combine(operation, *all, row[i]);
    return all;
  });
  const bool truth = operation == Whole::equal || operation == Whole::less;
  if (out && truth) out->type = DType::u8;
  if (out) out->boolean = truth;
  return out;
}

template <bool swapped, bool negated>
std::optional<Extents> comparison(Call& c, const Numbers& in) {
  if (in.size() != 2) return std::nullopt;
  auto out = arithmetic<Whole::less>(c, swapped ? Numbers{in[1], in[0]} : in);
  if (out && negated)
    for (Extent& value : out->values) value.count = 1 - value.count;
  return out;
}

std::optional<Extents> modulo(Call& c, const Numbers& in) {
  return c.flag("fmod", false) ? std::nullopt : arithmetic<Whole::modulo>(c, in);
}

std::optional<Extents> negate(Call&, const Numbers& in) {
  return each(in, [](const std::vector<Extent>& row) { return combine(Whole::subtract, Extent{}, row[0]); });
}

std::optional<Extents> logical_not(Call&, const Numbers& in) {
  Extents out = in[0];
  for (Extent& value : out.values) value.count = value.count == 0 ? 1 : 0;
  return out;
}

std::optional<Extents> choose(Call&, const Numbers& in) {
  if (in.size() != 3) return std::nullopt;
  auto out = each(
      in, [](const std::vector<Extent>& row) { return std::optional(row[0].count != 0 ? row[1] : row[2]); });
  if (out) out->boolean = in[1].boolean;
  return out;
}

std::optional<Extents> cast(Call& c, const Numbers& in) {
  const auto to = element_type(static_cast<std::int32_t>(c.integer("to", 0)));
  c.ignore("saturate");
  c.ignore("round_mode");
  if (!to || tensor::is_real(to->type) || to->boolean || to->type == DType::u8) return std::nullopt;
  Extents out = in[0];
  out.type = to->type;
  out.boolean = false;
  return out;
}

std::optional<Extents> gather(Call& c, const Numbers& in) {
  if (in.size() != 2 || in[0].dims.size() != 1 || !in[1].closed() || in[1].dims.size() > 1)
    return std::nullopt;
  c.integer("axis", 0, -1, 0);
  Extents out{in[1].dims, {}, in[0].type, in[0].boolean};
  const auto count = static_cast<std::int64_t>(in[0].values.size());
  for (const Extent& index : in[1].values) {
    const std::int64_t at = index.count < 0 ? index.count + count : index.count;
    if (!c.require(at >= 0 && at < count, "looks up {} of {} numbers", index.count, count)) return out;
    out.values.push_back(in[0].values[static_cast<std::size_t>(at)]);
  }
  return out;
}

std::optional<Extents> concat(Call& c, const Numbers& in) {
  Extents out{{0}, {}, in[0].type, in[0].boolean};
  c.integer("axis", 0, -1, 0);
  for (const Extents& one : in) {
    if (one.dims.size() != 1) return std::nullopt;
    out.values.insert(out.values.end(), one.values.begin(), one.values.end());
    out.dims[0] += one.dims[0];
  }
  return out;
}

std::optional<Extents> slice(Call& c, const Numbers& in) {
  if (in[0].dims.size() != 1) return std::nullopt;
  std::vector<std::int64_t> starts, ends, steps{1};
  if (c.version() < 10) {
    starts = c.integer_list("starts");
    ends = c.integer_list("ends");
    c.integer_list("axes");
  } else {
    starts = c.integers(1);
    ends = c.integers(2);
    if (c.has(4)) steps = c.integers(4);
  }
  if (starts.size() != 1 || ends.size() != 1 || steps.size() != 1 || steps[0] != 1) return std::nullopt;
  const auto count = static_cast<std::int64_t>(in[0].values.size());
  const auto inside = [&](std::int64_t at) {
    at = std::clamp(at, -count, count);
    return at < 0 ? at + count : at;
  };
  const std::int64_t first = inside(starts[0]), last = std::max(first, inside(ends[0]));
  return Extents{
      {last - first}, {in[0].values.begin() + first, in[0].values.begin() + last}, in[0].type, in[0].boolean};
}

/// A number becomes a vector of one, or the other way round; or nothing happens at all.
std::optional<Extents> same_values(const Extents& in, std::size_t rank) {
  Extents out = in;
  if (rank > 1 || (rank == 0 && in.values.size() != 1)) return std::nullopt;
  out.dims.assign(rank, static_cast<std::int64_t>(in.values.size()));
  return out;
}

std::vector<std::int64_t> axes_of(Call& c, const Numbers& in) {
  if (c.version() < 13) return c.integer_list("axes");
  std::vector<std::int64_t> out;
  if (in.size() > 1)
    for (const Extent& axis : in[1].values) out.push_back(axis.count);
  return out;
}

std::optional<Extents> unsqueeze(Call& c, const Numbers& in) {
  return same_values(in[0], in[0].dims.size() + axes_of(c, in).size());
}
std::optional<Extents> squeeze(Call& c, const Numbers& in) {
  axes_of(c, in);
  return in[0].dims.size() == 1 ? same_values(in[0], 0) : std::nullopt;
}
std::optional<Extents> reshape(Call& c, const Numbers& in) {
  c.ignore("allowzero");
  if (in.size() != 2 || in[1].values.size() > 1 || !in[1].closed()) return std::nullopt;
  const auto count = static_cast<std::int64_t>(in[0].values.size());
  if (in[1].values.size() == 1 && in[1].values[0].count != -1 && in[1].values[0].count != count)
    return std::nullopt;
  return same_values(in[0], in[1].values.size());
}

template <Whole operation>
std::optional<Extents> reduce(Call& c, const Numbers& in) {
  if (in[0].dims.size() != 1 || in[0].values.empty()) return std::nullopt;
  c.integer_list("axes");
  if (c.flag("noop_with_empty_axes", false)) return std::nullopt;
  const bool keep = c.flag("keepdims", true);
  Extents out{keep ? std::vector<std::int64_t>{1} : std::vector<std::int64_t>{},
              {in[0].values[0]},
              in[0].type,
              false};
  for (std::size_t i = 1; i < in[0].values.size(); ++i) {
    const auto next = combine(operation, out.values[0], in[0].values[i]);
    if (!next) return std::nullopt;
    out.values[0] = *next;
  }
  return out;
}

const std::map<std::string, Evaluator>& table() {
  static const std::map<std::string, Evaluator> evaluators{
      {"Add", arithmetic<Whole::add>},
      {"Sub", arithmetic<Whole::subtract>},
      {"Mul", arithmetic<Whole::multiply>},
      {"Div", arithmetic<Whole::divide>},
      {"Mod", modulo},
      {"Min", arithmetic<Whole::minimum>},
      {"Max", arithmetic<Whole::maximum>},
      {"Equal", arithmetic<Whole::equal>},
      {"Less", comparison<false, false>},
      {"Greater", comparison<true, false>},
      {"GreaterOrEqual", comparison<false, true>},
      {"LessOrEqual", comparison<true, true>},
      {"Neg", negate},
      {"Not", logical_not},
      {"Where", choose},
      {"Cast", cast},
      {"Gather", gather},
      {"Concat", concat},
      {"Slice", slice},
      {"Unsqueeze", unsqueeze},
      {"Squeeze", squeeze},
      {"Reshape", reshape},
      {"ReduceProd", reduce<Whole::multiply>},
      {"ReduceSum", reduce<Whole::add>},
      {"ReduceMin", reduce<Whole::minimum>},
      {"ReduceMax", reduce<Whole::maximum>},
  };
  return evaluators;
}

/// The extents of an operand, or a stretch of them.
void shape_of(Call& c) {
  const Shape& x = c.shape(0);
  const auto rank = static_cast<std::int64_t>(x.rank());
  const auto inside = [&](std::int64_t at) {
    at = std::clamp(at, -rank, rank);
    return at < 0 ? at + rank : at;
  };
  const std::int64_t first = inside(c.integer("start", 0)),
                     last = std::max(first, inside(c.integer("end", rank)));
  Extents out{{last - first}, {}, DType::i64, false};
  for (std::int64_t i = first; i < last; ++i)
    out.values.push_back(of_dimension(x[static_cast<std::size_t>(i)]));
  c.give(std::move(out));
}

}  // namespace

bool evaluate(Call& c) {
  if (c.operator_name() == "Shape" || c.operator_name() == "Size") {
    if (!c.require(c.has(0), "input 0 is missing")) return true;
    if (c.operator_name() == "Shape") return shape_of(c), true;
    c.give(Extents{{}, {of_dimension(c.shape(0).volume())}, DType::i64, false});
    return true;
  }
  const auto it = table().find(c.operator_name());
  if (it == table().end() || c.count() == 0) return false;
  Numbers in;
  bool open = false;
  for (std::size_t i = 0; i < c.count(); ++i) {
    auto one = c.small(i);
    if (!one || one->values.empty()) return false;
    open = open || !one->closed();
    in.push_back(std::move(*one));
  }
  auto out = it->second(c, in);
  if (!out && !open) return false;  // the operator itself may do it
  if (c.require(out.has_value(), "depends on the batch in a way that cannot be followed"))
    c.give(std::move(*out));
  return true;
}

}  // namespace trainyard::graph::onnx_file
