#include "common/graph/onnx/scope.hpp"

#include <algorithm>
#include <cstring>

#include "common/base/text.hpp"

namespace trainyard::graph::onnx_file {
namespace {

std::vector<float> floats_of(const Constant& constant) {
  std::vector<float> out(constant.bytes.size() / sizeof(float));
  if (!out.empty()) std::memcpy(out.data(), constant.bytes.data(), constant.bytes.size());
  return out;
}

}  // namespace

Status check_extents(const std::vector<std::int64_t>& dims) {
  constexpr std::int64_t elements_max = std::int64_t{1} << 40;
  std::int64_t count = 1, open = 0;
  for (const std::int64_t dim : dims) {
    if (dim == INT64_MIN ||
        __builtin_mul_overflow(count, std::max<std::int64_t>(1, dim < 0 ? -dim : dim), &count) ||
        count > elements_max)
      return Error{Errc::invalid, "a tensor with more elements than any may have"};
    if (dim < 0) ++open;
  }
  if (open > 1)
    return Error{Errc::refused,
                 format("a result of {}, where two extents depend on the batch", Shape(dims).text())};
  return {};
}

Result<std::shared_ptr<const Constant>> Scope::constant(Term& term) {
  if (!term.constant) {
    check(term.stored != nullptr, "only a known term has a constant");
    auto decoded = decode(*term.stored);
    if (!decoded) return decoded.error().with(format("tensor '{}'", shown(term.name)));
    term.constant = std::make_shared<const Constant>(std::move(*decoded));
  }
  return term.constant;
}

Result<ValueId> Scope::value(Term& term) {
  if (term.value != kAbsent) return term.value;
  if (term.extents)
    return Error{Errc::refused,
                 format("the value '{}' depends on the batch, and is needed as a tensor", shown(term.name))};
  const auto known = constant(term);
  if (!known) return known.error();
  term.value = builder_.constant(**known);
  return term.value;
}

Result<ValueId> Scope::parameter(Term& term, TensorKind kind, bool transpose) {
  if (folds_ || term.value != kAbsent || !term.known() || term.of.type != DType::f32) return value(term);
  const auto known = constant(term);
  if (!known) return known.error();
  std::vector<std::int64_t> dims = term.of.shape.dims();
  std::vector<float> values = floats_of(**known);
  if (transpose) {
    check(dims.size() == 2, "a matrix is transposed");
    const auto rows = static_cast<std::size_t>(dims[0]), columns = static_cast<std::size_t>(dims[1]);
    std::vector<float> turned(values.size());
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < columns; ++c) turned[c * rows + r] = values[r * columns + c];
    values = std::move(turned);
    std::swap(dims[0], dims[1]);
  }
  const auto id = builder_.parameter(term.name, dims, kind, Init::given);
  if (!id) return id.error();
  given_.insert(given_.end(), values.begin(), values.end());
  mark_learned(*id);
  term.value = *id;
  if (term.stored != nullptr) term.constant.reset();
  return *id;
}

void Scope::mark_learned(ValueId id) {
  if (learned_.size() <= id) learned_.resize(id + 1, false);
  learned_[id] = true;
}

Result<std::vector<ValueId>> Scope::add(Kind kind, Attributes attributes, std::vector<ValueId> inputs) {
  if (auto ok = check_extents(attributes.dims); !ok) return ok.error().with(name_of(kind));
  const bool learned =
      std::any_of(inputs.begin(), inputs.end(), [&](ValueId id) { return this->learned(id); });
  const auto outputs = builder_.add_all(kind, std::move(attributes), std::move(inputs));
  if (!outputs) return outputs.error();
  for (const ValueId id : *outputs) {
    if (auto ok = check_extents(builder_.shape(id).dims()); !ok) return ok.error().with(name_of(kind));
    if (learned) mark_learned(id);
  }
  return outputs;
}

Model Scope::finish(std::vector<ValueId> results) && {
  Model model = std::move(builder_).finish(std::move(results));
  model.given = std::move(given_);
  return model;
}

}  // namespace trainyard::graph::onnx_file
