#include "common/graph/network.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <list>

#include "common/base/check.hpp"
#include "common/base/random.hpp"
#include "common/base/text.hpp"
#include "common/graph/graph.hpp"
#include "common/graph/program.hpp"
#include "common/tensor/buffer.hpp"

namespace trainyard::graph {

namespace {

using LayerKind = config::Layer::Kind;

/// Programs of the batch sizes that were used last: the usual one, and the odd one at the end of an epoch.
class Programs {
 public:
  Programs(Graph graph, const ops::Backend& backend) : graph_(std::move(graph)), backend_(backend) {}

  Result<Program*> of(std::uint32_t batch) {
    constexpr std::size_t kept = 4;
    const auto it = std::find_if(programs_.begin(), programs_.end(),
                                 [&](const auto& program) { return program->batch() == batch; });
    if (it != programs_.end()) {
      programs_.splice(programs_.begin(), programs_, it);
      return programs_.front().get();
    }
    auto program = Program::bind(graph_, batch, backend_);
    if (!program) return program.error();
    if (programs_.size() == kept) programs_.pop_back();
    programs_.push_front(std::move(*program));
    return programs_.front().get();
  }

 private:
  const Graph graph_;
  const ops::Backend& backend_;
  std::list<std::unique_ptr<Program>> programs_;
};

/// He and others, "Delving Deep into Rectifiers", 2015, equation 10: deviation sqrt(2 / fan-in) in front of a
/// rectifier; without one, 1 / sqrt(fan-in).
void draw_initial(const config::ModelSection& model, const ModelShapes& shapes, std::uint64_t seed,
                  std::span<float> values) {
  for (std::size_t l = 0; l < shapes.layers.size(); ++l) {
    const LayerShapes& layer = shapes.layers[l];
    const bool weighted =
        model.layers[l].kind == LayerKind::conv2d || model.layers[l].kind == LayerKind::dense;
    const bool last =
        std::none_of(model.layers.begin() + static_cast<std::ptrdiff_t>(l) + 1, model.layers.end(),
                     [](const auto& other) { return other.kind == LayerKind::relu; });
    for (std::size_t t = 0; t < layer.tensor_count; ++t) {
      const TensorInfo& info = shapes.tensors[layer.tensor_first + t];
      const auto out = values.subspan(info.offset, info.length);
      if (!weighted) {
        std::fill(out.begin(), out.end(), t == 0 || t == 3 ? 1.0f : 0.0f);  // gamma, beta, mean, variance
      } else if (t == 1) {
        std::fill(out.begin(), out.end(), 0.0f);
      } else {
        const double fan_in = static_cast<double>(info.length) / static_cast<double>(info.shape[0]);
        const double deviation = std::sqrt((last ? 1.0 : 2.0) / fan_in);
        Random random(mix(seed, layer.tensor_first + t));
        for (float& value : out) value = static_cast<float>(deviation * random.normal());
      }
    }
  }
}

class BoundNetwork final : public Network {
 public:
  BoundNetwork(const config::ModelSection& model, ModelShapes shapes, InputShape input, std::uint32_t classes,
               const NetworkOptions& options)
      : model_(model),
        shapes_(std::move(shapes)),
        input_(input),
        classes_(classes),
        options_(options),
        backend_(ops::cpu_backend()),
        training_(training_graph(), *backend_),
        inference_(inference_graph(model_, shapes_, input_), *backend_),
        values_(shapes_.length, 0.0f),
        gradients_(options.training ? shapes_.length : 0, 0.0f) {
    draw_initial(model_, shapes_, options.seed, values_);
  }

  /// Prepares the full batch, so that what the backend cannot do shows now.
  Status prepare() {
    if (options_.training) {
      const auto program = training_.of(options_.batch_max);
      if (!program) return program.error();
      reserve(**program);
    }
    const auto program = inference_.of(options_.batch_max);
    if (!program) return program.error();
    reserve(**program);
    return {};
  }

  std::span<const TensorInfo> tensors() const override { return shapes_.tensors; }
  std::span<float> values() override { return values_; }
  std::span<const float> gradients() const override { return gradients_; }

