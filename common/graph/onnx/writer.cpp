#include "common/graph/onnx/writer.hpp"

#include <algorithm>
#include <cstring>

#include "common/graph/onnx/onnx.hpp"

namespace trainyard::graph::onnx_file {
namespace {

constexpr int ir_version = 8;  // came with operator set 17 (ONNX 1.12)

onnx::AttributeProto& attribute(onnx::NodeProto& node, const char* name,
                                onnx::AttributeProto::AttributeType type) {
  onnx::AttributeProto& out = *node.add_attribute();
  out.set_name(name);
  out.set_type(type);
  return out;
}

}  // namespace

int onnx_type(DType type) {
  switch (type) {
    case DType::i32:
      return onnx::TensorProto::INT32;
    case DType::i64:
      return onnx::TensorProto::INT64;
    case DType::u8:
      return onnx::TensorProto::UINT8;
    default:
      return onnx::TensorProto::FLOAT;
  }
}

Writer::Writer(const Source& source)
    : source_(source),
      names_(source.graph.values.size()),
      boolean_(source.graph.values.size(), false),
      uses_(graph::uses(source.graph)) {
  out_.set_ir_version(ir_version);
  out_.set_producer_name("trainyard");
  out_.set_producer_version(TRAINYARD_VERSION);
  auto* version = out_.add_opset_import();
  version->set_domain("");
  version->set_version(kOpsetWritten);
  out_.mutable_graph()->set_name("network");
  for (ValueId id = 0; id < graph().values.size(); ++id) {
    const Value& value = graph().values[id];
    if (value.place != Place::external) continue;
    names_[id] = unique(graph().externals[value.offset].name);
    declare(*out_.mutable_graph()->add_input(), names_[id], id);
  }
  for (const TensorInfo& tensor : source.tensors) taken_.insert(tensor.name);
  for (std::size_t i = 0; i < graph().results.size(); ++i) {
    const ValueId id = graph().results[i];
    const std::string wanted = i < source.result_names.size() ? source.result_names[i]
                               : i == 0                       ? "output"
                                                              : format("output_{}", i);
    results_.emplace_back(unique(wanted), id);
    if (graph().values[id].place == Place::arena && names_[id].empty()) names_[id] = results_.back().first;
  }
}

std::string Writer::unique(std::string wanted) {
  if (wanted.empty()) wanted = "value";
  std::string name = wanted;
  for (int i = 1; !taken_.insert(name).second; ++i) name = format("{}_{}", wanted, i);
  return name;
}

std::string Writer::fresh() { return unique(format("x{}", count_++)); }

void Writer::declare(onnx::ValueInfoProto& value, const std::string& name, ValueId id) const {
  value.set_name(name);
  auto* type = value.mutable_type()->mutable_tensor_type();
  type->set_elem_type(boolean_[id] ? static_cast<int>(onnx::TensorProto::BOOL) : onnx_type(this->type(id)));
  type->mutable_shape();
  for (const std::int64_t dim : shape(id).dims()) {
    auto* out = type->mutable_shape()->add_dim();
    if (dim >= 0)
      out->set_dim_value(dim);
    else
      out->set_dim_param(dim == tensor::kBatch ? "batch" : format("{}*batch", -dim));
  }
}

void Writer::write_parameter(ValueId id, bool turned) {
  const Value& value = graph().values[id];
  const auto info = std::find_if(source_.tensors.begin(), source_.tensors.end(), [&](const TensorInfo& t) {
    return t.offset == value.offset && Shape(t.shape) == value.of.shape;
  });
  check(info != source_.tensors.end(), "a parameter of the graph is a tensor of the model");
  names_[id] = info->name;
  auto* tensor = out_.mutable_graph()->add_initializer();
  tensor->set_name(info->name);
  tensor->set_data_type(onnx::TensorProto::FLOAT);
  const auto values = source_.values.subspan(info->offset, info->length);
  if (!turned) {
    for (const std::int64_t dim : info->shape) tensor->add_dims(dim);
    tensor->set_raw_data(values.data(), values.size_bytes());
    return;
  }
  const auto rows = static_cast<std::size_t>(info->shape[0]),
             columns = static_cast<std::size_t>(info->shape[1]);
  std::vector<float> other(values.size());
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < columns; ++c) other[c * rows + r] = values[r * columns + c];
  tensor->add_dims(info->shape[1]);
  tensor->add_dims(info->shape[0]);
  tensor->set_raw_data(other.data(), other.size() * sizeof(float));
}

