// The pretrained networks beside the checkout ($TRAINYARD_SHARED/models, else ../shared/models) give what the
// check vectors beside them say. Exit code 77 (skipped) where they are not there.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/base/json.hpp"
#include "common/base/text.hpp"
#include "tests/onnx/runner.hpp"

namespace trainyard::graph::test {
namespace {

int failures = 0;

void require(bool holds, const std::string& what) {
  std::printf("%s: %s\n", holds ? "ok" : "FAILED", what.c_str());
  if (!holds) ++failures;
}

Result<Json> read_json(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return parse_json(text.str());
}

/// Element i is (i mod 251) / 125 - 1, in every image.
Constant check_input(std::int64_t count) {
  Numbers x{{count, 3, 224, 224}, std::vector<double>(static_cast<std::size_t>(count * 3 * 224 * 224))};
  const std::size_t each = x.values.size() / static_cast<std::size_t>(count);
  for (std::size_t i = 0; i < x.values.size(); ++i)
    x.values[i] = static_cast<double>(static_cast<float>(i % each % 251) / 125.0f - 1.0f);
  return constant_of(x, DType::f32);
}

void check_values(const std::string& name, const Numbers& out, const Json& check, const char* key,
                  double tolerance, std::int64_t row) {
  const auto columns = static_cast<std::size_t>(out.dims[1]);
  double worst = 0;
  for (std::size_t i = 0; i < check[key].size(); ++i)
    worst = std::max(worst, std::abs(out.values[static_cast<std::size_t>(row) * columns + i] -
                                     check[key][i].get<double>()));
  require(worst <= tolerance, format("{}: {} of image {} differ by {:.2g}", name, key, row, worst));
}

void check_network(const std::string& directory, const std::string& name, const ops::Backend& backend,
                   std::int64_t count) {
  const auto json = read_json(directory + "/" + name + ".json");
  if (!json) return require(false, name + ": " + json.error().message);
  const Json& check = (*json)["check"];
  const double tolerance = check["tolerance"].get<double>();
  OnnxImport options;
  options.results = {"logits", "features"};
  const auto model = import_onnx_file(directory + "/" + name + ".onnx", options);
  if (!model) return require(false, name + ": " + model.error().message);
  const auto parameters = static_cast<std::uint64_t>((*json)["parameters"].get<std::int64_t>());
  require(model->length == parameters, format("{}: {} parameters", name, model->length));
  const auto out = run(*model, {check_input(count)}, backend);
  if (!out) return require(false, name + ": " + out.error().message);
  const Numbers &logits = (*out)[0], &features = (*out)[1];
  require(logits.dims == std::vector<std::int64_t>{count, 1000}, name + ": a score for each of 1000 classes");
  for (std::int64_t row = 0; row < count; ++row) {
    check_values(name, logits, check, "logits_first_8", tolerance, row);
    check_values(name, features, check, "features_first_8", tolerance, row);
  }
  const auto best = std::max_element(logits.values.begin(), logits.values.begin() + 1000);
  require(best - logits.values.begin() == check["logits_argmax"].get<std::int64_t>(),
          name + ": the best class");
  require(std::abs(*best - check["logits_max"].get<double>()) <= tolerance, name + ": its score");
  double square = 0;
  for (std::int64_t i = 0; i < features.dims[1]; ++i)
    square += std::pow(features.values[static_cast<std::size_t>(i)], 2);
  require(std::abs(std::sqrt(square) - check["features_l2"].get<double>()) <= tolerance,
          name + ": norm of the features");
}

}  // namespace
}  // namespace trainyard::graph::test

int main() {
  using namespace trainyard::graph::test;
  const char* const shared = std::getenv("TRAINYARD_SHARED");
  const std::string directory = std::string(shared != nullptr ? shared : "../shared") + "/models";
  const char* const names[] = {"mobilenet_v2_100_224", "squeezenet_1_1"};
  for (const std::string name : names) {
    if (std::filesystem::exists(directory + "/" + name + ".onnx")) continue;
    std::printf("skipped: no %s.onnx in %s\n", name.c_str(), directory.c_str());
    return 77;
  }
  const auto cpu = trainyard::ops::cpu_backend();
  for (const char* const name : names)
    for (const std::int64_t count : {1, 3}) check_network(directory, name, *cpu, count);
  return failures == 0 ? 0 : 1;
}