  StepResult train_step(std::span<const float> images, std::span<const std::int32_t> labels,
                        std::span<const std::uint64_t> keys, std::uint64_t step) override {
    const auto count = static_cast<std::uint32_t>(labels.size());
    check(options_.training && count > 0 && count <= options_.batch_max,
          "a step has between one sample and batch_max");
    check(keys.size() == count && images.size() == count * image_floats(),
          "a step's images, labels and keys agree");
    ops::flush_denormals();
    const auto program = training_.of(count);
    check(program.has_value(), "a smaller batch has the kernels of the full one");
    reserve(**program);
    step_ = step;
    outcome_ = {};
    (*program)->run({.arena = arena_.data(),
                     .parameters = values_.data(),
                     .gradients = gradients_.data(),
                     .images = images.data(),
                     .labels = labels.data(),
                     .keys = keys.data(),
                     .step = &step_,
                     .outcome = &outcome_});
    return {outcome_.loss_sum, static_cast<std::uint32_t>(outcome_.correct),
            std::isfinite(outcome_.loss_sum)};
  }

  void predict(std::span<const float> images, std::uint32_t count, std::span<float> probabilities) override {
    check(count > 0 && count <= options_.batch_max, "a prediction has between one sample and batch_max");
    check(images.size() == count * image_floats() && probabilities.size() == std::size_t{count} * classes_,
          "a prediction's images and probabilities agree");
    ops::flush_denormals();
    const auto program = inference_.of(count);
    check(program.has_value(), "a smaller batch has the kernels of the full one");
    reserve(**program);
    const Memory memory{.arena = arena_.data(), .parameters = values_.data(), .images = images.data()};
    (*program)->run(memory);
    std::memcpy(probabilities.data(), (*program)->result(memory), probabilities.size_bytes());
  }

  InputShape input() const override { return input_; }
  std::uint32_t classes() const override { return classes_; }

  std::string summary() const override {
    std::string out = format("{:<16} {:<20} {:>12}\n", "layer", "output", "parameters");
    for (std::size_t l = 0; l < shapes_.layers.size(); ++l) {
      const LayerShapes& layer = shapes_.layers[l];
      std::uint64_t count = 0;
      for (std::size_t t = 0; t < layer.tensor_count; ++t)
        count += shapes_.tensors[layer.tensor_first + t].length;
      out += format("{:<16} {:<20} {:>12}\n", layer_name(model_.layers[l].kind), layer.output.text(), count);
    }
    return out + format("{:<16} {:<20} {:>12}\n", "all", "", shapes_.length);
  }

 private:
  Graph training_graph() const {
    Graph graph = forward_graph(model_, shapes_, input_, options_.seed);
    differentiate(graph);
    return graph;
  }
  std::size_t image_floats() const {
    return static_cast<std::size_t>(input_.channels * input_.height * input_.width);
  }
  void reserve(const Program& program) {
    if (arena_.size() < program.arena_bytes()) arena_ = tensor::Buffer(program.arena_bytes());
  }

  const config::ModelSection model_;
  const ModelShapes shapes_;
  const InputShape input_;
  const std::uint32_t classes_;
  const NetworkOptions options_;
  const std::unique_ptr<ops::Backend> backend_;
  Programs training_, inference_;
  std::vector<float> values_, gradients_;
  tensor::Buffer arena_;
  std::uint64_t step_ = 0;
  ops::Outcome outcome_;
};

}  // namespace

Result<std::unique_ptr<Network>> Network::build(const config::ModelSection& model, InputShape input,
                                                std::uint32_t classes, const NetworkOptions& options) {
  auto shapes = infer_shapes(model, input, classes, options.batch_max);
  if (!shapes) return shapes.error();
  auto network = std::make_unique<BoundNetwork>(model, std::move(*shapes), input, classes, options);
  if (const Status prepared = network->prepare(); !prepared) return prepared.error();
  return std::unique_ptr<Network>(std::move(network));
}

}  // namespace trainyard::graph
