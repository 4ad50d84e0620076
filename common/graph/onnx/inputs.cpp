#include "common/graph/onnx/inputs.hpp"

#include <algorithm>
#include <set>

#include "common/base/text.hpp"
#include "common/graph/onnx/scope.hpp"

namespace trainyard::graph::onnx_file {
namespace {

using Dimension = onnx::TensorShapeProto::Dimension;

class Reader {
 public:
  Reader(const onnx::GraphProto& graph, const OnnxImport& options) : options_(options) {
    std::set<std::string> initialized;
    for (const auto& tensor : graph.initializer()) initialized.insert(tensor.name());
    for (const auto& input : graph.input()) {
      names_.insert(input.name());
      if (!initialized.contains(input.name()) && !options.constants.contains(input.name()))
        inputs_.push_back(&input);
    }
  }

  Result<std::vector<Input>> run() {
    if (auto ok = check_options(); !ok) return ok.error();
    find_batch();
    std::vector<Input> out;
    for (const auto* input : inputs_) {
      auto one = read(*input);
      if (!one) return one.error().with(format("input '{}'", shown(input->name())));
      out.push_back(std::move(*one));
    }
    return out;
  }

 private:
  /// What the caller says; null where the file decides.
  const std::vector<std::int64_t>* told(const std::string& input) const {
    if (options_.only_input) return &*options_.only_input;
    const auto it = options_.shapes.find(input);
    return it == options_.shapes.end() ? nullptr : &it->second;
  }

  static const auto& dims(const onnx::ValueInfoProto& input) {
    return input.type().tensor_type().shape().dim();
  }

  Status check_options() const {
    if (options_.only_input && inputs_.size() != 1) {
      std::vector<std::string> names;
      for (const auto* input : inputs_) names.push_back(shown(input->name()));
      return Error{Errc::refused, format("a network with one input is needed; this has {}: {}",
                                         inputs_.size(), join(names, ", "))};
    }
    const auto unknown = [&](const std::string& name) {
      return Error{Errc::invalid, format("the model has no input '{}'", shown(name))};
    };
    for (const auto& [name, shape] : options_.shapes)
      if (!names_.contains(name)) return unknown(name);
    for (const auto& [name, constant] : options_.constants) {
      if (!names_.contains(name)) return unknown(name);
      if (constant.of.shape.open() ||
          constant.bytes.size() !=
              static_cast<std::size_t>(constant.of.shape.elements()) * tensor::size_of(constant.of.type))
        return Error{Errc::invalid, format("the value told for '{}' does not fit its shape", shown(name))};
    }
    return {};
  }

  bool open(const Dimension& dim) const {
    return dim.has_dim_param() && !dim.dim_param().empty() && !options_.extents.contains(dim.dim_param());
  }

  /// The first symbol that stands first; or the only one that there is.
  void find_batch() {
    std::set<std::string> symbols;
    for (const auto* input : inputs_) {
      if (told(input->name()) != nullptr) continue;
      for (int axis = 0; axis < dims(*input).size(); ++axis) {
        const Dimension& dim = dims(*input).Get(axis);
        if (!open(dim)) continue;
        symbols.insert(dim.dim_param());
        if (axis == 0 && batch_.empty()) batch_ = dim.dim_param();
      }
    }
    if (batch_.empty() && symbols.size() == 1) batch_ = *symbols.begin();
  }

  Result<std::int64_t> extent(const Dimension& dim, int axis) const {
    if (dim.has_dim_value()) {
      if (dim.dim_value() < 0) return Error{Errc::corrupt, format("an extent of {}", dim.dim_value())};
      return dim.dim_value();
    }
    const std::string& symbol = dim.dim_param();
    if (const auto it = options_.extents.find(symbol); !symbol.empty() && it != options_.extents.end())
      return it->second;
    if (symbol.empty() ? axis == 0 : symbol == batch_) return tensor::kBatch;
    return Error{Errc::refused, format("dimension {} ({}) is open; only the batch may be. Tell its size",
                                       axis, symbol.empty() ? "without a name" : "'" + shown(symbol) + "'")};
  }

  Result<Input> read(const onnx::ValueInfoProto& input) const {
    if (!input.type().has_tensor_type()) return Error{Errc::refused, "is no tensor"};
    const auto type = element_type(input.type().tensor_type().elem_type());
    if (!type) return type.error();
    std::vector<std::int64_t> out;
    std::int64_t fixed_batch = 0;
    if (const auto* shape = told(input.name())) {
      out = *shape;
      const bool opened = !out.empty() && out[0] == tensor::kBatch && dims(input).size() > 0;
      if (opened && dims(input).Get(0).has_dim_value()) fixed_batch = dims(input).Get(0).dim_value();
    } else if (!input.type().tensor_type().has_shape()) {
      return Error{Errc::refused, "has no shape; tell it"};
    } else {
      for (int axis = 0; axis < dims(input).size(); ++axis) {
        const auto dim = extent(dims(input).Get(axis), axis);
        if (!dim) return dim.error();
        out.push_back(*dim);
      }
    }
    if (auto ok = check_extents(out); !ok) return ok.error();
    const std::int64_t bytes =
        std::abs(Shape(out).volume()) * static_cast<std::int64_t>(tensor::size_of(type->type));
    const std::int64_t batch = Shape(out).open() ? std::max<std::int64_t>(1, options_.batch_max) : 1;
    if (static_cast<std::uint64_t>(bytes) > kTensorBytesMax / static_cast<std::uint64_t>(batch))
      return Error{Errc::invalid, format("{} for a batch of {} takes more than {}", Shape(out).text(), batch,
                                         size_text(kTensorBytesMax))};
    return Input{input.name(), Signature(Shape(std::move(out)), type->type), type->boolean, type->bfloat16,
                 fixed_batch};
  }

  const OnnxImport& options_;
  std::set<std::string> names_;
  std::vector<const onnx::ValueInfoProto*> inputs_;
  std::string batch_;  // the symbol that is the batch
};

}  // namespace

Result<std::vector<Input>> read_inputs(const onnx::GraphProto& graph, const OnnxImport& options) {
  return Reader(graph, options).run();
}

}  // namespace trainyard::graph::onnx_file