std::string Writer::write_constant(const Constant& constant, bool boolean) {
  const std::string made = fresh();
  auto& tensor = *attribute(node("Constant", {}, {made}), "value", onnx::AttributeProto::TENSOR).mutable_t();
  for (const std::int64_t dim : constant.of.shape.dims()) tensor.add_dims(dim);
  tensor.set_data_type(boolean ? static_cast<int>(onnx::TensorProto::BOOL) : onnx_type(constant.of.type));
  tensor.set_raw_data(constant.bytes.data(), constant.bytes.size());
  return made;
}

std::string Writer::name(ValueId id) {
  if (id == kAbsent) return "";
  if (!names_[id].empty()) return names_[id];
  const Value& value = graph().values[id];
  if (value.place == Place::parameter) {
    write_parameter(id, false);
  } else if (value.place == Place::constant) {
    names_[id] = write_constant(graph().constants[value.offset], false);
  } else {
    names_[id] = fresh();
  }
  return names_[id];
}

std::string Writer::turned(ValueId id) {
  if (graph().values[id].place == Place::parameter && uses(id) == 1 && names_[id].empty()) {
    write_parameter(id, true);
    return names_[id];
  }
  return transpose(name(id), {1, 0});
}

std::string Writer::as_bool(ValueId id) {
  return boolean_[id] ? name(id) : cast(name(id), onnx::TensorProto::BOOL);
}

std::string Writer::as_bytes(ValueId id) {
  return boolean_[id] ? cast(name(id), onnx::TensorProto::UINT8) : name(id);
}

onnx::NodeProto& Writer::node(const char* kind, const std::vector<std::string>& inputs,
                              const std::vector<std::string>& outputs) {
  onnx::NodeProto& made = *out_.mutable_graph()->add_node();
  made.set_op_type(kind);
  made.set_name(format("{}_{}", kind, out_.graph().node_size()));
  for (const std::string& input : inputs) made.add_input(input);
  while (made.input_size() > 0 && made.input(made.input_size() - 1).empty())
    made.mutable_input()->RemoveLast();
  for (const std::string& output : outputs) made.add_output(output);
  return made;
}

std::string Writer::apply(const char* kind, const std::vector<std::string>& inputs) {
  const std::string made = fresh();
  node(kind, inputs, {made});
  return made;
}

void Writer::set(onnx::NodeProto& node, const char* name, std::int64_t value) {
  attribute(node, name, onnx::AttributeProto::INT).set_i(value);
}
void Writer::set(onnx::NodeProto& node, const char* name, double value) {
  attribute(node, name, onnx::AttributeProto::FLOAT).set_f(static_cast<float>(value));
}
void Writer::set(onnx::NodeProto& node, const char* name, const std::string& value) {
  attribute(node, name, onnx::AttributeProto::STRING).set_s(value);
}
void Writer::set(onnx::NodeProto& node, const char* name, const std::vector<std::int64_t>& values) {
  auto& out = attribute(node, name, onnx::AttributeProto::INTS);
  for (const std::int64_t value : values) out.add_ints(value);
}

namespace {

template <typename T>
Constant list(DType type, const std::vector<T>& values, std::vector<std::int64_t> dims) {
  Constant out{Signature(Shape(std::move(dims)), type), std::vector<std::byte>(values.size() * sizeof(T))};
  if (!values.empty()) std::memcpy(out.bytes.data(), values.data(), out.bytes.size());
  return out;
}

}  // namespace

