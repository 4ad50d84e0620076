#include "common/graph/onnx/call.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace trainyard::graph::onnx_file {
namespace {

const Shape no_shape;

std::string ordinal(std::size_t index) { return format("input {}", index); }

template <typename T>
void spread(const Constant& constant, std::vector<double>& out) {
  for (std::size_t i = 0; i * sizeof(T) < constant.bytes.size(); ++i) {
    T value;
    std::memcpy(&value, constant.bytes.data() + i * sizeof(T), sizeof(T));
    out.push_back(static_cast<double>(value));
  }
}

}  // namespace

Call::Call(Scope& scope, const onnx::NodeProto& node, int version, std::vector<TermPtr> operands,
           std::vector<bool> used)
    : scope_(scope),
      node_(node),
      version_(version),
      operands_(std::move(operands)),
      used_(std::move(used)),
      results_(used_.size()) {}

const Shape& Call::shape(std::size_t index) const {
  return has(index) ? operands_[index]->of.shape : no_shape;
}

DType Call::type(std::size_t index) const { return has(index) ? operands_[index]->of.type : DType::f32; }

ValueId Call::take(const Result<ValueId>& id) {
  if (id) return *id;
  fail(id.error());
  return kAbsent;
}

ValueId Call::value(std::size_t index) {
  if (!require(has(index), "{} is missing", ordinal(index))) return kAbsent;
  return take(scope_.value(*operands_[index]));
}

ValueId Call::weight(std::size_t index, TensorKind kind) {
  if (!require(has(index), "{} is missing", ordinal(index))) return kAbsent;
  return take(scope_.parameter(*operands_[index], kind));
}

bool Call::can_turn(std::size_t index) const {
  return !scope_.folds() && known(index) && sole(index) && operands_[index]->value == kAbsent &&
         type(index) == DType::f32 && shape(index).rank() == 2;
}

ValueId Call::turned_weight(std::size_t index) {
  if (!ok()) return kAbsent;
  check(can_turn(index), "a weight is turned when nobody else uses it");
  return take(scope_.parameter(*operands_[index], TensorKind::weight, true));
}

std::shared_ptr<const Constant> Call::constant(std::size_t index) {
  if (!require(known(index), "{} has to be known when the model is read", ordinal(index))) return nullptr;
  const auto constant = scope_.constant(*operands_[index]);
  if (constant) return *constant;
  fail(constant.error());
  return nullptr;
}

std::optional<Extents> Call::small(std::size_t index) {
  if (!ok() || !has(index) || real(index)) return std::nullopt;
  if (operands_[index]->extents) return *operands_[index]->extents;
  if (!known(index) || shape(index).elements() > static_cast<std::int64_t>(kExtentsMax)) return std::nullopt;
  const auto known = constant(index);
  return known ? extents_of(*known, boolean(index)) : std::nullopt;
}

std::vector<Extent> Call::extents(std::size_t index) {
  const auto all = small(index);
  if (!require(all.has_value(), "{} has to be whole numbers that are known when the model is read",
               ordinal(index)))
    return {};
  return all->values;
}

std::vector<std::int64_t> Call::integers(std::size_t index) {
  std::vector<std::int64_t> out;
  for (const Extent& extent : extents(index)) {
    if (!require(!extent.batch, "{} depends on the batch", ordinal(index))) return {};
    out.push_back(extent.count);
  }
  return out;
}

std::vector<double> Call::numbers(std::size_t index) {
  const auto known = constant(index);
  if (!known || !require(known->of.shape.elements() <= static_cast<std::int64_t>(kExtentsMax),
                         "{} has more than {} numbers", ordinal(index), kExtentsMax))
    return {};
  std::vector<double> out;
  switch (known->of.type) {
    case DType::i64:
      spread<std::int64_t>(*known, out);
      break;
    case DType::i32:
      spread<std::int32_t>(*known, out);
      break;
    case DType::u8:
      spread<std::uint8_t>(*known, out);
      break;
    default:
      spread<float>(*known, out);
  }
  return out;
}

ValueId Call::add(Kind kind, Attributes attributes, std::vector<ValueId> inputs) {
  return add_all(kind, std::move(attributes), std::move(inputs), 1)[0];
}

std::vector<ValueId> Call::add_all(Kind kind, Attributes attributes, std::vector<ValueId> inputs,
                                   std::size_t results) {
  if (ok()) {
    auto made = scope_.add(kind, std::move(attributes), std::move(inputs));
    if (made) return std::move(*made);
    fail(made.error());
  }
  return std::vector<ValueId>(results, kAbsent);
}

ValueId Call::unary(Function function, ValueId x, double alpha, double beta) {
  Attributes a;
  a.function = function;
  a.alpha = alpha;
  a.beta = beta;
  return add(Kind::unary, a, {x});
}

ValueId Call::binary(Arithmetic arithmetic, ValueId a, ValueId b) {
  return add(Kind::binary, {.arithmetic = arithmetic}, {a, b});
}

