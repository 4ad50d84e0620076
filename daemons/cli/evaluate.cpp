#include <CLI/CLI.hpp>
#include <memory>

#include "common/config/job_spec.hpp"
#include "daemons/cli/bundle.hpp"
#include "daemons/cli/context.hpp"

namespace trainyard::cli {

namespace {

struct Options {
  std::string bundle, data, split, output, precision;
};

int evaluate(const Options& options) {
  std::vector<std::string> arguments = {"evaluate", options.bundle, "--data", options.data};
  if (!options.split.empty()) arguments.insert(arguments.end(), {"--split", options.split});
  if (!options.output.empty()) arguments.insert(arguments.end(), {"-o", options.output});
  if (!options.precision.empty()) arguments.insert(arguments.end(), {"--precision", options.precision});
  return become_trainer(options.bundle, arguments);
}

}  // namespace

void add_evaluate(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("evaluate", "Metrics and confusion matrix of a model bundle on a dataset");
  auto options = std::make_shared<Options>();
  verb->add_option("BUNDLE", options->bundle, "Folder that a training left")->required();
  verb->add_option("--data", options->data, "Folder of the dataset")->required();
  verb->add_option("--split", options->split, "train, validation, test or all; as the training split it")
      ->check(CLI::IsMember({"train", "validation", "test", "all"}));
  verb->add_option("-o,--output", options->output, "table or json")->check(CLI::IsMember({"table", "json"}));
  verb->add_option("--precision", options->precision, "Of what linear maps read: fp32, bf16 or fp16")
      ->check(CLI::IsMember(
          std::vector<std::string>(config::kPrecisionNames.begin(), config::kPrecisionNames.end())));
  verb->callback([&context, options] { context.action = [options] { return evaluate(*options); }; });
}

}  // namespace trainyard::cli
