// Each preset takes some training steps on random data, and the loss falls.
#include "tests/unit/graph/preset_training.hpp"

#include <cmath>

namespace trainyard::graph::test {

namespace {

void check_falls(const std::string& name, const DataShape& data, float rate, std::uint64_t steps,
                 config::PresetOptions (*smaller)(config::PresetOptions) = nullptr) {
  const auto [first, last, overflows] =
      train_preset({name, data, rate, steps, smaller}, {.batch_max = 6, .seed = 6});
  INFO(name << ": " << first << " falls to " << last);
  CHECK(std::isfinite(last));
  CHECK(last < 0.8 * first);
  CHECK(overflows == 0);
}

DataShape images(std::int64_t channels, std::int64_t side) {
  return {.image = {channels, side, side}, .classes = 4};
}

}  // namespace

TEST_CASE("presets for images learn", "[presets]") {
  const auto narrow = [](config::PresetOptions options) {
    options.hidden = {64, 32};
    return options;
  };
  SECTION("mlp") { check_falls("mlp", images(1, 16), 0.02f, 20, narrow); }
  SECTION("lenet5") { check_falls("lenet5", images(1, 28), 0.05f, 40); }
  SECTION("alexnet") { check_falls("alexnet", images(3, 67), 0.01f, 20, narrow); }
  SECTION("vgg16") { check_falls("vgg16", images(3, 32), 0.01f, 20, narrow); }
  SECTION("inception_v3") { check_falls("inception_v3", images(3, 80), 0.01f, 8); }
  SECTION("resnet18") { check_falls("resnet18", images(3, 40), 0.01f, 8); }
  SECTION("resnet20") { check_falls("resnet20", images(3, 32), 0.02f, 12); }
  SECTION("resnet50") { check_falls("resnet50", images(3, 40), 0.01f, 8); }
  SECTION("mobilenet_v2") { check_falls("mobilenet_v2", images(3, 40), 0.02f, 12); }
  SECTION("squeezenet_1_1") { check_falls("squeezenet_1_1", images(3, 48), 0.001f, 40); }
}

TEST_CASE("presets for text learn", "[presets]") {
  const auto small = [](config::PresetOptions options) {
    options.embedding = 16;
    options.units = 12;
    options.filters = 10;
    options.feedforward = 32;
    return options;
  };
  const DataShape text{.steps = 9, .vocabulary = 40, .classes = 3};
  SECTION("text_cnn") { check_falls("text_cnn", text, 0.2f, 40, small); }
  SECTION("fasttext") { check_falls("fasttext", text, 2.0f, 60, small); }
  SECTION("bilstm") { check_falls("bilstm", text, 0.3f, 60, small); }
  SECTION("bilstm_crf") { check_falls("bilstm_crf", text, 0.05f, 60, small); }
  SECTION("transformer_encoder") { check_falls("transformer_encoder", text, 0.05f, 40, small); }
}

TEST_CASE("presets for tables learn", "[presets]") {
  const auto small = [](config::PresetOptions options) {
    options.hidden = {16, 8};
    options.embedding = 6;
    return options;
  };
  const DataShape table{.vocabulary = 30, .numbers = 4, .categories = 5, .classes = 2};
  SECTION("wide_deep") { check_falls("wide_deep", table, 0.1f, 40, small); }
  SECTION("deepfm") { check_falls("deepfm", table, 0.1f, 40, small); }
}

}  // namespace trainyard::graph::test
