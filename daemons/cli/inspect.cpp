#include <CLI/CLI.hpp>
#include <memory>

#include "daemons/cli/bundle.hpp"
#include "daemons/cli/context.hpp"

namespace trainyard::cli {

namespace {

struct Options {
  std::string model, input, dot, svg, output;
  std::vector<std::string> overrides;
  std::uint32_t classes = 0, batch = 0, vocabulary = 0;
};

int inspect(const Options& options) {
  std::vector<std::string> arguments = {"inspect", options.model};
  const auto give = [&](const char* name, const std::string& value) {
    if (!value.empty()) arguments.insert(arguments.end(), {name, value});
  };
  for (const std::string& text : options.overrides) give("--set", text);
  give("--input", options.input);
  give("--classes", options.classes == 0 ? "" : std::to_string(options.classes));
  give("--vocabulary", options.vocabulary == 0 ? "" : std::to_string(options.vocabulary));
  give("--batch", options.batch == 0 ? "" : std::to_string(options.batch));
  give("--dot", options.dot);
  give("--svg", options.svg);
  give("-o", options.output);
  return become_trainer(arguments);
}

}  // namespace

void add_inspect(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("inspect", "Layers, work and memory of a model; draws it");
  auto options = std::make_shared<Options>();
  verb->add_option("MODEL", options->model,
                   "A model bundle, a job file, an ONNX file, or the name of a preset")
      ->required();
  verb->add_option("--set", options->overrides, "Override a field: --set model.width=0.5")
      ->take_all()
      ->allow_extra_args(false);
  verb->add_option("--input", options->input,
                   "What the data give: 3x224x224 for images, 64 for texts of 64 tokens, 13+26 for tables of "
                   "13 numbers and 26 categories");
  verb->add_option("--classes", options->classes,
                   "Classes of the data; of an ONNX file: with a head for so many")
      ->check(CLI::Range(2u, 10'000'000u));
  verb->add_option("--vocabulary", options->vocabulary, "Different tokens or categories of the data")
      ->check(CLI::Range(1u, 2'000'000'000u));
  verb->add_option("--batch", options->batch, "The batch that memory is planned for")
      ->check(CLI::Range(1u, 65536u));
  verb->add_option("--dot", options->dot, "Write a file for Graphviz");
  verb->add_option("--svg", options->svg, "Write a drawing");
  verb->add_option("-o,--output", options->output, "table or json")->check(CLI::IsMember({"table", "json"}));
  verb->callback([&context, options] { context.action = [options] { return inspect(*options); }; });
}

}  // namespace trainyard::cli
