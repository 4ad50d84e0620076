// Gradients of tables as the rows that have one: the same numbers as the dense ones, and as differences of
// the loss.
#include <catch2/catch.hpp>
#include <cmath>

#include "common/base/random.hpp"
#include "common/config/presets.hpp"
#include "common/graph/network.hpp"
#include "common/graph/presets.hpp"

namespace trainyard::graph {
namespace {

constexpr std::uint32_t kBatch = 5;
const DataShape kText{.steps = 7, .vocabulary = 30, .classes = 3};
const DataShape kTable{.vocabulary = 20, .numbers = 3, .categories = 4, .classes = 2};

/// Random inputs and labels of a preset; few ids, so that they come again.
struct Batch {
  Batch(const Model& model, const DataShape& data) {
    Random random(3);
    for (const External& external : model.graph.externals) {
      const auto count = static_cast<std::size_t>(external.of.shape.with_batch(kBatch).elements());
      if (external.of.type == DType::f32) {
        for (std::size_t i = 0; i < count; ++i) reals.push_back(static_cast<float>(random.normal()));
        inputs.push_back(reals.data());
        continue;
      }
      auto& out = wholes.emplace_back();
      const bool lengths = external.name == "lengths";
      for (std::size_t i = 0; i < count; ++i)
        out.push_back(static_cast<std::int32_t>(random.below(lengths ? 7 : 9)) + (lengths ? 1 : 0));
      inputs.push_back(out.data());
    }
    for (std::uint32_t n = 0; n < kBatch; ++n) {
      labels.push_back(static_cast<std::int32_t>(random.below(data.classes)));
      targets.push_back(static_cast<float>(labels.back()));
      keys.push_back(n);
    }
  }
  Feed feed(const LossSpec& loss) const {
    const bool real = loss.kind == Kind::sigmoid_cross_entropy;
    return {kBatch, inputs, real ? static_cast<const void*>(targets.data()) : labels.data(), keys, 1};
  }
  std::vector<float> reals, targets;
  std::vector<std::vector<std::int32_t>> wholes;
  std::vector<const void*> inputs;
  std::vector<std::int32_t> labels;
  std::vector<std::uint64_t> keys;
};

PresetModel made(const std::string& name, const DataShape& data) {
  config::PresetOptions options = config::find_preset(name)->defaults;
  options.dropout = 0;
  options.embedding = 6;
  options.units = 5;
  options.heads = 2;
  options.feedforward = 8;
  options.hidden = {8};
  auto model = preset_model(name, options, data, kBatch);
  if (!model) FAIL(model.error().message);
  return std::move(*model);
}

std::unique_ptr<Network> network_of(PresetModel preset, RowGradients rows) {
  auto network = Network::build(std::move(preset.model),
                                {.batch_max = kBatch, .seed = 4, .loss = preset.loss, .row_gradients = rows});
  if (!network) FAIL(network.error().message);
  return std::move(*network);
}

/// The rows in their places, beside the other gradients.
std::vector<float> whole(const Network& network) {
  std::vector<float> out(network.gradients().begin(), network.gradients().end());
  for (const tensor::RowGradient& part : network.row_gradients())
    for (std::size_t i = 0; i < part.ids.size(); ++i)
      for (std::uint64_t k = 0; k < part.width; ++k)
        out[part.offset + static_cast<std::uint64_t>(part.ids[i]) * part.width + k] +=
            part.rows[i * part.width + k];
  return out;
}

}  // namespace

TEST_CASE("rows of gradients are those of the dense gradients, and of no other tensor", "[rows]") {
  const std::pair<const char*, const DataShape*> presets[] = {{"fasttext", &kText},
                                                              {"bilstm", &kText},
                                                              {"transformer_encoder", &kText},
                                                              {"wide_deep", &kTable},
                                                              {"deepfm", &kTable}};
  for (const auto& [name, data] : presets) {
    INFO(name);
    const PresetModel preset = made(name, *data);
    const Batch batch(preset.model, *data);
    const auto dense = network_of(made(name, *data), RowGradients::dense);
    const auto rows = network_of(made(name, *data), RowGradients::rows);
    const StepResult first = dense->train_step(batch.feed(preset.loss), nullptr);
    const StepResult second = rows->train_step(batch.feed(preset.loss), nullptr);
    CHECK(first.loss_sum == second.loss_sum);
    CHECK(dense->row_gradients().empty());
    REQUIRE(!rows->row_gradients().empty());
    const auto widths = rows->row_widths();
    std::size_t with_rows = 0;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      const TensorInfo& tensor = rows->tensors()[i];
      if (widths[i] == 0) continue;
      ++with_rows;
      CHECK(widths[i] * static_cast<std::uint64_t>(tensor.shape[0]) == tensor.length);
      for (std::uint64_t k = 0; k < tensor.length; ++k) CHECK(rows->gradients()[tensor.offset + k] == 0);
    }
    CHECK(with_rows == rows->row_gradients().size());
    const std::vector<float> together = whole(*rows);
    double worst = 0;
    for (std::size_t i = 0; i < together.size(); ++i)
      worst = std::max(worst, std::abs(static_cast<double>(together[i]) - dense->gradients()[i]));
    CHECK(worst < 1e-6);
  }
}

TEST_CASE("rows of gradients are the slopes of the loss", "[rows]") {
  const PresetModel preset = made("fasttext", kText);
  const Batch batch(preset.model, kText);
  const auto network = network_of(made("fasttext", kText), RowGradients::rows);
  const Feed feed = batch.feed(preset.loss);
  (void)network->train_step(feed, nullptr);
  REQUIRE(network->row_gradients().size() == 1);
  const std::vector<float> gradient = whole(*network);
  const tensor::RowGradient part = network->row_gradients()[0];
  for (std::uint64_t i = part.offset; i < part.offset + 9 * part.width; ++i) {
    float& value = network->values()[i];
    const float at = value;
    constexpr float step = 0.02F;
    value = at + step;
    const double above = network->train_step(feed, nullptr).loss_sum;
    value = at - step;
    const double below = network->train_step(feed, nullptr).loss_sum;
    value = at;
    CHECK(gradient[i] == Approx((above - below) / (2.0 * step)).margin(2e-4));
  }
}

TEST_CASE("a table that is used as a whole too has a dense gradient", "[rows]") {
  Builder builder(kBatch);
  const ValueId ids = builder.input("ids", {Shape{tensor::kBatch, 4}, DType::i32});
  const ValueId table = *builder.parameter("table", {6, 3}, TensorKind::weight, Init::normal_02);
  Attributes first, all;
  first.axis = 0;
  all.axis = -1;
  const ValueId x = *builder.add(Kind::gather, first, {table, ids});
  const ValueId y = *builder.add(Kind::dense, all, {x, table});
  Graph graph = std::move(builder).finish({y}).graph;
  REQUIRE(differentiate_from_seeds(graph, RowGradients::rows).has_value());
  CHECK(graph.row_results.empty());
}

}  // namespace trainyard::graph
