#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "common/base/text.hpp"
#include "common/config/presets.hpp"
#include "common/config/read.hpp"
#include "common/data/loader.hpp"
#include "common/graph/draw/draw.hpp"
#include "common/graph/fine_tune.hpp"
#include "common/graph/inspect.hpp"
#include "common/graph/narrow.hpp"
#include "common/graph/onnx/onnx.hpp"
#include "common/graph/presets.hpp"
#include "common/runtime/daemon.hpp"
#include "common/store/file.hpp"
#include "daemons/trainer/bundle/bundle.hpp"
#include "daemons/trainer/bundle/commands.hpp"
#include "daemons/trainer/bundle/console.hpp"

namespace trainyard::trainer {

namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t batch_usual = 32, vocabulary_usual = 20'000;

struct Options {
  std::string model, input, dot, svg, output = "table";
  std::vector<std::string> overrides;
  std::uint32_t classes = 0, batch = 0, vocabulary = vocabulary_usual;
};

/// What is inspected.
struct Subject {
  std::string title;
  graph::Model model;
  graph::LossSpec loss;
  std::uint32_t batch = batch_usual;
  graph::TrainingPasses passes;
};

Error bad_input(const std::string& text) {
  return {
      Errc::invalid,
      format("--input {}: expected CHANNELSxHEIGHTxWIDTH for images, such as 3x224x224, a number of tokens "
             "for texts, or NUMBERS+CATEGORIES for tables",
             text)};
}

/// The numbers between the separators; none when one is no number of 0..2^31.
std::vector<std::int64_t> numbers_of(const std::string& text, char separator) {
  std::vector<std::int64_t> out;
  for (const std::string& part : split(text, separator)) {
    const auto value = parse_int(part);
    if (!value || *value < 0 || *value > INT32_MAX) return {};
    out.push_back(*value);
  }
  return out;
}

Result<graph::DataShape> data_of(const std::string& input, const Options& options, std::uint32_t classes) {
  graph::DataShape data{.vocabulary = options.vocabulary, .classes = classes};
  const auto sides = numbers_of(input, 'x'), columns = numbers_of(input, '+');
  if (sides.size() == 3) {
    data.image = {sides[0], sides[1], sides[2]};
  } else if (sides.size() == 1) {
    data.steps = sides[0];
  } else if (columns.size() == 2) {
    data.numbers = columns[0];
    data.categories = columns[1];
  } else {
    return bad_input(input);
  }
  return data;
}

Result<std::vector<config::Override>> overrides_of(const Options& options) {
  std::vector<config::Override> parsed;
  for (const std::string& text : options.overrides) {
    auto one = config::parse_override(text);
    if (!one) return one.error();
    parsed.push_back(std::move(*one));
  }
  return parsed;
}

Result<Subject> from_preset(const config::PresetInfo& info, const Options& options) {
  const auto overrides = overrides_of(options);
  if (!overrides) return overrides.error();
  const auto section = config::read_model("model: {preset: " + info.name + "}\n", info.name, *overrides);
  if (!section) return section.error();
  const std::string input = options.input.empty() ? info.usual_input : options.input;
  const std::uint32_t classes = options.classes == 0 ? info.usual_classes : options.classes;
  const auto data = data_of(input, options, classes);
  if (!data) return data.error();
  Subject subject{format("{}, input {}, {} classes", info.name, input, classes), {}, {}, batch_usual};
  if (options.batch > 0) subject.batch = options.batch;
  auto made = graph::preset_model(info.name, section->options, *data, subject.batch);
  if (!made) return made.error();
  subject.model = std::move(made->model);
  subject.loss = made->loss;
  return subject;
}

/// What layers of a job file may read without data: images, sequences 9x6 of steps and features, or tokens.
Result<graph::Signature> input_of(const std::string& input) {
  auto dims = numbers_of(input, 'x');
  if (dims.empty() || dims.size() > 3) return bad_input(input);
  const bool tokens = dims.size() == 1;
  dims.insert(dims.begin(), tensor::kBatch);
  return graph::Signature(graph::Shape(std::move(dims)), tokens ? graph::DType::i32 : graph::DType::f32);
}

Result<Subject> from_job(const Options& options) {
  const auto overrides = overrides_of(options);
  if (!overrides) return overrides.error();
  const auto text = config::load_text(options.model);
  if (!text) return text.error();
  const auto job =
      config::read_job(*text, options.model, fs::absolute(options.model).parent_path().string(), *overrides);
  if (!job) return job.error();
  graph::Signature input;
  std::uint32_t classes = options.classes;
  if (options.input.empty() || classes == 0) {
    const auto dataset = data::open_dataset(job->data);
    const auto pipeline = dataset ? data::Pipeline::make(job->data.transform, **dataset)
                                  : Result<data::Pipeline>(dataset.error());
    if (!pipeline)
      return Error{Errc::invalid, format("{}; without the data, --input and --classes say what they are",
                                         pipeline.error().message)};
    input = graph::signature_of({pipeline->channels(), pipeline->height(), pipeline->width()});
    if (classes == 0) classes = static_cast<std::uint32_t>((*dataset)->classes().size());
  }
  if (!options.input.empty()) {
    const auto given = input_of(options.input);
    if (!given) return given.error();
    input = *given;
  }
  Subject subject{format("{}, {} classes", job->name, classes), {}, {}, job->data.batch_size};
  subject.passes = {.low_memory = job->train.low_memory, .narrow = {graph::type_of(job->train.precision)}};
  if (options.batch > 0) subject.batch = options.batch;
  auto model = graph::model_of(job->model, input, classes, subject.batch);
  if (!model) return Error{Errc::invalid, format("{}: {}", options.model, model.error().message)};
  subject.model = std::move(*model);
  return subject;
}

Result<Subject> from_bundle(const Options& options) {
  if (!options.overrides.empty() || !options.input.empty() || options.classes != 0)
    return Error{Errc::invalid,
                 "a model bundle is what it is: --set, --input and --classes are of job files and presets"};
  const auto bundle = read_bundle(options.model, 1);
  if (!bundle) return bundle.error();
  const std::uint32_t batch = options.batch > 0 ? options.batch : bundle->job.data.batch_size;
  return Subject{
      format("{}, {} classes", bundle->job.name, bundle->labels.size()), bundle->network->model(), {}, batch};
}

Result<Subject> from_onnx(const Options& options) {
  if (!options.overrides.empty())
    return Error{Errc::invalid, "--set is of job files and presets, not of ONNX files"};
  Subject subject{fs::path(options.model).filename().string(), {}, {}, batch_usual};
  if (options.batch > 0) subject.batch = options.batch;
  graph::OnnxImport import;
  import.batch_max = subject.batch;
  if (!options.input.empty()) {
    const auto input = input_of(options.input);
    if (!input) return input.error();
    import.only_input = input->shape.dims();
  }
  auto model = graph::import_onnx_file(options.model, import);
  if (model && options.classes != 0)
    model = graph::replace_head(*model, {"", options.classes}, subject.batch);
  if (!model) return model.error();
  subject.model = std::move(*model);
  return subject;
}

Result<Subject> find(const Options& options) {
  std::error_code ignored;
  if (options.model.ends_with(".onnx")) return from_onnx(options);
  if (fs::is_directory(options.model, ignored)) return from_bundle(options);
  if (fs::exists(options.model, ignored)) return from_job(options);
  if (const config::PresetInfo* info = config::find_preset(options.model)) return from_preset(*info, options);
  const auto hint = nearest(options.model, config::preset_names());
  return Error{Errc::not_found,
               format("{}: no model bundle, no job file and no preset of that name{}", options.model,
                      hint ? format("; did you mean '{}'?", *hint)
                           : "; presets are " + join(config::preset_names(), ", "))};
}

Status inspect(const Options& options) {
  const auto subject = find(options);
  if (!subject) return subject.error();
  const graph::Model& model = subject->model;
  if (!options.dot.empty()) {
    const Status written = store::write_atomic(options.dot, graph::to_dot(model, subject->title));
    if (!written) return written;
  }
  if (!options.svg.empty()) {
    const Status written = store::write_atomic(options.svg, graph::to_svg(model, subject->title));
    if (!written) return written;
  }
  const graph::Inspection seen = graph::inspect(model, subject->loss, subject->batch, subject->passes);
  if (options.output == "json") {
    Json json{{"model", subject->title}};
    json.update(graph::inspection_json(seen));
    return print(to_text(json, 2) + "\n");
  }
  return print(subject->title + "\n\n" + graph::inspection_text(seen));
}

}  // namespace

