#include "daemons/trainer/bundle/commands.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <numeric>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/data/split.hpp"
#include "common/runtime/daemon.hpp"
#include "common/store/file.hpp"
#include "daemons/trainer/bundle/bundle.hpp"

namespace trainyard::trainer {

namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t batch = 32;
constexpr std::size_t inputs_max = 1'000'000;
constexpr std::uint32_t report_side = 224;  // pixels of a picture in a report
constexpr std::size_t report_pictures_max = 200;

int fail(const Error& error) {
  log::configure({"trainyard", log::Level::info, false});
  std::fprintf(stderr, "%s\n", error.message.c_str());
  switch (error.code) {
    case Errc::not_found:
      return runtime::exit_not_found;
    case Errc::invalid:
      return runtime::exit_usage;
    default:
      return runtime::exit_failed;
  }
}

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
                                   const std::string& part) {
  auto bundle = read_bundle(directory, batch);
  if (!bundle) return bundle.error();
  config::DataSection section = bundle->job.data;
  section.path = fs::absolute(data_path).lexically_normal().string();
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
  return evaluate(*bundle->network, **dataset, *pipeline, records, batch, 2, never);
}

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

/// Files as they are, folders with all that lies in them, sorted.
Result<std::vector<std::string>> files_of(const std::vector<std::string>& inputs) {
  std::vector<std::string> files;
  for (const std::string& input : inputs) {
    std::error_code failed;
    if (!fs::is_directory(input, failed)) {
      files.push_back(input);
      continue;
    }
    std::vector<std::string> found;
    for (fs::recursive_directory_iterator at(input, failed), end; !failed && at != end;
         at.increment(failed)) {
      std::error_code ignored;
      if (is_hidden(at->path())) {
        if (at->is_directory(ignored)) at.disable_recursion_pending();
      } else if (at->is_regular_file(ignored)) {
        found.push_back(at->path().string());
      }
    }
    if (failed) return Error{Errc::invalid, format("{}: {}", input, failed.message())};
    if (found.empty()) return Error{Errc::invalid, format("{}: the folder is empty", input)};
    std::sort(found.begin(), found.end());
    files.insert(files.end(), found.begin(), found.end());
  }
  if (files.size() > inputs_max) return Error{Errc::invalid, format("more than {} inputs", inputs_max)};
  return files;
}

std::vector<std::size_t> best_of(std::span<const float> probabilities, std::size_t top) {
  std::vector<std::size_t> order(probabilities.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](auto a, auto b) { return probabilities[a] > probabilities[b]; });
  order.resize(std::min(top, order.size()));
  return order;
}

Json line_of(const PredictedPicture& picture, const std::vector<std::string>& labels, std::size_t top) {
  Json line{{"input", picture.name}};
  if (!picture.error.empty()) {
    line["error"] = picture.error;
    return line;
  }
  line["top"] = Json::array();
  for (const std::size_t k : best_of(picture.probabilities, top)) {
    line["top"].push_back(Json{{"label", labels[k]}, {"probability", picture.probabilities[k]}});
  }
  return line;
}

std::string people_text(const PredictedPicture& picture, const std::vector<std::string>& labels,
                        std::size_t top) {
  std::string out = picture.name + "\n";
  if (!picture.error.empty()) return out + "  cannot be read: " + picture.error + "\n";
  for (const std::size_t k : best_of(picture.probabilities, top)) {
    const auto bar = static_cast<std::size_t>(picture.probabilities[k] * 30 + 0.5f);
    out +=
        format("  {:<16} {:>6.1f}%  {}\n", labels[k], picture.probabilities[k] * 100, std::string(bar, '#'));
  }
  return out;
}

/// A dataset of no records: for what a pipeline must know of its source.
class NoRecords final : public data::Dataset {
 public:
  explicit NoRecords(std::uint32_t channels) : channels_(channels) {}
  std::uint32_t size() const override { return 0; }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::int32_t label(std::uint32_t) const override { return 0; }
  std::string name(std::uint32_t) const override { return ""; }
  Result<data::Image> read(std::uint32_t, std::uint32_t, std::uint32_t) const override {
    return Error{Errc::not_found, "no records"};
  }
  std::uint32_t channels() const override { return channels_; }

 private:
  std::uint32_t channels_;
  std::vector<std::string> classes_;
};

struct PredictOptions {
  std::string bundle, output, html;
  std::vector<std::string> inputs;
  std::size_t top = 5;
};

class Predictor {
 public:
  Predictor(Bundle bundle, data::Pipeline pipeline, const PredictOptions& options)
      : bundle_(std::move(bundle)), pipeline_(std::move(pipeline)), options_(options) {}

