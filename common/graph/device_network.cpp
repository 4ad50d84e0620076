#include "common/graph/device_network.hpp"

#include <cmath>
#include <optional>

#include "common/base/check.hpp"
#include "common/graph/device_side.hpp"
#include "common/graph/finite.hpp"
#include "common/graph/loss_scale.hpp"
#include "common/graph/narrow.hpp"
#include "common/graph/padded.hpp"
#include "common/graph/patient.hpp"
#include "common/graph/prepare.hpp"
#include "common/graph/updates.hpp"

namespace trainyard::graph {

namespace {

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
      auto graph =
          graph_to_train(model_, options_.loss, options_.seed,
                         {.low_memory = options_.low_memory, .narrow = {type_of(options_.precision), true}});
      if (!graph) return graph.error();
      if (const Status done = take(training_, std::move(*graph)); !done) return done;
      gradients_.assign(model_.length, 0.0f);
    }
    auto graph = graph_to_predict(model_, options_.loss,
                                  {options_.training ? DType::f32 : type_of(options_.precision), true});
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
    bring_values();
    newest_ = Newest::here;
    return values_;
  }
  std::span<const float> look() override {
    bring_values();
    return values_;
  }
  void swap_values(std::vector<float>& values) override {
    check(values.size() == values_.size(), "other values have the length of the model");
    bring_values();
    values_.swap(values);
    newest_ = Newest::here;
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
    check(options_.training && feed.count > 0 && feed.count <= options_.batch_max,
          "a step has between one sample and batch_max");
    coming_ = Staged(feed);
  }

  Status keep(const tensor::UpdatePlan& plan) override {
    check(options_.training, "only a network that trains changes its values");
    wait();
    training_->recordings.forget();
    auto made = Updates::make(*backend_, plan, padded_);
    if (!made) return made.error();
    updates_ = std::move(*made);
    return {};
  }
  void read_kept(std::size_t array, std::span<float> to) const override { bring(kept(array), to); }
  void write_kept(std::size_t array, std::span<const float> from) override { send(from, kept(array)); }

  StepResult train_step(const Feed& feed, Observer* observer) override {
    check(options_.training && feed.count > 0 && feed.count <= options_.batch_max,
          "a step has between one sample and batch_max");
    check(feed.update == nullptr || updates_ != nullptr, "a network that updates its values keeps them");
    slot_ = (slot_ + 1) % kFeedSlots;
    if (!staged_ || !staged_->is(feed)) training_->feeds.fill(slot_, feed);
    staged_.reset();
    // Not with the feed, which may be staged before the step that changes the scale has run.
    training_->feeds.scale_loss(slot_, scale_.value());
    fetched_ = false;
    if (feed.update != nullptr) updates_->set(*feed.update);
    std::optional<Patient> patient;
    if (observer != nullptr) patient.emplace(*observer, device_, padded_, [this] { fetched_ = false; });
    run(*training_, slot_, feed.count, patient ? &*patient : nullptr, feed.update != nullptr);
    if (coming_) {
      training_->feeds.fill((slot_ + 1) % kFeedSlots, coming_->whole());
      staged_ = std::move(coming_);
      coming_.reset();
    }
    wait();
    if (feed.update != nullptr) newest_ = Newest::there;
    const auto& outcome = *reinterpret_cast<const ops::Outcome*>(outcome_.data());
    const bool finite = std::isfinite(outcome.loss_sum) && (feed.update == nullptr || updates_->finite());
    StepResult result{.loss_sum = outcome.loss_sum,
                      .correct = static_cast<std::uint32_t>(outcome.correct),
                      .finite = finite,
                      .weight_sum = outcome.weight_sum};
    if (options_.precision == config::Precision::fp16) {
      result.loss_scale = scale_.value();
      result.overflow = scale_.overflows(finite && (feed.update != nullptr || all_finite(gradients())));
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
    std::optional<Patient> patient;
    if (observer != nullptr) patient.emplace(*observer, device_, padded_, [] {});
    const Program& program = run(*inference_, 0, feed.count, patient ? &*patient : nullptr, false);
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
    auto graph = graph_to_predict_frozen(model_, options_.loss, values_, {type_of(options_.precision), true});
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
    wait();
    for (Side* side : {training_.get(), inference_.get()})
      if (side != nullptr) side->recordings.forget();
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

  /// Arrays go to the device and come back through the same memory, one at a time.
  void send(std::span<const float> from, const ops::Block& to) const {
    auto* const at = reinterpret_cast<float*>(staging_.data());
    padded_.spread(from, at);
    device_.copy_in(to.data(), at, staging_.size());
    wait();
  }
  void bring(const ops::Block& from, std::span<float> to) const {
    device_.copy_out(staging_.data(), from.data(), staging_.size());
    wait();
    padded_.gather(reinterpret_cast<const float*>(staging_.data()), to);
  }

  void send_values() {
    if (newest_ == Newest::here) send(values_, parameters_);
    if (newest_ == Newest::here) newest_ = Newest::both;
  }
  void bring_values() {
    if (newest_ == Newest::there) bring(parameters_, values_);
    if (newest_ == Newest::there) newest_ = Newest::both;
  }
  void fetch() const {
    bring(slopes_, gradients_);
    fetched_ = true;
  }
  const ops::Block& kept(std::size_t array) const {
    check(updates_ != nullptr && updates_->array(array).data() != nullptr, "the rule keeps such an array");
    return updates_->array(array);
  }

  const Program& run(Side& side, std::size_t slot, std::uint32_t count, Observer* observer, bool updates) {
    const auto found = side.programs.of(count);
    check(found.has_value(), found ? "" : found.error().message);
    Program& program = **found;
    const Status reserved = reserve(program);
    check(reserved.has_value(), reserved ? "" : reserved.error().message);
    if (side.bound != side.programs.bound()) side.recordings.forget();
    side.bound = side.programs.bound();
    memory_ = {arena_.data(), parameters_.data(), slopes_.data(), side.feeds.externals(slot)};
    send_values();
    device_.join();
    const auto enqueue = [&] {
      program.run(memory_, observer);
      void* const outcome = side.feeds.outcome(slot);
      if (updates) update(static_cast<const ops::Outcome*>(outcome));
      if (outcome != nullptr) device_.copy_out(outcome_.data(), outcome, sizeof(ops::Outcome));
    };
    if (observer != nullptr)
      enqueue();
    else
      side.recordings.play({count, slot, updates}, enqueue);
    return program;
  }

  void update(const ops::Outcome* outcome) {
    const Status done = updates_->enqueue(reinterpret_cast<const float*>(slopes_.data()),
                                          reinterpret_cast<float*>(parameters_.data()), outcome);
    check(done.has_value(), done ? "" : done.error().message);
  }

  enum class Newest : std::uint8_t { here, both, there };

  const Model model_;
  const NetworkOptions options_;
  const std::shared_ptr<ops::Backend> backend_;
  ops::Device& device_;
  const Padded padded_;
  std::vector<float> values_;
  mutable std::vector<float> gradients_;
  mutable bool fetched_ = true;   // gradients_ are those of the last step
  Newest newest_ = Newest::here;  // where the values are as they should be: in values_, in parameters_
  ops::Block parameters_, slopes_, staging_, outcome_, arena_;
  std::unique_ptr<Side> training_, inference_;
  std::unique_ptr<Updates> updates_;
  std::size_t slot_ = 0;                   // of the last step; the next one has the other
  std::optional<Staged> coming_, staged_;  // to be brought into the other slot; brought in
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
