#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <numeric>

#include "common/base/text.hpp"
#include "common/graph/finite.hpp"
#include "common/runtime/daemon.hpp"
#include "common/store/file.hpp"
#include "daemons/trainer/bundle/bundle.hpp"
#include "daemons/trainer/bundle/commands.hpp"
#include "daemons/trainer/bundle/console.hpp"

namespace trainyard::trainer {

namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t batch = 32;
constexpr std::size_t inputs_max = 1'000'000;
constexpr std::uint32_t report_side = 320;  // pixels of a picture in a report, at least
constexpr std::size_t report_pictures_max = 200;

/// One input: a file, or why there is none.
struct Input {
  std::string name;
  std::string error;
};

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

/// All files in a folder and below, sorted.
Result<std::vector<std::string>> files_below(const std::string& folder) {
  std::vector<std::string> found;
  std::error_code failed;
  for (fs::recursive_directory_iterator at(folder, failed), end; !failed && at != end; at.increment(failed)) {
    std::error_code ignored;
    if (is_hidden(at->path())) {
      if (at->is_directory(ignored)) at.disable_recursion_pending();
    } else if (at->is_regular_file(ignored)) {
      found.push_back(at->path().string());
    }
  }
  if (failed) return Error{Errc::io, failed.message()};
  if (found.empty()) return Error{Errc::invalid, "the folder is empty"};
  std::sort(found.begin(), found.end());
  return found;
}

/// Files as they are, folders with all that lies in them.
Result<std::vector<Input>> inputs_of(const std::vector<std::string>& named) {
  std::vector<Input> inputs;
  for (const std::string& name : named) {
    std::error_code failed;
    if (!fs::is_directory(name, failed)) {
      inputs.push_back({name, ""});
      continue;
    }
    const auto files = files_below(name);
    if (!files) inputs.push_back({name, files.error().message});
    for (const std::string& file : files ? *files : std::vector<std::string>{}) inputs.push_back({file, ""});
  }
  if (inputs.size() > inputs_max) return Error{Errc::invalid, format("more than {} inputs", inputs_max)};
  return inputs;
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
  config::Precision precision = config::Precision::fp32;
};

class Predictor {
 public:
  Predictor(Bundle bundle, data::Pipeline pipeline, const PredictOptions& options)
      : bundle_(std::move(bundle)), pipeline_(std::move(pipeline)), options_(options) {}

  /// All pictures, a batch at a time; `sink` gets each in order. Ends with an error where the network gives
  /// no numbers.
  template <typename Sink>
  Status run(const std::vector<Input>& inputs, Sink&& sink) {
    for (std::size_t first = 0; first < inputs.size(); first += batch) {
      std::vector<PredictedPicture> pictures;
      std::vector<float> images;
      std::vector<std::size_t> readable;
      for (std::size_t i = first; i < std::min(inputs.size(), first + batch); ++i) {
        pictures.push_back(read(inputs[i], images));
        if (pictures.back().error.empty()) readable.push_back(pictures.size() - 1);
      }
      const std::size_t classes = bundle_.labels.size();
      std::vector<float> probabilities(readable.size() * classes);
      if (!readable.empty()) {
        bundle_.network->predict(images, static_cast<std::uint32_t>(readable.size()), probabilities);
      }
      for (std::size_t k = 0; k < readable.size(); ++k) {
        const auto row = std::span(probabilities).subspan(k * classes, classes);
        if (!graph::all_finite(row)) return no_number(pictures[readable[k]].name, options_.precision);
        pictures[readable[k]].probabilities.assign(row.begin(), row.end());
      }
      for (PredictedPicture& picture : pictures) sink(picture);
    }
    return {};
  }
  const std::vector<std::string>& labels() const { return bundle_.labels; }

 private:
  PredictedPicture read(const Input& input, std::vector<float>& images) {
    PredictedPicture out{input.name, input.error, {}, {}};
    if (!out.error.empty()) return out;
    const auto image = data::read_image(input.name, pipeline_.height_wanted(), pipeline_.width_wanted());
    if (!image) {
      out.error = image.error().message;
      return out;
    }
    const std::size_t at = images.size();
    images.resize(at + pipeline_.floats());
    if (const Status applied = pipeline_.apply(*image, false, 0, std::span(images).subspan(at)); !applied) {
      images.resize(at);
      out.error = applied.error().message;
    }
    return out;
  }

