// Each preset takes some training steps on random data, and the loss falls.
#include <catch2/catch.hpp>
#include <cmath>

#include "common/base/random.hpp"
#include "common/config/presets.hpp"
#include "common/graph/network.hpp"
#include "common/graph/presets.hpp"
#include "tests/unit/graph/allocations.hpp"

namespace trainyard::graph::test {

namespace {

constexpr std::uint32_t count = 6;

/// One batch of whatever the model's inputs and its loss are.
class Batch {
 public:
  Batch(const Model& model, const LossSpec& loss, const DataShape& data) {
    Random random(11);
    for (const External& external : model.graph.externals) {
      const auto values = static_cast<std::size_t>(external.of.shape.with_batch(count).elements());
      if (external.of.type == DType::f32) {
        auto& out = reals_.emplace_back(values);
        for (float& value : out) value = static_cast<float>(random.normal());
        inputs_.push_back(out.data());
        continue;
      }
      const bool lengths = external.name == "lengths";
      auto& out = wholes_.emplace_back(values);
      for (std::int32_t& value : out)
        value =
            static_cast<std::int32_t>(lengths ? 1 + random.below(static_cast<std::uint64_t>(data.steps))
                                              : random.below(static_cast<std::uint64_t>(data.vocabulary)));
      inputs_.push_back(out.data());
    }
    for (std::uint32_t n = 0; n < count; ++n) keys_.push_back(random.next());
    const auto labels = static_cast<std::size_t>(loss.kind == Kind::crf_loss ? count * data.steps : count);
    for (std::size_t i = 0; i < labels; ++i)
      labels_.push_back(static_cast<std::int32_t>(random.below(data.classes)));
    targets_.assign(labels_.begin(), labels_.end());
    feed_ = {count, inputs_, labels_.data(), keys_, 0};
    if (loss.kind == Kind::sigmoid_cross_entropy) feed_.labels = targets_.data();
  }
  const Feed& feed(std::uint64_t step) {
    feed_.step = step;
    return feed_;
  }

 private:
  std::vector<std::vector<float>> reals_;
  std::vector<std::vector<std::int32_t>> wholes_;
  std::vector<const void*> inputs_;
  std::vector<std::uint64_t> keys_;
  std::vector<std::int32_t> labels_;
  std::vector<float> targets_;
  Feed feed_;
};

/// The loss of the first step and of the last, with SGD on one batch.
std::pair<double, double> train(const std::string& name, config::PresetOptions options, const DataShape& data,
                                float rate, std::uint64_t steps) {
  options.dropout = 0;
  auto made = preset_model(name, options, data, count);
  if (!made) FAIL(made.error().message);
  Batch batch(made->model, made->loss, data);
  auto network = Network::build(std::move(made->model), {.batch_max = count, .seed = 6, .loss = made->loss});
  if (!network) FAIL(network.error().message);
  for (const bool training : {true, false}) {
    const Program& program = (*network)->program(training);
    CHECK(static_cast<double>(program.arena_bytes()) <= 1.05 * static_cast<double>(program.live_bytes()));
  }
  double first = 0, last = 0;
  std::vector<float> speed((*network)->values().size(), 0.0f);
  for (std::uint64_t step = 1; step <= steps; ++step) {
    const std::size_t allocated = allocations();
    last = (*network)->train_step(batch.feed(step), nullptr).loss_sum / count;
    if (step == 1) first = last;
    if (step > 2) CHECK(allocations() == allocated);
    for (const TensorInfo& tensor : (*network)->tensors()) {
      for (std::size_t i = tensor.offset; i < tensor.offset + tensor.length; ++i) {
        const float mean = (*network)->gradients()[i] / count;
        float& value = (*network)->values()[i];
        if (tensor.kind == TensorKind::buffer) {
          value = mean;
        } else {
          speed[i] = 0.9f * speed[i] + mean;
          value -= rate * speed[i];
        }
      }
    }
  }
  return {first, last};
}

void check_falls(const std::string& name, const DataShape& data, float rate, std::uint64_t steps,
                 config::PresetOptions (*smaller)(config::PresetOptions) = nullptr) {
  config::PresetOptions options = config::find_preset(name)->defaults;
  if (smaller != nullptr) options = smaller(options);
  const auto [first, last] = train(name, options, data, rate, steps);
  INFO(name << ": " << first << " falls to " << last);
  CHECK(std::isfinite(last));
  CHECK(last < 0.8 * first);
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
