// From a file to a model: its inputs, its nodes one after the other, its results.
#include <algorithm>
#include <fstream>
#include <unordered_map>

#include "common/graph/onnx/fold.hpp"
#include "common/graph/onnx/inputs.hpp"
#include "common/graph/onnx/onnx.hpp"
#include "common/graph/onnx/order.hpp"
#include "common/graph/onnx/wire.hpp"

namespace trainyard::graph {
namespace onnx_file {
namespace {

bool own_domain(const std::string& domain) { return domain.empty() || domain == "ai.onnx"; }

Result<int> version_of(const onnx::ModelProto& model) {
  std::int64_t version = 0;
  for (const auto& set : model.opset_import())
    if (own_domain(set.domain())) version = set.version();
  if (version == 0 && model.opset_import_size() == 0)
    return Error{Errc::invalid, "the ONNX file names no operator set"};
  if (version == 0)
    return Error{Errc::refused, "the ONNX file uses no operator set of ai.onnx, but only others"};
  if (version < kOpsetMin || version > kOpsetKnown)
    return Error{Errc::refused,
                 format("the ONNX file uses operator set {}; {} to {} are read. Export it with {}", version,
                        kOpsetMin, kOpsetKnown, kOpsetWritten)};
  return static_cast<int>(version);
}

class Importer {
 public:
  Importer(const onnx::ModelProto& model, const OnnxImport& options, Folder folder)
      : graph_(model.graph()),
        model_(model),
        options_(options),
        folder_(std::move(folder)),
        scope_(options.batch_max, folder_, false),
        folding_(folder_) {}

  Result<Model> run() {
    const auto version = version_of(model_);
    if (!version) return version.error();
    version_ = *version;
    if (!model_.has_graph()) return Error{Errc::corrupt, "the ONNX file has no graph"};
    if (graph_.sparse_initializer_size() > 0)
      return Error{Errc::refused, "sparse initializers are not supported"};
    if (auto ok = read_initializers(); !ok) return ok.error();
    if (auto ok = add_inputs(); !ok) return ok.error();
    std::vector<std::string> given, results = options_.results;
    for (const auto& [name, term] : terms_) given.push_back(name);
    if (results.empty())
      for (const auto& output : graph_.output()) results.push_back(output.name());
    if (results.empty()) return Error{Errc::invalid, "the ONNX graph has no outputs"};
    auto order = order_of(graph_, given, results);
    if (!order) return order.error();
    uses_ = std::move(order->uses);
    for (const auto& [name, term] : terms_) term->uses = uses(name);
    for (const int index : order->nodes)
      if (auto ok = add(graph_.node(index)); !ok) return ok.error().with(node_place(graph_.node(index)));
    return finish(results);
  }

 private:
  std::uint32_t uses(const std::string& name) const {
    const auto it = uses_.find(name);
    return it == uses_.end() ? 0 : it->second;
  }

  Status insert(TermPtr term) {
    const std::string name = term->name;
    if (name.empty()) return Error{Errc::invalid, "an input or initializer of the ONNX graph has no name"};
    if (!terms_.emplace(name, std::move(term)).second)
      return Error{Errc::invalid, format("the ONNX graph has '{}' twice", shown(name))};
    return {};
  }

  Status read_initializers() {
    for (const auto& tensor : graph_.initializer()) {
      const auto of = signature_of(tensor);
      if (!of) return of.error().with(format("initializer '{}'", shown(tensor.name())));
      auto term = std::make_shared<Term>();
      term->name = tensor.name();
      term->of = *of;
      term->boolean = tensor.data_type() == onnx::TensorProto::BOOL;
      term->bfloat16 = tensor.data_type() == onnx::TensorProto::BFLOAT16;
      term->stored = &tensor;
      if (auto ok = insert(std::move(term)); !ok) return ok;
    }
    return {};
  }

  Status add_inputs() {
    const auto inputs = read_inputs(graph_, options_);
    if (!inputs) return inputs.error();
    for (const Input& input : *inputs) {
      auto term = std::make_shared<Term>();
      term->name = input.name;
      term->of = input.of;
      term->boolean = input.boolean;
      term->bfloat16 = input.bfloat16;
      term->value = scope_.builder().input(input.name, input.of);
      if (input.fixed_batch > 0) scope_.set_fixed_batch(input.fixed_batch);
      if (auto ok = insert(std::move(term)); !ok) return ok;
    }
    for (const auto& [name, constant] : options_.constants) {
      terms_.erase(name);
      auto term = std::make_shared<Term>();
      term->name = name;
      term->of = constant.of;
      term->constant = std::make_shared<const Constant>(constant);
      for (const auto& input : graph_.input())
        if (input.name() == name) {
          term->boolean = input.type().tensor_type().elem_type() == onnx::TensorProto::BOOL;
          term->bfloat16 = input.type().tensor_type().elem_type() == onnx::TensorProto::BFLOAT16;
        }
      if (auto ok = insert(std::move(term)); !ok) return ok;
    }
    return {};
  }