  /// All pictures, a batch at a time; `sink` gets each in order.
  template <typename Sink>
  void run(const std::vector<std::string>& files, Sink&& sink) {
    for (std::size_t first = 0; first < files.size(); first += batch) {
      std::vector<PredictedPicture> pictures;
      std::vector<float> images;
      std::vector<std::size_t> readable;
      for (std::size_t i = first; i < std::min(files.size(), first + batch); ++i) {
        pictures.push_back(read(files[i], images));
        if (pictures.back().error.empty()) readable.push_back(pictures.size() - 1);
      }
      const std::size_t classes = bundle_.labels.size();
      std::vector<float> probabilities(readable.size() * classes);
      if (!readable.empty()) {
        bundle_.network->predict(images, static_cast<std::uint32_t>(readable.size()), probabilities);
      }
      for (std::size_t k = 0; k < readable.size(); ++k) {
        const auto row = std::span(probabilities).subspan(k * classes, classes);
        pictures[readable[k]].probabilities.assign(row.begin(), row.end());
      }
      for (PredictedPicture& picture : pictures) sink(picture);
    }
  }
  const std::vector<std::string>& labels() const { return bundle_.labels; }

 private:
  PredictedPicture read(const std::string& file, std::vector<float>& images) {
    PredictedPicture out{file, "", {}, {}};
    const bool shown = !options_.html.empty();
    const auto image = data::read_image(file, std::max(pipeline_.height_wanted(), shown ? report_side : 0u),
                                        std::max(pipeline_.width_wanted(), shown ? report_side : 0u));
    if (!image) {
      out.error = image.error().message;
      if (out.error.starts_with(file + ": ")) out.error = out.error.substr(file.size() + 2);
      return out;
    }
    const std::size_t at = images.size();
    images.resize(at + pipeline_.floats());
    if (const Status applied = pipeline_.apply(*image, false, 0, std::span(images).subspan(at)); !applied) {
      images.resize(at);
      out.error = applied.error().message;
    }
    if (shown) out.picture = *image;
    return out;
  }

  Bundle bundle_;
  data::Pipeline pipeline_;
  const PredictOptions& options_;
};

int predict(const PredictOptions& options) {
  auto bundle = read_bundle(options.bundle, batch);
  if (!bundle) return fail(bundle.error());
  const auto channels = static_cast<std::uint32_t>(bundle->network->input().channels);
  auto pipeline = data::Pipeline::make(bundle->job.data.transform, NoRecords(channels));
  if (!pipeline) return fail(pipeline.error());
  const auto files = files_of(options.inputs);
  if (!files) return fail(files.error());
  Predictor predictor(std::move(*bundle), std::move(*pipeline), options);
  std::string lines;
  std::vector<PredictedPicture> kept;
  std::size_t good = 0;
  predictor.run(*files, [&](PredictedPicture& picture) {
    if (picture.error.empty()) ++good;
    if (!options.output.empty()) {
      lines += to_text(line_of(picture, predictor.labels(), options.top)) + "\n";
    } else if (options.html.empty()) {
      std::fputs(people_text(picture, predictor.labels(), options.top).c_str(), stdout);
    }
    if (!options.html.empty() && kept.size() < report_pictures_max) kept.push_back(std::move(picture));
  });
  if (options.output == "-") {
    std::fputs(lines.c_str(), stdout);
  } else if (!options.output.empty()) {
    if (const Status written = store::write_atomic(options.output, lines); !written)
      return fail(written.error());
  }
  if (!options.html.empty()) {
    const Status written =
        store::write_atomic(options.html, predictions_html(predictor.labels(), kept, options.top));
    if (!written) return fail(written.error());
  }
  if (good < files->size()) {
    std::fprintf(stderr, "%zu of %zu inputs could not be read\n", files->size() - good, files->size());
  }
  return good == 0 ? runtime::exit_failed : runtime::exit_ok;
}

int parse(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? runtime::exit_ok : runtime::exit_usage;
  }
  return -1;
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
  if (const int code = parse(app, argc, argv); code >= 0) return code;
  const auto evaluation = evaluate_bundle(bundle, data_path, part);
  if (!evaluation) return fail(evaluation.error());
  for (const std::string& bad : evaluation->bad) std::fprintf(stderr, "skipped: %s\n", bad.c_str());
  const std::string text =
      output == "json" ? to_text(to_json(evaluation->metrics), 2) + "\n" : metrics_table(evaluation->metrics);
  std::fputs(text.c_str(), stdout);
  return runtime::exit_ok;
}

int predict_main(int argc, char** argv) {
  CLI::App app{"Class probabilities of a model bundle for files", "trainyard predict"};
  PredictOptions options;
  app.add_option("BUNDLE", options.bundle, "Folder that a training left")->required();
  app.add_option("INPUT", options.inputs, "Files, or folders of files")->required();
  app.add_option("-o,--output", options.output, "Write a JSON line per input to this file");
  app.add_option("--html", options.html, "Write a page with the pictures and their probabilities");
  app.add_option("--top", options.top, "How many classes of each")->check(CLI::Range(1, 1000));
  if (const int code = parse(app, argc, argv); code >= 0) return code;
  return predict(options);
}

}  // namespace trainyard::trainer
