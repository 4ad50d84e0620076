// Runs cases of the ONNX project's backend tests: onnx_node_case FOLDER... Each folder has model.onnx and
// test_data_set_0. Prints one line a folder: what became of it, its name, why.
//   passed    the outputs are right on both backends
//   told      the same; inputs that decide shapes were told when the model was read
//   refused   import says that it does not support the model
//   failed    anything else
#include <cstdio>
#include <filesystem>

#include "common/base/text.hpp"
#include "tests/onnx/runner.hpp"

namespace trainyard::graph::test {
namespace {

namespace fs = std::filesystem;
// As the backend tests of ONNX compare.
constexpr double rtol = 1e-3, atol = 1e-7;

struct Case {
  std::string model;
  std::vector<Constant> inputs, outputs;
};

Result<std::vector<Constant>> read_all(const fs::path& folder, const char* prefix) {
  std::vector<Constant> out;
  for (int i = 0; fs::exists(folder / format("{}_{}.pb", prefix, i)); ++i) {
    auto tensor = read_tensor(folder / format("{}_{}.pb", prefix, i));
    if (!tensor) return tensor.error().with(format("{} {}", prefix, i));
    out.push_back(std::move(*tensor));
  }
  return out;
}

Result<Case> read_case(const fs::path& folder) {
  auto inputs = read_all(folder / "test_data_set_0", "input");
  if (!inputs) return inputs.error();
  auto outputs = read_all(folder / "test_data_set_0", "output");
  if (!outputs) return outputs.error();
  return Case{(folder / "model.onnx").string(), std::move(*inputs), std::move(*outputs)};
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

struct Verdict {
  const char* word;
  std::string why;
};

/// `told` names the inputs whose values import is given.
Verdict attempt(const Case& given, const std::vector<std::string>& names, const std::vector<bool>& told) {
  OnnxImport options;
  std::vector<Constant> inputs;
  bool any = false;
  for (std::size_t i = 0; i < given.inputs.size(); ++i) {
    if (told[i]) options.constants.emplace(names[i], given.inputs[i]);
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
  return {any ? "told" : "passed", ""};
}

Verdict run_case(const fs::path& folder) {
  const auto given = read_case(folder);
  if (!given) return {given.error().code == Errc::refused ? "refused" : "failed", given.error().message};
  std::vector<std::string> names;
  const auto inputs = input_names(given->model);
  if (!inputs) return {"refused", inputs.error().message};
  names = *inputs;
  if (names.size() < given->inputs.size()) return {"failed", "more inputs than the model has"};
  std::vector<bool> none(given->inputs.size(), false), small = none, rest = none,
                                                       all(given->inputs.size(), true);
  for (std::size_t i = 1; i < given->inputs.size(); ++i) {
    const Signature& of = given->inputs[i].of;
    small[i] = !tensor::is_real(of.type) || of.shape.elements() <= 1;
    rest[i] = true;
  }
  Verdict first = attempt(*given, names, none);
  if (std::string_view(first.word) != "refused") return first;
  for (const auto& told : {small, rest, all}) {
    Verdict next = attempt(*given, names, told);
    if (std::string_view(next.word) != "refused") return next;
  }
  return first;
}

}  // namespace
}  // namespace trainyard::graph::test

int main(int argc, char** argv) {
  using namespace trainyard::graph::test;
  for (int i = 1; i < argc; ++i) {
    const std::filesystem::path folder(argv[i]);
    std::printf("begin\t%s\n", argv[i]);
    std::fflush(stdout);
    const Verdict verdict = run_case(folder);
    std::printf("%s\t%s\t%s\n", verdict.word, argv[i], verdict.why.c_str());
    std::fflush(stdout);
  }
  return 0;
}
