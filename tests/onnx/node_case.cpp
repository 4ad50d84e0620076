// Runs cases of the ONNX project's backend tests: onnx_node_case [--export DIR] FOLDER... Each folder has
// model.onnx and test_data_set_0. Prints one line a folder: what became of it, its name, why.
//   passed    the outputs are right on both backends, and stay what they are when the model is exported and
//             imported again; said is why, when it has no counterpart in operator set 17
//   told      the same; inputs that decide shapes were told when the model was read
//   refused   import says that it does not support the model
//   failed    anything else
// With --export DIR what export makes of NAME is left as DIR/NAME.onnx. onnx_node_case --operators
// lists what import reads: name, first operator set, last or 0.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "common/base/text.hpp"
#include "common/graph/onnx/operators.hpp"
#include "tests/onnx/runner.hpp"

namespace trainyard::graph::test {
namespace {

namespace fs = std::filesystem;
// As the backend tests of ONNX compare.
constexpr double rtol = 1e-3, atol = 1e-7;

struct Case {
  std::string model;
  std::vector<std::string> names;  // of the inputs
  std::vector<Constant> inputs, outputs;
  std::map<std::string, std::vector<std::int64_t>>
      shapes;  // of inputs whose data differ from what is declared
};

template <typename Declared>
Result<std::vector<Constant>> read_all(const fs::path& folder, const char* prefix, const Declared& declared) {
  std::vector<Constant> out;
  for (int i = 0; fs::exists(folder / format("{}_{}.pb", prefix, i)) && i < declared.size(); ++i) {
    auto tensor = read_tensor(folder / format("{}_{}.pb", prefix, i), declared.Get(i));
    if (!tensor) return tensor.error().with(format("{} {}", prefix, i));
    out.push_back(std::move(*tensor));
  }
  return out;
}

Result<Case> read_case(const fs::path& folder) {
  const std::string path = (folder / "model.onnx").string();
  const auto model = read_model(path);
  if (!model) return model.error();
  auto inputs = read_all(folder / "test_data_set_0", "input", model->graph().input());
  if (!inputs) return inputs.error();
  auto outputs = read_all(folder / "test_data_set_0", "output", model->graph().output());
  if (!outputs) return outputs.error();
  Case out{path, input_names(*model), std::move(*inputs), std::move(*outputs), {}};
  for (std::size_t i = 0; i < out.inputs.size(); ++i) {
    std::vector<std::int64_t> declared;
    const auto& input = model->graph().input(static_cast<int>(i));
    for (const auto& dim : input.type().tensor_type().shape().dim()) declared.push_back(dim.dim_value());
    if (declared != out.inputs[i].of.shape.dims()) out.shapes[input.name()] = out.inputs[i].of.shape.dims();
  }
  return out;
}

std::optional<std::string> check_on(const char* name, const Model& model, const std::vector<Constant>& inputs,
                                    const Case& expected, const ops::Backend& backend) {
  const auto results = run(model, inputs, backend);
  if (!results) return format("{}: {}", name, results.error().message);
  if (results->size() != expected.outputs.size())
    return format("{} outputs instead of {}", results->size(), expected.outputs.size());
  for (std::size_t i = 0; i < results->size(); ++i)
    if (const auto off = difference((*results)[i], numbers_of(expected.outputs[i]), rtol, atol))
      return format("{}: output {}: {}", name, i, *off);
  return std::nullopt;
}

std::string export_directory;

/// import(export(model)) has to give the same numbers. Errc::refused when export refuses, Errc::invalid when
/// it does not.
Status check_round_trip(const Model& model, const std::vector<Constant>& inputs, const std::string& name,
                        const ops::Backend& backend) {
  std::vector<float> values;
  draw_initial(model, 1, values);
  const auto file = export_onnx(model, values);
  if (!file) return file.error().with("not exported");
  if (!export_directory.empty())
    std::ofstream(export_directory + "/" + name + ".onnx", std::ios::binary) << *file;
  const auto again = import_onnx(*file);
  if (!again) return Error{Errc::invalid, "import of the export: " + again.error().message};
  const auto first = run(model, inputs, backend), second = run(*again, inputs, backend);
  if (!first || !second) return Error{Errc::invalid, (first ? second : first).error().message};
  if (first->size() != second->size()) return Error{Errc::invalid, "the export has other outputs"};
  for (std::size_t i = 0; i < first->size(); ++i)
    if (const auto off = difference((*second)[i], (*first)[i], 1e-6, 1e-6))
      return Error{Errc::invalid, format("output {} of the export: {}", i, *off)};
  return {};
}

/// "Conv" or "Add+Relu": which operators a model has.
std::string operators_of(const fs::path& folder) {
  const auto model = read_model((folder / "model.onnx").string());
  if (!model) return "";
  std::set<std::string> kinds;
  for (const auto& node : model->graph().node()) kinds.insert(node.op_type());
  const std::vector<std::string> all(kinds.begin(), kinds.end());
  return join(all, "+");
}

struct Verdict {
  const char* word = "refused";
  std::string why;
};

/// `told` names the inputs whose values import is given.
Verdict attempt(const Case& given, const std::vector<bool>& told) {
  OnnxImport options;
  options.shapes = given.shapes;
  std::vector<Constant> inputs;
  bool any = false;
  for (std::size_t i = 0; i < given.inputs.size(); ++i) {
    if (told[i]) options.constants.emplace(given.names[i], given.inputs[i]);
    if (!told[i]) inputs.push_back(given.inputs[i]);
    any = any || told[i];
  }
  const auto model = import_onnx_file(given.model, options);
  if (!model) {
    const std::string why = model.error().message.substr(given.model.size() + 2);
    return {model.error().code == Errc::refused ? "refused" : "failed", why};
  }
  static const auto reference = ops::reference_backend<float>();
  static const auto cpu = ops::cpu_backend();
  if (const auto off = check_on("reference", *model, inputs, given, *reference)) return {"failed", *off};
  if (const auto off = check_on("cpu", *model, inputs, given, *cpu)) return {"failed", *off};
  const std::string name = fs::path(given.model).parent_path().filename().string();
  const Status trip = check_round_trip(*model, inputs, name, *reference);
  if (!trip && trip.error().code != Errc::refused) return {"failed", trip.error().message};
  return {any ? "told" : "passed", trip ? "" : trip.error().message};
}

Verdict run_case(const fs::path& folder) {
  const auto given = read_case(folder);
  if (!given) return {given.error().code == Errc::refused ? "refused" : "failed", given.error().message};
  if (given->names.size() < given->inputs.size()) return {"failed", "more inputs than the model has"};
  const std::vector<bool> none(given->inputs.size(), false), all(given->inputs.size(), true);
  std::vector<bool> small = none, rest = none;
  for (std::size_t i = 1; i < given->inputs.size(); ++i) {
    const Signature& of = given->inputs[i].of;
    small[i] = !tensor::is_real(of.type) || of.shape.elements() <= 1;
    rest[i] = true;
  }
  Verdict verdict;
  for (const auto& told : {none, small, rest, all}) {
    verdict = attempt(*given, told);
    if (std::string_view(verdict.word) != "refused") break;
  }
  return verdict;
}

}  // namespace
}  // namespace trainyard::graph::test

int main(int argc, char** argv) {
  using namespace trainyard::graph::test;
  if (argc == 2 && std::string_view(argv[1]) == "--operators") {
    for (const auto& one : trainyard::graph::onnx_file::all_operators())
      std::printf("%s\t%d\t%d\n", one.name, one.since, one.until);
    return 0;
  }
  int first = 1;
  if (argc > 2 && std::string_view(argv[1]) == "--export") {
    export_directory = argv[2];
    first = 3;
  }
  for (int i = first; i < argc; ++i) {
    const std::filesystem::path folder(argv[i]);
    std::printf("begin\t%s\n", argv[i]);
    std::fflush(stdout);
    const Verdict verdict = run_case(folder);
    std::printf("%s\t%s\t%s\t%s\n", verdict.word, argv[i], operators_of(folder).c_str(), verdict.why.c_str());
    std::fflush(stdout);
  }
  return 0;
}
