// The attributes of a node.
#include <algorithm>

#include "common/graph/onnx/call.hpp"

namespace trainyard::graph::onnx_file {

using onnx::AttributeProto;

const AttributeProto* Call::find(const char* name) const {
  const auto& all = node_.attribute();
  const auto it = std::find_if(all.begin(), all.end(), [&](const auto& a) { return a.name() == name; });
  return it == all.end() ? nullptr : &*it;
}

const AttributeProto* Call::attribute(const char* name, int type) {
  read_.insert(name);
  const AttributeProto* found = find(name);
  if (found == nullptr) return nullptr;
  if (!require(found->ref_attr_name().empty(), "the attribute '{}' belongs to a function", name))
    return nullptr;
  // Files from before the type was written down leave it undefined.
  const int is = found->type();
  if (!require(is == type || is == AttributeProto::UNDEFINED, "the attribute '{}' is of another type", name))
    return nullptr;
  return found;
}

std::int64_t Call::integer(const char* name, std::int64_t otherwise, std::int64_t least, std::int64_t most) {
  const AttributeProto* found = attribute(name, AttributeProto::INT);
  if (found == nullptr) {
    require(otherwise >= least && otherwise <= most, "{} is missing", name);
    return otherwise;
  }
  if (!require(found->i() >= least && found->i() <= most, "{} is {}; it has to be in {}..{}", name,
               found->i(), least, most))
    return otherwise;
  return found->i();
}

double Call::number(const char* name, double otherwise) {
  const AttributeProto* found = attribute(name, AttributeProto::FLOAT);
  return found == nullptr ? otherwise : static_cast<double>(found->f());
}

std::string Call::word(const char* name, const char* otherwise) {
  const AttributeProto* found = attribute(name, AttributeProto::STRING);
  return found == nullptr ? otherwise : found->s();
}

std::vector<std::int64_t> Call::integer_list(const char* name) {
  const AttributeProto* found = attribute(name, AttributeProto::INTS);
  if (found == nullptr) return {};
  return {found->ints().begin(), found->ints().end()};
}

std::vector<double> Call::number_list(const char* name) {
  const AttributeProto* found = attribute(name, AttributeProto::FLOATS);
  if (found == nullptr) return {};
  return {found->floats().begin(), found->floats().end()};
}

std::vector<std::string> Call::word_list(const char* name) {
  const AttributeProto* found = attribute(name, AttributeProto::STRINGS);
  if (found == nullptr) return {};
  return {found->strings().begin(), found->strings().end()};
}

std::optional<Constant> Call::tensor(const char* name, bool& boolean) {
  const AttributeProto* found = attribute(name, AttributeProto::TENSOR);
  if (found == nullptr) return std::nullopt;
  auto constant = scope_.decode(found->t());
  if (!constant) {
    fail(constant.error().with(format("the attribute '{}'", name)));
    return std::nullopt;
  }
  boolean = found->t().data_type() == onnx::TensorProto::BOOL;
  return std::move(*constant);
}

}  // namespace trainyard::graph::onnx_file