  Bundle bundle_;
  data::Pipeline pipeline_;
  const PredictOptions& options_;
};

/// Read once more for the eye: the size at which a picture is decoded must not depend on whether it is shown.
data::Image shown(const PredictedPicture& picture) {
  if (!picture.error.empty()) return {};
  auto image = data::read_image(picture.name, report_side, report_side);
  return image ? std::move(*image) : data::Image{};
}

/// Where the answers go, looked at before any work is done.
Status check_writable(const std::string& option, const std::string& file) {
  if (file.empty() || file == "-") return {};
  const fs::path path(file);
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored))
    return Error{Errc::invalid, format("{} {}: there is no folder {}", option, file, folder.string())};
  if (fs::is_directory(path, ignored))
    return Error{Errc::invalid, format("{} {}: is a folder", option, file)};
  return {};
}

int predict(const PredictOptions& options) {
  for (const auto& [option, file] : {std::pair{"-o", &options.output}, std::pair{"--html", &options.html}}) {
    if (const Status fine = check_writable(option, *file); !fine) return fail(fine.error());
  }
  auto bundle = read_bundle(options.bundle, batch, options.precision);
  if (!bundle) return fail(bundle.error());
  const auto channels = static_cast<std::uint32_t>(bundle->network->input().channels);
  auto pipeline = data::Pipeline::make(bundle->job.data.transform, NoRecords(channels));
  if (!pipeline) return fail(pipeline.error());
  const auto inputs = inputs_of(options.inputs);
  if (!inputs) return fail(inputs.error());
  Predictor predictor(std::move(*bundle), std::move(*pipeline), options);
  std::string lines;
  std::vector<PredictedPicture> kept;
  std::size_t good = 0;
  Status printed;
  const Status ran = predictor.run(*inputs, [&](PredictedPicture& picture) {
    if (picture.error.empty()) ++good;
    if (!options.output.empty()) {
      lines += to_text(line_of(picture, predictor.labels(), options.top)) + "\n";
    } else if (options.html.empty()) {
      if (printed) printed = print(people_text(picture, predictor.labels(), options.top));
    }
    if (!options.html.empty() && kept.size() < report_pictures_max) {
      picture.picture = shown(picture);
      kept.push_back(std::move(picture));
    }
  });
  if (!ran) return fail(ran.error());
  if (options.output == "-") printed = print(lines);
  if (!printed) return fail(printed.error());
  if (!options.output.empty() && options.output != "-") {
    if (const Status written = store::write_atomic(options.output, lines); !written)
      return fail(written.error());
  }
  if (!options.html.empty()) {
    const Status written = store::write_atomic(
        options.html, predictions_html(predictor.labels(), kept, inputs->size(), options.top));
    if (!written) return fail(written.error());
  }
  if (good < inputs->size()) {
    std::fprintf(stderr, "trainyard: %zu of %zu inputs could not be read\n", inputs->size() - good,
                 inputs->size());
  }
  return good == 0 ? runtime::exit_failed : runtime::exit_ok;
}

}  // namespace

int predict_main(int argc, char** argv) {
  CLI::App app{"Class probabilities of a model bundle for files", "trainyard predict"};
  PredictOptions options;
  app.add_option("BUNDLE", options.bundle, "Folder that a training left")->required();
  app.add_option("INPUT", options.inputs, "Files, or folders of files")->required();
  app.add_option("-o,--output", options.output, "Write a JSON line per input to this file");
  app.add_option("--html", options.html, "Write a page with the pictures and their probabilities");
  app.add_option("--top", options.top, "How many classes of each")->check(CLI::Range(1, 1000));
  add_precision(app, options.precision);
  if (const auto code = parse(app, argc, argv)) return *code;
  return predict(options);
}

}  // namespace trainyard::trainer
