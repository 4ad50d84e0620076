#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <numeric>

#include "common/base/text.hpp"
#include "common/data/split.hpp"
#include "common/runtime/daemon.hpp"
#include "daemons/trainer/bundle/bundle.hpp"
#include "daemons/trainer/bundle/commands.hpp"
#include "daemons/trainer/bundle/console.hpp"

namespace trainyard::trainer {

namespace {

constexpr std::uint32_t batch = 32;
constexpr std::uint32_t loaders = 2;

std::string metrics_table(const Metrics& metrics) {
  std::string out = format("records   {}\nloss      {:.4f}\naccuracy  {:.4f}\n\n", metrics.count,
                           metrics.loss, metrics.accuracy);
  std::size_t width = 5;
  for (const std::string& label : metrics.labels) width = std::max(width, label.size());
  out +=
      format("{:<{}}  {:>9}  {:>6}  {:>6}  {:>7}\n", "class", width, "precision", "recall", "f1", "support");
  for (const ClassMetrics& one : metrics.per_class) {
    out += format("{:<{}}  {:>9.4f}  {:>6.4f}  {:>6.4f}  {:>7}\n", one.label, width, one.precision,
                  one.recall, one.f1, one.support);
  }
  out += "\nconfusion (rows: what it is, columns: what was predicted)\n";
  for (std::size_t k = 0; k < metrics.labels.size(); ++k) {
    out += format("{:<{}}", metrics.labels[k], width);
    for (const std::uint64_t count : metrics.confusion[k]) out += format("  {:>6}", count);
    out += "\n";
  }
  return out;
}

/// The dataset's classes must be the bundle's, in the same order.
Status check_classes(const std::vector<std::string>& theirs, const std::vector<std::string>& ours) {
  if (theirs == ours) return {};
  return Error{Errc::invalid, format("--data: its classes are {}, but the model knows {}", join(theirs, ", "),
                                     join(ours, ", "))};
}

Result<Evaluation> evaluate_bundle(const std::string& directory, const std::string& data_path,
                                   const std::string& part, config::Precision precision) {
  auto bundle = read_bundle(directory, batch, precision);
  if (!bundle) return bundle.error();
  config::DataSection section = bundle->job.data;
  section.path = std::filesystem::absolute(data_path).lexically_normal().string();
  const auto dataset = data::open_dataset(section);
  if (!dataset) return Error{Errc::invalid, "--data: " + dataset.error().message};
  if (const Status same = check_classes((*dataset)->classes(), bundle->labels); !same) return same.error();
  const auto pipeline = data::Pipeline::make(section.transform, **dataset);
  if (!pipeline) return pipeline.error();
  std::vector<std::uint32_t> records((*dataset)->size());
  std::iota(records.begin(), records.end(), 0);
  if (part != "all") {
    const data::Split split = data::split(**dataset, section);
    records = part == "train" ? split.train : part == "validation" ? split.validation : split.test;
  }
  if (records.empty()) return Error{Errc::invalid, format("--split {}: no records are in it", part)};
  const std::atomic<bool> never{false};
  Evaluation evaluation = evaluate(*bundle->network, **dataset, *pipeline, records, batch, loaders, never);
  if (!std::isfinite(evaluation.metrics.loss)) return no_number("--data", precision);
  return evaluation;
}

}  // namespace

int evaluate_main(int argc, char** argv) {
  CLI::App app{"Metrics and confusion matrix of a model bundle on a dataset", "trainyard evaluate"};
  std::string bundle, data_path, part = "all", output = "table";
  app.add_option("BUNDLE", bundle, "Folder that a training left")->required();
  app.add_option("--data", data_path, "Folder of the dataset")->required();
  app.add_option("--split", part, "train, validation, test or all; as the training split it")
      ->check(CLI::IsMember({"train", "validation", "test", "all"}));
  app.add_option("-o,--output", output, "table or json")->check(CLI::IsMember({"table", "json"}));
  auto precision = config::Precision::fp32;
  add_precision(app, precision);
  if (const auto code = parse(app, argc, argv)) return *code;
  const auto evaluation = evaluate_bundle(bundle, data_path, part, precision);
  if (!evaluation) return fail(evaluation.error());
  for (const std::string& bad : evaluation->bad) std::fprintf(stderr, "skipped: %s\n", bad.c_str());
  const std::string text =
      output == "json" ? to_text(to_json(evaluation->metrics), 2) + "\n" : metrics_table(evaluation->metrics);
  const Status printed = print(text);
  return printed ? runtime::exit_ok : fail(printed.error());
}

}  // namespace trainyard::trainer