std::string Writer::number(double value, DType type) {
  switch (type) {
    case DType::i32:
      return write_constant(list(type, std::vector<std::int32_t>{static_cast<std::int32_t>(value)}, {}),
                            false);
    case DType::i64:
      return write_constant(list(type, std::vector<std::int64_t>{static_cast<std::int64_t>(value)}, {}),
                            false);
    case DType::u8:
      return write_constant(list(type, std::vector<std::uint8_t>{static_cast<std::uint8_t>(value)}, {}),
                            false);
    default:
      return write_constant(list(DType::f32, std::vector<float>{static_cast<float>(value)}, {}), false);
  }
}

std::string Writer::integers(const std::vector<std::int64_t>& values) {
  return write_constant(list(DType::i64, values, {static_cast<std::int64_t>(values.size())}), false);
}

std::string Writer::floats(const std::vector<float>& values, const std::vector<std::int64_t>& dims) {
  return write_constant(list(DType::f32, values, dims), false);
}

std::string Writer::cast(const std::string& name, int to) {
  const std::string made = fresh();
  set(node("Cast", {name}, {made}), "to", static_cast<std::int64_t>(to));
  return made;
}

std::string Writer::reshape(const std::string& x, const std::vector<std::int64_t>& dims,
                            const std::string& output) {
  std::vector<std::int64_t> to = dims;
  bool empty = false;
  for (std::int64_t& dim : to) {
    if (dim < 0) dim = -1;
    empty = empty || dim == 0;
  }
  const std::string shape = integers(to), made = output.empty() ? fresh() : output;
  onnx::NodeProto& reshape = node("Reshape", {x, shape}, {made});
  if (empty) set(reshape, "allowzero", std::int64_t{1});
  return made;
}

std::string Writer::transpose(const std::string& x, const std::vector<std::int64_t>& axes,
                              const std::string& output) {
  const std::string made = output.empty() ? fresh() : output;
  set(node("Transpose", {x}, {made}), "perm", axes);
  return made;
}

/// The batch as a vector of one number: an extent of an input, divided by how often it holds the batch.
Result<std::string> Writer::batch() {
  if (!batch_.empty()) return batch_;
  for (ValueId id = 0; id < graph().values.size(); ++id) {
    if (graph().values[id].place != Place::external) continue;
    for (std::size_t axis = 0; axis < shape(id).rank(); ++axis) {
      const std::int64_t dim = shape(id)[axis];
      if (dim >= 0) continue;
      const std::string all = apply("Shape", {name(id)});
      batch_ = apply("Gather", {all, integers({static_cast<std::int64_t>(axis)})});
      if (dim != tensor::kBatch) batch_ = apply("Div", {batch_, integers({-dim})});
      return batch_;
    }
  }
  return Error{Errc::refused, "needs the batch, which no input has"};
}

Result<std::string> Writer::extents(const std::vector<std::int64_t>& dims) {
  if (!Shape(dims).open()) return integers(dims);
  const auto one = batch();
  if (!one) return one;
  std::vector<std::string> parts;
  for (const std::int64_t dim : dims)
    parts.push_back(dim >= 0                ? integers({dim})
                    : dim == tensor::kBatch ? *one
                                            : apply("Mul", {*one, integers({-dim})}));
  const std::string made = fresh();
  set(node("Concat", parts, {made}), "axis", std::int64_t{0});
  return made;
}

Result<std::string> Writer::finish() {
  for (const auto& [wanted, id] : results_) {
    if (name(id) != wanted) node("Identity", {name(id)}, {wanted});
    declare(*out_.mutable_graph()->add_output(), wanted, id);
  }
  if (out_.ByteSizeLong() > kOnnxBytesMax)
    return Error{Errc::refused, format("ONNX files end at {}, this one takes {}", size_text(kOnnxBytesMax),
                                       size_text(out_.ByteSizeLong()))};
  return out_.SerializeAsString();
}

}  // namespace trainyard::graph::onnx_file
