#include "common/graph/network.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "common/base/check.hpp"
#include "common/base/text.hpp"
#include "common/graph/device_network.hpp"
#include "common/graph/finite.hpp"
#include "common/graph/loss_scale.hpp"
#include "common/graph/narrow.hpp"
#include "common/graph/prepare.hpp"
#include "common/graph/programs.hpp"
#include "common/ops/deterministic.hpp"

namespace trainyard::graph {

namespace {

/// Activations of a prediction that are worth keeping in the caches; larger batches go slice by slice, of at
/// least four samples.
constexpr std::size_t kSliceBytes = std::size_t{32} << 20;

class BoundNetwork final : public Network {
 public:
  static Result<std::unique_ptr<Network>> make(Model model, const NetworkOptions& options) {
    Result<Graph> training = Graph{};
    if (options.training)
      training = graph_to_train(model, options.loss, options.seed,
                                {.rows = options.row_gradients,
                                 .low_memory = options.low_memory,
                                 .narrow = {type_of(options.precision)}});
    if (!training) return training.error();
    auto inference =
        graph_to_predict(model, options.loss, {options.training ? DType::f32 : type_of(options.precision)});
    if (!inference) return inference.error();
    auto network = std::make_unique<BoundNetwork>(std::move(model), options, std::move(*training),
                                                  std::move(*inference));
    if (const Status done = network->prepare(); !done) return done.error();
    return std::unique_ptr<Network>(std::move(network));
  }

  BoundNetwork(Model model, const NetworkOptions& options, Graph training, Graph inference)
      : model_(std::move(model)),
        options_(options),
        backend_(options.deterministic ? ops::deterministic_cpu_backend() : ops::cpu_backend()),
        training_(std::make_unique<Programs>(std::move(training), *backend_)),
        inference_(std::make_unique<Programs>(std::move(inference), *backend_)),
        gradients_(options.training ? model_.length : 0, 0.0f) {
    draw_initial(model_, options.seed, values_);
    if (options.precision == config::Precision::fp16) row_widths_ = BoundNetwork::row_widths();
  }

  const Model& model() const override { return model_; }
  const LossSpec& loss() const override { return options_.loss; }
  std::span<float> values() override { return values_; }
  void swap_values(std::vector<float>& values) override {
    check(values.size() == values_.size(), "other values have the length of the model");
    values_.swap(values);
  }
  std::span<const float> gradients() const override { return gradients_; }
  std::span<const tensor::RowGradient> row_gradients() const override { return row_gradients_; }
  std::vector<std::uint64_t> row_widths() const override {
    std::vector<std::uint64_t> widths;
    const Graph& graph = training_->graph();
    for (const TensorInfo& tensor : model_.tensors) {
      const auto found = std::find_if(
          graph.row_results.begin(), graph.row_results.end(),
          [&](const RowResult& result) { return graph.values[result.parameter].offset == tensor.offset; });
      widths.push_back(found == graph.row_results.end() || tensor.length == 0 ? 0 : width_of(*found));
    }
    return widths;
  }

  StepResult train_step(const Feed& feed, Observer* observer) override {
    check(options_.training && feed.count > 0 && feed.count <= options_.batch_max,
          "a step has between one sample and batch_max");
    check(feed.update == nullptr, "values() are updated by their owner");
    outcome_ = {};
    step_ = feed.step;
    loss_scale_ = scale_.value();
    take_rows(run(*training_, feed, observer));
    StepResult result{.loss_sum = outcome_.loss_sum,
                      .correct = static_cast<std::uint32_t>(outcome_.correct),
                      .finite = std::isfinite(outcome_.loss_sum),
                      .weight_sum = outcome_.weight_sum};
    if (options_.precision == config::Precision::fp16) {
      result.loss_scale = scale_.value();
      result.overflow = scale_.overflows(result.finite && finite_gradients(*this, row_widths_));
    }
    return result;
  }

