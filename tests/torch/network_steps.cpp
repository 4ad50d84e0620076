// network_steps NETWORK FOLDER STEPS RATE: some training steps of a preset on random data, for
// networks_test.py. Writes into FOLDER what the other side needs to do the same: each input and the labels,
// the first values; and the last values. Prints a line a tensor (name, offset, length, whether it is a
// buffer, shape), then the loss of each step. Batch 32, SGD with momentum 0.9, no dropout.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "common/base/random.hpp"
#include "common/config/presets.hpp"
#include "common/graph/network.hpp"
#include "common/graph/presets.hpp"
#include "common/optim/parameters.hpp"
#include "common/optim/table.hpp"

using namespace trainyard;

namespace {

constexpr std::uint32_t kBatch = 32;

int fail(const std::string& reason) {
  std::fprintf(stderr, "%s\n", reason.c_str());
  return 2;
}

template <typename T>
bool write(const std::string& path, const std::vector<T>& values) {
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return false;
  const bool whole = std::fwrite(values.data(), sizeof(T), values.size(), file) == values.size();
  return std::fclose(file) == 0 && whole;
}

graph::DataShape data_of(const std::string& network) {
  if (network == "lenet5") return {.image = {1, 28, 28}, .classes = 10};
  if (network == "resnet20") return {.image = {3, 32, 32}, .classes = 10};
  return {.steps = 12, .vocabulary = 50, .classes = 4};
}

/// One batch, and the files of it.
class Batch {
 public:
  Batch(const graph::Model& model, const graph::DataShape& data) {
    Random random(5);
    for (const graph::External& external : model.graph.externals) {
      const auto count = static_cast<std::size_t>(external.of.shape.with_batch(kBatch).elements());
      if (external.of.type == tensor::DType::f32) {
        for (std::size_t i = 0; i < count; ++i) reals_.push_back(static_cast<float>(random.normal()));
        inputs_.push_back(reals_.data());
        continue;
      }
      const auto below =
          static_cast<std::uint64_t>(external.name == "lengths" ? data.steps : data.vocabulary);
      auto& values = wholes_.emplace_back(external.name, std::vector<std::int32_t>()).second;
      for (std::size_t i = 0; i < count; ++i)
        values.push_back(static_cast<std::int32_t>(random.below(below)) +
                         (external.name == "lengths" ? 1 : 0));
      inputs_.push_back(values.data());
    }
    for (std::uint32_t n = 0; n < kBatch; ++n) {
      labels_.push_back(static_cast<std::int32_t>(random.below(data.classes)));
      keys_.push_back(n);
    }
  }
  bool write_to(const std::string& folder) const {
    bool done = write(folder + "/labels", labels_) && (reals_.empty() || write(folder + "/input", reals_));
    for (const auto& [name, values] : wholes_) done = done && write(folder + "/" + name, values);
    return done;
  }
  graph::Feed feed(std::uint64_t step) const { return {kBatch, inputs_, labels_.data(), keys_, step}; }

 private:
  std::vector<float> reals_;
  std::vector<std::pair<std::string, std::vector<std::int32_t>>> wholes_;
  std::vector<const void*> inputs_;
  std::vector<std::int32_t> labels_;
  std::vector<std::uint64_t> keys_;
};

int run(const std::string& name, const std::string& folder, std::uint64_t steps, double rate) {
  const auto* preset = config::find_preset(name);
  if (preset == nullptr) return fail("no preset " + name);
  config::PresetOptions options = preset->defaults;
  options.dropout = 0;
  if (preset->input == config::PresetInput::text) {
    options.embedding = options.units = 32;
    options.feedforward = 64;
    options.heads = 4;
    options.depth = 2;
  }
  const graph::DataShape data = data_of(name);
  auto made = graph::preset_model(name, options, data, kBatch);
  if (!made) return fail(made.error().message);
  const Batch batch(made->model, data);
  auto network = graph::Network::build(std::move(made->model), {.batch_max = kBatch, .loss = made->loss});
  if (!network) return fail(network.error().message);

  std::vector<optim::NamedTensor> tensors;
  for (const graph::TensorInfo& tensor : (*network)->tensors()) {
    tensors.push_back({tensor.name, tensor.length, static_cast<optim::ValueKind>(tensor.kind)});
    std::printf("%s %llu %llu %d", tensor.name.c_str(), static_cast<unsigned long long>(tensor.offset),
                static_cast<unsigned long long>(tensor.length), tensor.kind == graph::TensorKind::buffer);
    for (const std::int64_t extent : tensor.shape) std::printf(" %lld", static_cast<long long>(extent));
    std::printf("\n");
  }
  config::TrainSection train;
  train.optimizer = {.learning_rate = rate, .momentum = 0.9};
  const auto sizes = optim::tensor_sizes(train, tensors);
  if (!sizes) return fail(sizes.error().message);
  const std::vector<float> first((*network)->values().begin(), (*network)->values().end());
  auto table = optim::Table::make(train, optim::slice_over(*sizes, 1), steps, first);
  if (!table) return fail(table.error().message);
  if (!batch.write_to(folder) || !write(folder + "/first", first)) return fail("cannot write");
  std::printf("\n");
  for (std::uint64_t step = 1; step <= steps; ++step) {
    const graph::StepResult result = (*network)->train_step(batch.feed(step), nullptr);
    std::printf("%.9g\n", result.loss_sum / kBatch);
    const optim::Contribution own{kBatch, (*network)->gradients()};
    table->apply(std::span(&own, 1));
    std::copy(table->values()->begin(), table->values()->end(), (*network)->values().begin());
  }
  return write(folder + "/last", *table->values()) ? 0 : fail("cannot write");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return fail("network_steps NETWORK FOLDER STEPS RATE");
  return run(argv[1], argv[2], static_cast<std::uint64_t>(std::atoi(argv[3])), std::atof(argv[4]));
}
