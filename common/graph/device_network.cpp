#include "common/graph/device_network.hpp"

#include <cmath>
#include <cstring>
#include <map>
#include <optional>

#include "common/base/check.hpp"
#include "common/graph/feeds.hpp"
#include "common/graph/finite.hpp"
#include "common/graph/loss_scale.hpp"
#include "common/graph/narrow.hpp"
#include "common/graph/padded.hpp"
#include "common/graph/prepare.hpp"
#include "common/graph/programs.hpp"

namespace trainyard::graph {

namespace {

/// One graph with all that its runs need. Its first run of a batch warms libraries up, the second is
/// recorded, later ones are replayed.
class Side {
 public:
  Side(Graph graph, std::size_t own_inputs, const ops::Backend& backend)
      : programs(std::move(graph), backend), feeds(programs.graph(), own_inputs, *backend.device()) {}

  Programs programs;
  Feeds feeds;
  struct Recorded {
    std::size_t runs = 0;
    std::unique_ptr<ops::Recording> recording;
    bool refused = false;
  };
  std::map<std::pair<std::uint32_t, std::size_t>, Recorded> recorded;  // by batch and slot
  std::size_t bound = 0;  // programs that were bound when the recordings were made
};

/// Waits after each kernel, so that times are its own and its results can be looked at.
class Patient final : public Observer {
 public:
  Patient(Observer& inner, ops::Device& device, const Padded& padded, const std::function<void()>& fetch)
      : inner_(inner), device_(device), padded_(padded), fetch_(fetch) {}
  void begins(std::size_t index) override { inner_.begins(index); }
  void ended(std::size_t index) override {
    const Status done = device_.wait();
    check(done.has_value(), done ? "" : done.error().message);
    inner_.ended(index);
  }
  void gradient(std::uint64_t offset, std::uint64_t length) override {
    fetch_();
    inner_.gradient(padded_.offset(offset), length);
  }

 private:
  Observer& inner_;
  ops::Device& device_;
  const Padded& padded_;
  const std::function<void()>& fetch_;
};

class DeviceNetwork final : public Network {
 public:
  DeviceNetwork(Model model, const NetworkOptions& options)
      : model_(std::move(model)),
        options_(options),
        backend_(options.backend),
        device_(*backend_->device()),
        padded_(model_.tensors) {
    draw_initial(model_, options.seed, values_);
  }
  ~DeviceNetwork() override { (void)device_.wait(); }

  Status make() {
    if (options_.training) {
      auto graph = graph_to_train(model_, options_.loss, options_.seed,
                                  {.low_memory = options_.low_memory, .type = type_of(options_.precision)});
      if (!graph) return graph.error();
      if (const Status done = take(training_, std::move(*graph)); !done) return done;
      gradients_.assign(model_.length, 0.0f);
    }
    auto graph =
        graph_to_predict(model_, options_.loss, options_.training ? DType::f32 : type_of(options_.precision));
    if (!graph) return graph.error();
    if (const Status done = take(inference_, std::move(*graph)); !done) return done;
    const std::size_t bytes = padded_.length() * sizeof(float);
    for (const auto& [block, host] : {std::pair{&parameters_, false}, {&slopes_, false}, {&staging_, true}}) {
      if (block == &slopes_ && !options_.training) continue;
      auto made = host ? ops::Block::of_host(device_, bytes) : ops::Block::of_device(device_, bytes);
      if (!made) return made.error();
      *block = std::move(*made);
    }
    auto outcome = ops::Block::of_host(device_, sizeof(ops::Outcome));
    if (!outcome) return outcome.error();
    outcome_ = std::move(*outcome);
    return device_.wait();
  }

  const Model& model() const override { return model_; }
  const LossSpec& loss() const override { return options_.loss; }
  std::span<float> values() override {
    told_ = false;
    return values_;
  }
  void swap_values(std::vector<float>& values) override {
    check(values.size() == values_.size(), "other values have the length of the model");
    values_.swap(values);
    told_ = false;
  }
  std::span<const float> gradients() const override {
    if (!fetched_) fetch();
    return gradients_;
  }
  std::span<const tensor::RowGradient> row_gradients() const override { return {}; }
  std::vector<std::uint64_t> row_widths() const override {
    return std::vector<std::uint64_t>(model_.tensors.size(), 0);
  }