  void predict(const Feed& feed, std::span<float> out, Observer* observer) override {
    check(feed.count > 0 && feed.count <= options_.batch_max,
          "a prediction has between one sample and batch_max");
    check(out.size() == std::size_t{feed.count} * elements(), "a prediction has room for its results");
    const bool whole = inference_->graph().signature(inference_->graph().results[0]).type == DType::i32;
    for (std::uint32_t first = 0; first < feed.count; first += slice_) {
      const Feed slice = slice_of(feed, first);
      std::optional<Fp16Overflow> overflow;
      if (options_.precision == config::Precision::fp16 && !options_.training)
        overflow.emplace(program(false, slice.count), observer);
      Observer* const watches = overflow ? &*overflow : observer;
      const void* const result = run(*inference_, slice, watches).result(memory_);
      const auto to = out.subspan(first * elements(), slice.count * elements());
      if (overflow && overflow->found())
        std::ranges::fill(to, std::numeric_limits<float>::quiet_NaN());
      else if (whole)
        std::copy_n(static_cast<const std::int32_t*>(result), to.size(), to.data());
      else
        std::memcpy(to.data(), result, to.size_bytes());
    }
  }

  Status freeze() override {
    check(!options_.training, "a network that trains changes its values");
    auto graph = graph_to_predict_frozen(model_, options_.loss, values_, {type_of(options_.precision)});
    if (!graph) return graph.error();
    inference_ = std::make_unique<Programs>(std::move(*graph), *backend_);
    return prepare();
  }

  const Program& program(bool training, std::uint32_t batch) override {
    if (batch == 0) batch = training ? options_.batch_max : slice_;
    const auto program = (training ? training_ : inference_)->of(batch);
    check(program.has_value(), "a smaller batch has the kernels of the full one");
    return **program;
  }

 private:
  std::uint64_t width_of(const RowResult& result) const {
    return static_cast<std::uint64_t>(training_->graph().shape(result.parameter).volume(1));
  }

  void take_rows(const Program& program) {
    row_gradients_.clear();
    for (const RowResult& result : training_->graph().row_results) {
      const auto at = [&](std::size_t index) { return program.result(memory_, result.first + index); };
      const auto count = static_cast<std::size_t>(*static_cast<const std::int32_t*>(at(2)));
      const std::uint64_t width = width_of(result);
      row_gradients_.push_back({training_->graph().values[result.parameter].offset,
                                width,
                                {static_cast<const std::int32_t*>(at(0)), count},
                                {static_cast<const float*>(at(1)), count * width}});
    }
  }

  /// Prepares the full batch, so that what the backend cannot do shows now.
  Status prepare() {
    if (options_.training) {
      const auto program = training_->of(options_.batch_max);
      if (!program) return program.error();
      reserve(**program);
    }
    slice_ = options_.batch_max;
    auto program = inference_->of(slice_);
    if (!program) return program.error();
    if ((*program)->arena_bytes() > kSliceBytes) {
      const auto fits =
          static_cast<std::uint32_t>(slice_ * std::uint64_t{kSliceBytes} / (*program)->arena_bytes());
      slice_ = std::max(fits / 4 * 4, std::min(slice_, 4u));
      inference_->forget();  // a frozen network's weights would be arranged in both
      program = inference_->of(slice_);
      if (!program) return program.error();
    }
    reserve(**program);
    return {};
  }

  /// The samples of a batch from `first` on that are predicted together.
  Feed slice_of(const Feed& feed, std::uint32_t first) {
    Feed slice = feed;
    slice.count = std::min(slice_, feed.count - first);
    if (first == 0) return slice;
    slice_inputs_.clear();
    for (std::size_t i = 0; i < model_.graph.externals.size(); ++i) {
      const Signature& of = model_.graph.externals[i].of;
      const std::int64_t volume = of.shape.open() ? -of.shape.volume() : 0;  // 0: the same for all samples
      const std::size_t each = static_cast<std::size_t>(volume) * tensor::size_of(of.type);
      slice_inputs_.push_back(static_cast<const std::byte*>(feed.inputs[i]) + first * each);
    }
    slice.inputs = slice_inputs_;
    return slice;
  }

  std::size_t elements() const {
    const Graph& graph = inference_->graph();
    return static_cast<std::size_t>(-graph.shape(graph.results[0]).volume());
  }

