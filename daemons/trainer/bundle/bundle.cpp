#include "daemons/trainer/bundle/bundle.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "common/base/text.hpp"
#include "common/config/read.hpp"
#include "common/store/file.hpp"
#include "daemons/trainer/bundle/tensorboard.hpp"

namespace trainyard::trainer {

namespace {

constexpr std::string_view job_line = "\njob:\n";
constexpr std::uint64_t bundle_bytes_max = 4 << 20;
constexpr std::uint64_t weights_bytes_max = std::uint64_t{16} << 30;

std::string indented(const std::string& text) {
  std::string out;
  for (const std::string& line : split(text, '\n')) {
    if (!line.empty()) out += "  " + line + "\n";
  }
  return out;
}

std::string quoted(const std::string& text) { return to_text(Json(text)); }

/// What people and other tools need, then the whole job as it ran.
std::string bundle_yaml(const BundleContents& c) {
  const graph::InputShape in = c.network.input();
  std::string out =
      "# A model that Trainyard trained. Pictures go through data.transform of the job below.\n";
  out += format("format: 1\nname: {}\n", quoted(c.job.name));
  out += format("model: model.onnx\nweights: weights.safetensors\nlabels: labels.txt\n");
  out += format(
      "input: {{name: {}, shape: [batch, {}, {}, {}], layout: NCHW, values: \"RGB or grey, 0..1, then "
      "normalized\"}}\n",
      quoted(c.network.model().graph.externals[0].name), in.channels, in.height, in.width);
  out += format("output: {{name: probabilities, shape: [batch, {}]}}\n", c.network.classes());
  const std::uint64_t step = c.history.empty() ? 0 : c.history.back().step;
  const std::uint64_t epoch = c.history.empty() ? 0 : c.history.back().epoch;
  out += format("made: {{by: \"trainyard {}\", job: {}, epochs: {}, steps: {}, test_accuracy: {}}}\n",
                TRAINYARD_VERSION, c.job_id, epoch, step, c.test.metrics.accuracy);
  return out + std::string(job_line.substr(1)) + indented(config::print_job(c.job));
}

std::string history_csv(std::span<const EpochRow> history) {
  std::vector<std::string> columns;
  for (const EpochRow& row : history) {
    for (const auto& [key, value] : row.metrics) {
      if (std::find(columns.begin(), columns.end(), key) == columns.end()) columns.push_back(key);
    }
  }
  std::string out = "epoch,step";
  for (const std::string& column : columns) out += "," + column;
  out += "\n";
  for (const EpochRow& row : history) {
    out += format("{},{}", row.epoch, row.step);
    for (const std::string& column : columns) {
      const auto it = row.metrics.find(column);
      out += it == row.metrics.end() ? "," : format(",{:.9g}", it->second);
    }
    out += "\n";
  }
  return out;
}

/// The test's metrics as `trainyard evaluate -o json` prints them, and what else is worth keeping.
Json metrics_json(const BundleContents& c) {
  Json json = to_json(c.test.metrics);
  json["test"] = Json{
      {"count", c.test.metrics.count}, {"loss", c.test.metrics.loss}, {"accuracy", c.test.metrics.accuracy}};
  if (!c.history.empty()) {
    for (const auto& [key, value] : c.history.back().metrics) json["last_epoch"][key] = value;
  }
  json["skipped"] = c.skipped;
  return json;
}

std::vector<graph::NamedTensor> named_tensors(graph::Network& network) {
  std::vector<graph::NamedTensor> out;
  for (const graph::TensorInfo& info : network.tensors()) {
    const auto values = network.values().subspan(info.offset, info.length);
    out.push_back({info.name, info.shape, {values.begin(), values.end()}});
  }
  return out;
}

Status load_weights(graph::Network& network, std::string_view bytes) {
  const auto file = graph::from_safetensors(bytes);
  if (!file) return file.error();
  const auto& tensors = file->tensors;
  for (const graph::TensorInfo& info : network.tensors()) {
    const auto it =
        std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == info.name; });
    if (it == tensors.end()) return Error{Errc::corrupt, format("has no tensor '{}'", info.name)};
    if (it->shape != info.shape)
      return Error{Errc::corrupt, format("tensor '{}' has another shape than the model", info.name)};
    std::copy(it->values.begin(), it->values.end(),
              network.values().begin() + static_cast<std::ptrdiff_t>(info.offset));
  }
  return {};
}

constexpr std::string_view events_prefix = "events.out.tfevents.";
constexpr std::string_view events_suffix = ".trainyard";

std::pair<std::string, std::string> tensorboard_file(const BundleContents& c) {
  const WallMillis now = SystemClock{}.now().wall;
  const std::map<std::string, double> last{{"test/loss", c.test.metrics.loss},
                                           {"test/accuracy", c.test.metrics.accuracy}};
  return {format("{}{}{}", events_prefix, now / 1000, events_suffix),
          tensorboard_events(c.history, last, now)};
}

