#include <CLI/CLI.hpp>
#include <memory>

#include "common/config/job_spec.hpp"
#include "daemons/cli/bundle.hpp"
#include "daemons/cli/context.hpp"

namespace trainyard::cli {

namespace {

struct Options {
  std::string bundle, output, html, precision;
  std::vector<std::string> inputs;
  std::uint32_t top = 0;
};

int predict(const Options& options) {
  std::vector<std::string> arguments = {"predict", options.bundle};
  if (!options.output.empty()) arguments.insert(arguments.end(), {"-o", options.output});
  if (!options.html.empty()) arguments.insert(arguments.end(), {"--html", options.html});
  if (options.top > 0) arguments.insert(arguments.end(), {"--top", std::to_string(options.top)});
  if (!options.precision.empty()) arguments.insert(arguments.end(), {"--precision", options.precision});
  for (const std::string& input : options.inputs) {
    // A name that begins with a dash would be taken for an option.
    arguments.push_back(input.front() == '-' ? "./" + input : input);
  }
  return become_trainer(options.bundle, arguments);
}

}  // namespace

void add_predict(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("predict", "Class probabilities of a model bundle for files");
  auto options = std::make_shared<Options>();
  verb->add_option("BUNDLE", options->bundle, "Folder that a training left")->required();
  verb->add_option("INPUT", options->inputs, "Files, or folders of files")->required();
  verb->add_option("-o,--output", options->output, "Write a JSON line per input to this file");
  verb->add_option("--html", options->html, "Write a page with the pictures and their probabilities");
  verb->add_option("--top", options->top, "How many classes of each")->check(CLI::Range(1, 1000));
  verb->add_option("--precision", options->precision, "Of what linear maps read: fp32, bf16 or fp16")
      ->check(CLI::IsMember(
          std::vector<std::string>(config::kPrecisionNames.begin(), config::kPrecisionNames.end())));
  verb->callback([&context, options] { context.action = [options] { return predict(*options); }; });
}

}  // namespace trainyard::cli