  void stage(const Feed& feed) override {
    next_slot_ = (slot_ + 1) % kFeedSlots;
    training_->feeds.fill(next_slot_, feed);
    staged_ = Staged{feed.count, feed.step, {feed.inputs.begin(), feed.inputs.end()}};
  }

  StepResult train_step(const Feed& feed, Observer* observer) override {
    check(options_.training && feed.count > 0 && feed.count <= options_.batch_max,
          "a step has between one sample and batch_max");
    if (staged_ && *staged_ == Staged{feed.count, feed.step, {feed.inputs.begin(), feed.inputs.end()}}) {
      slot_ = next_slot_;
    } else {
      slot_ = (slot_ + 1) % kFeedSlots;
      training_->feeds.fill(slot_, feed);
    }
    staged_.reset();
    // Not with the feed, which may be staged before the step that changes the scale has run.
    training_->feeds.scale_loss(slot_, scale_.value());
    fetched_ = false;
    const std::function<void()> fetched = [this] { fetch(); };
    std::optional<Patient> patient;
    if (observer != nullptr) patient.emplace(*observer, device_, padded_, fetched);
    run(*training_, slot_, feed.count, patient ? &*patient : nullptr);
    wait();
    const auto& outcome = *reinterpret_cast<const ops::Outcome*>(outcome_.data());
    StepResult result{.loss_sum = outcome.loss_sum,
                      .correct = static_cast<std::uint32_t>(outcome.correct),
                      .finite = std::isfinite(outcome.loss_sum),
                      .weight_sum = outcome.weight_sum};
    if (options_.precision == config::Precision::fp16) {
      result.loss_scale = scale_.value();
      result.overflow = scale_.overflows(result.finite && all_finite(gradients()));
    }
    return result;
  }

  void predict(const Feed& feed, std::span<float> out, Observer* observer) override {
    check(feed.count > 0 && feed.count <= options_.batch_max,
          "a prediction has between one sample and batch_max");
    const Graph& graph = inference_->programs.graph();
    const auto elements = static_cast<std::size_t>(-graph.shape(graph.results[0]).volume());
    check(out.size() == std::size_t{feed.count} * elements, "a prediction has room for its results");
    inference_->feeds.fill(0, feed);
    const std::function<void()> nothing = [] {};
    std::optional<Patient> patient;
    if (observer != nullptr) patient.emplace(*observer, device_, padded_, nothing);
    const Program& program = run(*inference_, 0, feed.count, patient ? &*patient : nullptr);
    std::vector<std::int32_t> whole;
    const bool of_whole = graph.signature(graph.results[0]).type == DType::i32;
    if (of_whole) whole.resize(out.size());
    void* const to = of_whole ? static_cast<void*>(whole.data()) : out.data();
    device_.copy_out(to, program.result(memory_), out.size_bytes());
    wait();
    if (of_whole) std::copy(whole.begin(), whole.end(), out.begin());
  }

  Status freeze() override {
    check(!options_.training, "a network that trains changes its values");
    auto graph = graph_to_predict_frozen(model_, options_.loss, values_, type_of(options_.precision));
    if (!graph) return graph.error();
    return take(inference_, std::move(*graph));
  }

  void read(const void* at, void* to, std::size_t bytes) const override {
    device_.copy_out(to, at, bytes);
    wait();
  }

  const Program& program(bool training, std::uint32_t batch) override {
    Side& side = training ? *training_ : *inference_;
    const auto program = side.programs.of(batch == 0 ? options_.batch_max : batch);
    check(program.has_value(), "a smaller batch has the kernels of the full one");
    return **program;
  }

 private:
  struct Staged {
    std::uint32_t count = 0;
    std::uint64_t step = 0;
    std::vector<const void*> inputs;
    friend bool operator==(const Staged&, const Staged&) = default;
  };

