#include "tests/onnx/runner.hpp"

#include <cmath>
#include <cstring>
#include <fstream>
#include <set>

#include "common/base/text.hpp"
#include "common/graph/fuse.hpp"
#include "common/graph/onnx/tensor.hpp"
#include "common/graph/program.hpp"

namespace trainyard::graph::test {
namespace {

template <typename T>
void spread(const std::byte* from, Numbers& out) {
  for (std::size_t i = 0; i < out.values.size(); ++i) {
    T value;
    std::memcpy(&value, from + i * sizeof(T), sizeof(T));
    out.values[i] = static_cast<double>(value);
  }
}

Numbers read(const std::byte* from, const Signature& of) {
  Numbers out{of.shape.dims(), std::vector<double>(static_cast<std::size_t>(of.shape.elements())),
              !tensor::is_real(of.type)};
  switch (of.type) {
    case DType::i32:
      spread<std::int32_t>(from, out);
      break;
    case DType::i64:
      spread<std::int64_t>(from, out);
      break;
    case DType::u8:
      spread<std::uint8_t>(from, out);
      break;
    default:
      spread<float>(from, out);
  }
  return out;
}

template <typename T>
void gather(const Numbers& from, std::vector<std::byte>& out) {
  out.resize(from.values.size() * sizeof(T));
  for (std::size_t i = 0; i < from.values.size(); ++i) {
    const T value = static_cast<T>(from.values[i]);
    std::memcpy(out.data() + i * sizeof(T), &value, sizeof(T));
  }
}

}  // namespace

Result<Constant> read_tensor(const std::string& path, const onnx::ValueInfoProto& declared) {
  if (!declared.type().has_tensor_type())
    return Error{Errc::refused, format("'{}' is no tensor", declared.name())};
  const auto type = declared.type().tensor_type().elem_type();
  if (const auto known = onnx_file::element_type(type); !known) return known.error();
  std::ifstream in(path, std::ios::binary);
  onnx::TensorProto tensor;
  if (!in || !tensor.ParseFromIstream(&in)) return Error{Errc::io, path + ": no tensor"};
  if (type == onnx::TensorProto::BFLOAT16 && tensor.data_type() == onnx::TensorProto::UINT16)
    tensor.set_data_type(type);
  onnx_file::Folder nowhere{std::nullopt};
  return onnx_file::decode(tensor, nowhere);
}

Result<onnx::ModelProto> read_model(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  onnx::ModelProto model;
  if (!in || !model.ParseFromIstream(&in)) return Error{Errc::io, path + ": no model"};
  return model;
}

std::vector<std::string> input_names(const onnx::ModelProto& model) {
  std::set<std::string> initialized;
  for (const auto& tensor : model.graph().initializer()) initialized.insert(tensor.name());
  std::vector<std::string> names;
  for (const auto& input : model.graph().input())
    if (!initialized.contains(input.name())) names.push_back(input.name());
  return names;
}

Numbers numbers_of(const Constant& constant) { return read(constant.bytes.data(), constant.of); }

Constant constant_of(const Numbers& numbers, DType type) {
  Constant out{Signature(Shape(numbers.dims), type), {}};
  if (type == DType::i32) gather<std::int32_t>(numbers, out.bytes);
  if (type == DType::i64) gather<std::int64_t>(numbers, out.bytes);
  if (type == DType::u8) gather<std::uint8_t>(numbers, out.bytes);
  if (type == DType::f32) gather<float>(numbers, out.bytes);
  return out;
}

Result<std::vector<Numbers>> run(const Model& model, const std::vector<Constant>& inputs,
                                 const ops::Backend& backend) {
  std::vector<float> values;
  draw_initial(model, 1, values);
  return run(model, values, inputs, backend);
}

Result<std::vector<Numbers>> run(const Model& model, std::span<const float> values,
                                 const std::vector<Constant>& inputs, const ops::Backend& backend) {
  Graph graph = inference_graph(model);
  fuse(graph, false);
  if (inputs.size() != graph.externals.size())
    return Error{Errc::invalid, format("{} inputs for {}", inputs.size(), graph.externals.size())};
  std::int64_t batch = 1;
  std::vector<void*> externals;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Shape& open = graph.externals[i].of.shape;
    for (std::size_t axis = 0; axis < open.rank(); ++axis)
      if (open[axis] < 0) batch = inputs[i].of.shape[axis] / -open[axis];
    externals.push_back(const_cast<std::byte*>(inputs[i].bytes.data()));
  }
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (graph.externals[i].of.with_batch(batch) != inputs[i].of)
      return Error{Errc::invalid,
                   format("input '{}' is {} of {}, given {} of {}", graph.externals[i].name,
                          graph.externals[i].of.shape.text(), name_of(graph.externals[i].of.type),
                          inputs[i].of.shape.text(), name_of(inputs[i].of.type))};
  auto program = Program::bind(graph, static_cast<std::uint32_t>(batch), backend);
  if (!program) return program.error();
  tensor::Buffer arena((*program)->arena_bytes());
  const Memory memory{arena.data(), values.data(), nullptr, externals};
  (*program)->run(memory);
  std::vector<Numbers> out;
  for (std::size_t i = 0; i < graph.results.size(); ++i)
    out.push_back(read(static_cast<const std::byte*>((*program)->result(memory, i)),
                       graph.signature(graph.results[i]).with_batch(batch)));
  return out;
}

std::optional<std::string> difference(const Numbers& actual, const Numbers& expected, double rtol,
                                      double atol) {
  if (actual.dims != expected.dims)
    return format("the shape is {} instead of {}", Shape(actual.dims).text(), Shape(expected.dims).text());
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    const double a = actual.values[i], e = expected.values[i];
    if (std::isnan(a) && std::isnan(e)) continue;
    const bool close = a == e || std::abs(a - e) <= atol + rtol * std::abs(e);
    if (!close) return format("element {} is {} instead of {}", i, a, e);
  }
  return std::nullopt;
}

}  // namespace trainyard::graph::test