  const Program& run(Programs& programs, const Feed& feed, Observer* observer) {
    ops::flush_denormals();
    const auto program = programs.of(feed.count);
    check(program.has_value(), "a smaller batch has the kernels of the full one");
    reserve(**program);
    externals_.clear();
    std::size_t next = 0;
    for (const External& external : programs.graph().externals)
      externals_.push_back(pointer(external.name, feed, next));
    memory_ = {arena_.data(), values_.data(), gradients_.data(), externals_};
    (*program)->run(memory_, observer);
    return **program;
  }

  /// The model's own inputs come first, in their order.
  void* pointer(const std::string& name, const Feed& feed, std::size_t& next) {
    const auto writable = [](const void* at) { return const_cast<void*>(at); };
    if (next < model_.graph.externals.size()) return writable(feed.inputs[next++]);
    if (name == "labels") return writable(feed.labels);
    if (name == "keys") return writable(feed.keys.data());
    if (name == "step") return &step_;
    if (name == kLossScale) return &loss_scale_;
    check(name == "outcome", "an external of a network has a source");
    return &outcome_;
  }

  void reserve(const Program& program) {
    if (arena_.size() < program.arena_bytes()) arena_ = tensor::Buffer(program.arena_bytes());
  }

  const Model model_;
  const NetworkOptions options_;
  const std::unique_ptr<ops::Backend> backend_;
  std::unique_ptr<Programs> training_, inference_;
  std::vector<float> values_, gradients_;
  std::vector<tensor::RowGradient> row_gradients_;
  tensor::Buffer arena_;
  std::vector<void*> externals_;
  std::vector<const void*> slice_inputs_;
  std::uint32_t slice_ = 1;  // samples that are predicted together
  Memory memory_;
  std::uint64_t step_ = 0;
  ops::Outcome outcome_;
  LossScale scale_;
  std::vector<std::uint64_t> row_widths_;  // of a training in fp16
  float loss_scale_ = 1;                   // of the step that runs
};

std::size_t floats_a_sample(const Network& network) {
  const InputShape in = network.input();
  return static_cast<std::size_t>(in.channels * in.height * in.width);
}

}  // namespace

StepResult Network::train_step(std::span<const float> images, std::span<const std::int32_t> labels,
                               std::span<const std::uint64_t> keys, std::uint64_t step) {
  check(keys.size() == labels.size() && images.size() == labels.size() * floats_a_sample(*this),
        "a step's images, labels and keys agree");
  const void* const inputs[] = {images.data()};
  return train_step({static_cast<std::uint32_t>(labels.size()), inputs, labels.data(), keys, step}, nullptr);
}

void Network::predict(std::span<const float> images, std::uint32_t count, std::span<float> probabilities) {
  check(images.size() == count * floats_a_sample(*this), "a prediction's images have the input's shape");
  const void* const inputs[] = {images.data()};
  predict({.count = count, .inputs = inputs}, probabilities, nullptr);
}

void Network::read(const void* at, void* to, std::size_t bytes) const { std::memcpy(to, at, bytes); }

void Network::stage(const Feed&) {}

Status Network::keep(const tensor::UpdatePlan&) {
  return Error{Errc::refused, "only a network on a device updates its own values"};
}

void Network::read_kept(std::size_t, std::span<float>) const {
  check(false, "a network keeps what it reads");
}

void Network::write_kept(std::size_t, std::span<const float>) {
  check(false, "a network keeps what it writes");
}

InputShape Network::input() const {
  const Graph& graph = model().graph;
  check(!graph.externals.empty() && graph.externals[0].of.shape.rank() == 4, "the model takes an image");
  const Shape& shape = graph.externals[0].of.shape;
  return {shape[1], shape[2], shape[3]};
}

std::uint32_t Network::classes() const {
  const Graph& graph = model().graph;
  return static_cast<std::uint32_t>(-graph.shape(graph.results[0]).volume());
}

Result<std::unique_ptr<Network>> Network::build(const config::ModelSection& section, InputShape input,
                                                std::uint32_t classes, const NetworkOptions& options) {
  auto model = model_of(section, input, classes, options.batch_max);
  if (!model) return model.error();
  return build(std::move(*model), options);
}

Result<std::unique_ptr<Network>> Network::build(Model model, const NetworkOptions& options) {
  if (options.backend && options.backend->device() != nullptr)
    return device_network(std::move(model), options);
  return BoundNetwork::make(std::move(model), options);
}

}  // namespace trainyard::graph