  /// Prepares the full batch, so that what the backend cannot do shows now.
  Status take(std::unique_ptr<Side>& side, Graph graph) {
    padded_.apply(graph);
    wait();
    side = std::make_unique<Side>(std::move(graph), model_.graph.externals.size(), *backend_);
    if (const Status done = side->feeds.reserve(options_.batch_max); !done) return done;
    const auto program = side->programs.of(options_.batch_max);
    if (!program) return program.error();
    return reserve(**program);
  }

  Status reserve(const Program& program) {
    if (arena_.size() >= program.arena_bytes() && arena_.data() != nullptr) return {};
    for (Side* side : {training_.get(), inference_.get()})
      if (side != nullptr) side->recorded.clear();
    wait();
    arena_ = {};
    auto arena = ops::Block::of_device(device_, program.arena_bytes());
    if (!arena) return arena.error().with("the activations of a step");
    arena_ = std::move(*arena);
    return {};
  }

  /// A device that fails is of no more use, and neither is this process: another begins from a checkpoint.
  void wait() const {
    const Status done = device_.wait();
    check(done.has_value(), done ? "" : done.error().message);
  }

  /// The values as the caller left them.
  void tell() {
    if (told_) return;
    auto* const at = reinterpret_cast<float*>(staging_.data());
    padded_.spread(values_, at);
    device_.copy_in(parameters_.data(), at, staging_.size());
    // Gradients come back through the same memory.
    wait();
    told_ = true;
  }

  void fetch() const {
    device_.copy_out(staging_.data(), slopes_.data(), staging_.size());
    wait();
    padded_.gather(reinterpret_cast<const float*>(staging_.data()), gradients_);
    fetched_ = true;
  }

  const Program& run(Side& side, std::size_t slot, std::uint32_t count, Observer* observer) {
    const auto found = side.programs.of(count);
    check(found.has_value(), found ? "" : found.error().message);
    Program& program = **found;
    const Status reserved = reserve(program);
    check(reserved.has_value(), reserved ? "" : reserved.error().message);
    if (side.bound != side.programs.bound()) side.recorded.clear();
    side.bound = side.programs.bound();
    memory_ = {arena_.data(), parameters_.data(), slopes_.data(), side.feeds.externals(slot)};
    tell();
    device_.join();
    const auto enqueue = [&] {
      program.run(memory_, observer);
      if (side.feeds.outcome(slot) != nullptr)
        device_.copy_out(outcome_.data(), side.feeds.outcome(slot), sizeof(ops::Outcome));
    };
    Side::Recorded& recorded = side.recorded[{count, slot}];
    if (observer == nullptr && recorded.runs > 0 && !recorded.recording && !recorded.refused) {
      auto recording = device_.record(enqueue);
      recorded.refused = !recording;
      if (recording) recorded.recording = std::move(*recording);
    }
    ++recorded.runs;
    if (observer == nullptr && recorded.recording)
      recorded.recording->replay();
    else
      enqueue();
    return program;
  }

  const Model model_;
  const NetworkOptions options_;
  const std::shared_ptr<ops::Backend> backend_;
  ops::Device& device_;
  const Padded padded_;
  std::vector<float> values_;
  mutable std::vector<float> gradients_;
  mutable bool fetched_ = true;  // gradients_ are those of the last step
  bool told_ = false;            // parameters_ are values_
  ops::Block parameters_, slopes_, staging_, outcome_, arena_;
  std::unique_ptr<Side> training_, inference_;
  std::size_t slot_ = 0, next_slot_ = 0;
  std::optional<Staged> staged_;
  Memory memory_;
  LossScale scale_;
};

}  // namespace

Result<std::unique_ptr<Network>> device_network(Model model, const NetworkOptions& options) {
  auto network = std::make_unique<DeviceNetwork>(std::move(model), options);
  if (const Status done = network->make(); !done) return done.error();
  return std::unique_ptr<Network>(std::move(network));
}

}  // namespace trainyard::graph