ValueId Call::cast(ValueId x, DType type) {
  if (!ok() || type_of(x) == type) return x;
  return add(Kind::cast, {.type = type}, {x});
}

ValueId Call::reshape(ValueId x, std::vector<std::int64_t> dims) {
  if (!ok() || shape_of(x).dims() == dims) return x;
  Attributes a;
  a.dims = std::move(dims);
  return add(Kind::reshape, a, {x});
}

ValueId Call::transpose(ValueId x, std::vector<std::int64_t> axes) {
  if (std::is_sorted(axes.begin(), axes.end()) && axes.size() == shape_of(x).rank() && !axes.empty() &&
      axes[0] == 0)
    return x;
  Attributes a;
  a.axes = std::move(axes);
  return add(Kind::transpose, a, {x});
}

ValueId Call::expand(ValueId x, std::vector<std::int64_t> dims) {
  if (!ok() || shape_of(x).dims() == dims) return x;
  Attributes a;
  a.dims = std::move(dims);
  return add(Kind::expand, a, {x});
}

ValueId Call::slice(ValueId x, std::int64_t axis, std::int64_t start, std::int64_t end, std::int64_t step) {
  Attributes a;
  a.axes = {axis};
  a.starts = {start};
  a.ends = {end};
  a.steps = {step};
  return add(Kind::slice, a, {x});
}

ValueId Call::scalar(double value, DType type) {
  if (!tensor::is_real(type)) return whole({static_cast<std::int64_t>(value)}, type, {});
  return ok() ? scope_.builder().scalar(static_cast<float>(value)) : kAbsent;
}

ValueId Call::constant_value(Constant constant) {
  return ok() ? scope_.builder().constant(std::move(constant)) : kAbsent;
}

ValueId Call::whole(const std::vector<std::int64_t>& values, DType type, std::vector<std::int64_t> dims) {
  if (!ok()) return kAbsent;
  Extents extents{std::move(dims), {}, type, false};
  for (const std::int64_t value : values) extents.values.push_back({value, false});
  return constant_value(constant_of(extents));
}

ValueId Call::floats(const std::vector<float>& values, std::vector<std::int64_t> dims) {
  if (!ok()) return kAbsent;
  Constant constant{Signature(Shape(std::move(dims))), std::vector<std::byte>(values.size() * sizeof(float))};
  if (!values.empty()) std::memcpy(constant.bytes.data(), values.data(), constant.bytes.size());
  return constant_value(std::move(constant));
}

Shape Call::shape_of(ValueId id) const { return id == kAbsent ? no_shape : scope_.shape(id); }

DType Call::type_of(ValueId id) const {
  return id == kAbsent ? DType::f32 : scope_.builder().signature(id).type;
}

Term& Call::slot(std::size_t index) {
  check(index < results_.size(), "a result that the node names is given");
  results_[index] = std::make_shared<Term>();
  results_[index]->name = node_.output(static_cast<int>(index));
  return *results_[index];
}

void Call::give(ValueId id, std::size_t index, bool boolean) {
  if (!ok() || index >= results_.size()) return;
  Term& term = slot(index);
  term.value = id;
  term.of = scope_.builder().signature(id);
  term.boolean = boolean;
}

void Call::give(Constant constant, std::size_t index, bool boolean) {
  if (!ok() || index >= results_.size()) return;
  Term& term = slot(index);
  term.of = constant.of;
  term.boolean = boolean;
  term.literal = true;
  term.constant = std::make_shared<const Constant>(std::move(constant));
}

void Call::give(Extents extents, std::size_t index) {
  if (extents.closed()) return give(constant_of(extents), index, extents.boolean);
  if (!ok() || index >= results_.size()) return;
  Term& term = slot(index);
  term.of = Signature(Shape(extents.dims), extents.type);
  term.boolean = extents.boolean;
  term.extents = std::make_shared<const Extents>(std::move(extents));
}

void Call::pass(std::size_t operand, std::size_t index) {
  if (!require(has(operand), "{} is missing", ordinal(operand)) || index >= results_.size()) return;
  results_[index] = operands_[operand];
}

std::int64_t Call::axis(std::int64_t axis, std::size_t rank) {
  const auto count = static_cast<std::int64_t>(rank);
  if (!require(axis >= -count && axis < count, "axis {} of a tensor with {} axes", axis, rank)) return 0;
  return axis < 0 ? axis + count : axis;
}

Result<std::vector<TermPtr>> Call::finish() {
  if (error_) return *error_;
  for (const auto& attribute : node_.attribute())
    if (!read_.contains(attribute.name()))
      return Error{Errc::refused, format("the attribute '{}' is not supported", shown(attribute.name()))};
  for (std::size_t i = 0; i < used_.size(); ++i)
    if (used_[i] && !results_[i])
      return Error{Errc::refused,
                   format("output {} ('{}') is not supported", i, shown(node_.output(static_cast<int>(i))))};
  return results_;
}

}  // namespace trainyard::graph::onnx_file