/// An older bundle ends here, and TensorBoard must not mix its curves with the new ones.
void remove_old(const std::string& directory) {
  std::error_code failed;
  std::filesystem::remove(directory + "/bundle.yaml", failed);
  std::vector<std::filesystem::path> events;
  for (std::filesystem::directory_iterator it(directory, failed), end; !failed && it != end;
       it.increment(failed)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with(events_prefix) && name.ends_with(events_suffix)) events.push_back(it->path());
  }
  for (const auto& path : events) std::filesystem::remove(path, failed);
}

}  // namespace

Status write_bundle(const std::string& directory, const BundleContents& contents) {
  if (const Status made = store::make_directories(directory); !made) return made;
  remove_old(directory);
  const auto onnx = graph::to_onnx(contents.network);
  if (!onnx) return onnx.error();
  std::string labels;
  for (const std::string& label : contents.dataset.classes()) labels += label + "\n";
  std::vector<std::pair<std::string, std::string>> files = {
      {"model.onnx", *onnx},
      {"weights.safetensors", graph::to_safetensors(named_tensors(contents.network))},
      {"labels.txt", labels},
      {"metrics.json", to_text(metrics_json(contents), 2) + "\n"},
      {"history.csv", history_csv(contents.history)},
      {"report.html", report_html(contents)}};
  if (contents.job.output.tensorboard) files.push_back(tensorboard_file(contents));
  files.emplace_back("bundle.yaml", bundle_yaml(contents));
  for (std::size_t i = 0; i < files.size(); ++i) {
    const Status written = store::write_atomic(directory + "/" + files[i].first, files[i].second);
    if (written) continue;
    std::error_code ignored;
    for (std::size_t k = 0; k < i; ++k) std::filesystem::remove(directory + "/" + files[k].first, ignored);
    return written;
  }
  return {};
}

Result<Bundle> read_bundle(const std::string& directory, std::uint32_t batch_max,
                           config::Precision precision) {
  const std::string file = directory + "/bundle.yaml";
  const auto text = store::read_file(file, bundle_bytes_max);
  if (!text) {
    return Error{text.error().code == Errc::not_found ? Errc::not_found : text.error().code,
                 format("{}: no model bundle there ({})", directory, text.error().message)};
  }
  const auto at = text->find(job_line);
  if (at == std::string::npos) return Error{Errc::corrupt, file + ": has no 'job:'"};
  std::string job_text;
  for (const std::string& line : split(std::string_view(*text).substr(at + job_line.size()), '\n')) {
    job_text += (line.starts_with("  ") ? line.substr(2) : line) + "\n";
  }
  auto job = config::read_job(job_text, file, "/");
  if (!job) return Error{Errc::corrupt, job.error().message};
  const auto label_text = store::read_file(directory + "/labels.txt", bundle_bytes_max);
  if (!label_text) return Error{Errc::corrupt, label_text.error().message};
  Bundle bundle{std::move(*job), {}, nullptr};
  for (const std::string& label : split(*label_text, '\n')) {
    if (!label.empty()) bundle.labels.push_back(label);
  }
  // The shape of the input is said once, by the first line that names it.
  const auto shape_at = text->find("shape: [batch, ");
  const auto shape_end = text->find(']', shape_at);
  if (shape_at == std::string::npos || shape_end == std::string::npos)
    return Error{Errc::corrupt, file + ": has no input shape"};
  std::vector<std::int64_t> dims;
  for (const std::string& part :
       split(std::string_view(*text).substr(shape_at + 15, shape_end - shape_at - 15), ',')) {
    const auto value = parse_int(
        part.substr(part.find_first_not_of(' ') == std::string::npos ? 0 : part.find_first_not_of(' ')));
    if (!value || *value < 1) return Error{Errc::corrupt, file + ": the input shape is not one"};
    dims.push_back(*value);
  }
  if (dims.size() != 3) return Error{Errc::corrupt, file + ": the input shape is not one"};
  if (!bundle.job.model.onnx.empty()) {  // the bundle is whole without the file that the training began with
    bundle.job.model.onnx = directory + "/model.onnx";
    bundle.job.model.head = config::kHeadKeep;
  }
  auto network = graph::Network::build(bundle.job.model, {dims[0], dims[1], dims[2]},
                                       static_cast<std::uint32_t>(bundle.labels.size()),
                                       {.batch_max = batch_max, .training = false, .precision = precision});
  if (!network) return Error{Errc::corrupt, format("{}: {}", file, network.error().message)};
  const auto weights = store::read_file(directory + "/weights.safetensors", weights_bytes_max);
  if (!weights) return Error{Errc::corrupt, weights.error().message};
  if (const Status loaded = load_weights(**network, *weights); !loaded) {
    return loaded.error().with(directory + "/weights.safetensors");
  }
  if (const Status frozen = (*network)->freeze(); !frozen) return frozen.error().with(directory);
  bundle.network = std::move(*network);
  return bundle;
}

}  // namespace trainyard::trainer