int inspect_main(int argc, char** argv) {
  CLI::App app{"Layers, work and memory of a model; draws it", "trainyard inspect"};
  Options options;
  app.add_option("MODEL", options.model, "A model bundle, a job file, an ONNX file, or the name of a preset")
      ->required();
  app.add_option("--set", options.overrides, "Override a field: --set model.width=0.5")
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--input", options.input, "CHANNELSxHEIGHTxWIDTH, TOKENS, or NUMBERS+CATEGORIES");
  app.add_option("--classes", options.classes,
                 "Classes of the data; of an ONNX file: with a head for so many")
      ->check(CLI::Range(2u, 10'000'000u));
  app.add_option("--vocabulary", options.vocabulary, "Different tokens or categories of the data")
      ->check(CLI::Range(1u, 2'000'000'000u));
  app.add_option("--batch", options.batch, "The batch that memory is planned for")
      ->check(CLI::Range(1u, 65536u));
  app.add_option("--dot", options.dot, "Write a file for Graphviz");
  app.add_option("--svg", options.svg, "Write a drawing");
  app.add_option("-o,--output", options.output, "table or json")->check(CLI::IsMember({"table", "json"}));
  if (const auto code = parse(app, argc, argv)) return *code;
  const Status done = inspect(options);
  return done ? runtime::exit_ok : fail(done.error());
}

}  // namespace trainyard::trainer