  Result<const Operator*> operator_of(const onnx::NodeProto& node) const {
    const auto refuse = [](std::string text) { return Error{Errc::refused, std::move(text)}; };
    if (!own_domain(node.domain()))
      return refuse(format("operators of the domain '{}' are not supported", shown(node.domain())));
    const Operator* op = find_operator(node.op_type());
    if (op == nullptr)
      return refuse("this operator is not supported; docs/reference/onnx.md lists those that are");
    if (op->since > version_)
      return refuse(format("this operator came with operator set {}; the file uses {}", op->since, version_));
    if (op->until != 0 && op->until < version_)
      return refuse(
          format("operator set {} has this operator no more; the file uses {}", op->until + 1, version_));
    return op;
  }

  Status add(const onnx::NodeProto& node) {
    scope_.builder().origin(node.op_type(), node_place(node));
    const auto op = operator_of(node);
    if (!op) return op.error();
    std::vector<TermPtr> operands;
    for (const std::string& name : node.input()) operands.push_back(name.empty() ? nullptr : terms_.at(name));
    while (!operands.empty() && !operands.back()) operands.pop_back();
    std::vector<bool> used;
    for (const std::string& name : node.output()) used.push_back(!name.empty() && uses(name) > 0);
    auto results = read(**op, node, operands, used);
    if (!results) return results.error();
    for (int i = 0; i < node.output_size(); ++i) {
      const std::string& name = node.output(i);
      TermPtr& term = (*results)[static_cast<std::size_t>(i)];
      if (name.empty() || !term) continue;
      const bool passed = std::find(operands.begin(), operands.end(), term) != operands.end();
      // Who uses another name of a value uses the value; the node itself does not count.
      term->uses = passed ? term->uses + uses(name) - 1 : uses(name);
      terms_[name] = std::move(term);
    }
    return {};
  }

  Result<std::vector<TermPtr>> read(const Operator& op, const onnx::NodeProto& node,
                                    const std::vector<TermPtr>& operands, const std::vector<bool>& used) {
    Call small(scope_, node, version_, operands, used);
    if (evaluate(small)) return small.finish();
    auto folded = folding_.fold(op, node, version_, operands, used);
    if (!folded) return folded.error();
    if (*folded) return std::move(**folded);
    Call call(scope_, node, version_, operands, used);
    op.read(call);
    return call.finish();
  }

  Result<Model> finish(const std::vector<std::string>& results) {
    std::vector<ValueId> ids;
    for (const std::string& name : results) {
      // A weight that is a result by itself stays one, as the transitions of a random field.
      Term& term = *terms_.at(name);
      const auto id =
          term.stored != nullptr ? scope_.parameter(term, TensorKind::weight) : scope_.value(term);
      if (!id) return id.error().with(format("output '{}'", shown(name)));
      ids.push_back(*id);
    }
    Model model = std::move(scope_).finish(std::move(ids));
    model.result_names = results;
    for (const auto& [name, term] : terms_)
      if (term->value != kAbsent && model.graph.values[term->value].place == Place::arena)
        model.names.emplace(name, term->value);
    return model;
  }

  const onnx::GraphProto& graph_;
  const onnx::ModelProto& model_;
  const OnnxImport& options_;
  Folder folder_;
  Scope scope_;
  Folding folding_;
  int version_ = 0;
  std::unordered_map<std::string, TermPtr> terms_;
  std::unordered_map<std::string, std::uint32_t> uses_;
};

Result<Model> import_from(std::string_view bytes, const OnnxImport& options, Folder folder) {
  if (bytes.size() > kOnnxBytesMax)
    return Error{Errc::refused, format("the ONNX file of {} is larger than {}", size_text(bytes.size()),
                                       size_text(kOnnxBytesMax))};
  if (auto ok = check_wire(bytes); !ok) return ok.error();
  onnx::ModelProto model;
  if (!model.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return Error{Errc::corrupt, "not a whole ONNX file"};
  return Importer(model, options, std::move(folder)).run();
}

}  // namespace
}  // namespace onnx_file

Result<Model> import_onnx(std::string_view bytes, const OnnxImport& options) {
  return onnx_file::import_from(bytes, options, onnx_file::Folder(std::nullopt));
}

Result<Model> import_onnx_file(const std::string& path, const OnnxImport& options) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::exists(path, error)) return Error{Errc::not_found, format("{}: there is no such file", path)};
  if (!fs::is_regular_file(path, error)) return Error{Errc::invalid, format("{}: is no file", path)};
  const std::uint64_t size = fs::file_size(path, error);
  if (error) return Error{Errc::io, format("{}: {}", path, error.message())};
  if (size > kOnnxBytesMax)
    return Error{Errc::refused,
                 format("{}: {} is more than {}", path, size_text(size), size_text(kOnnxBytesMax))};
  std::string bytes(static_cast<std::size_t>(size), '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(bytes.data(), static_cast<std::streamsize>(size));
  if (!in) return Error{Errc::io, format("{}: cannot be read", path)};
  auto model = onnx_file::import_from(bytes, options, onnx_file::Folder(fs::path(path).parent_path()));
  if (!model) return model.error().with(path);
  return model;
}

}  // namespace trainyard::graph
