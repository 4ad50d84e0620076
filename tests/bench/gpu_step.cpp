// Our side of the GPU's benchmark: whole training steps (the batch brought in, forward, loss, backward, SGD
// with momentum) of one network on a GPU; gpu.py asks it and its peer in turn.
//   gpu_step NETWORK BATCH PRECISION
//   gpu_step NETWORK BATCH PRECISION profile STEPS    prints where the time of so many steps went
// Ends with 77 and one line that says why, where there is no GPU.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/base/check.hpp"
#include "common/base/random.hpp"
#include "common/base/text.hpp"
#include "common/graph/network.hpp"
#include "common/graph/profile.hpp"
#include "common/ops/device.hpp"
#include "common/optim/device_rule.hpp"
#include "tests/bench/engine_models.hpp"
#include "tests/bench/rounds.hpp"

namespace trainyard::bench {
namespace {

constexpr int kNoGpu = 77;

[[noreturn]] void fail(const Error& error, int code) {
  std::fprintf(stderr, "gpu_step: %s\n", error.message.c_str());
  std::exit(code);
}

class Trainer {
 public:
  Trainer(BenchModel bench, std::uint32_t batch, config::Precision precision,
          std::shared_ptr<ops::Backend> gpu)
      : batch_(batch) {
    auto network = graph::Network::build(
        std::move(bench.model), {.batch_max = batch, .backend = std::move(gpu), .precision = precision});
    if (!network) fail(network.error(), 1);
    network_ = std::move(*network);
    std::vector<optim::TensorSize> tensors;
    for (const graph::TensorInfo& tensor : network_->tensors())
      tensors.push_back({.length = tensor.length, .kind = static_cast<std::uint8_t>(tensor.kind)});
    config::TrainSection train;
    train.optimizer.momentum = 0.9;
    auto rule = optim::DeviceRule::make(train, tensors);
    if (!rule) fail(rule.error(), 1);
    rule_ = std::make_unique<optim::DeviceRule>(std::move(*rule));
    if (const Status kept = network_->keep(rule_->plan()); !kept) fail(kept.error(), 1);
    draw(bench.classes);
  }

  /// Gives the loss.
  double step(graph::Observer* observer = nullptr) {
    const tensor::UpdateStep numbers = rule_->step(0.01, step_ + 1, batch_);
    graph::Feed feed = feed_of(step_);
    feed.update = &numbers;
    network_->stage(feed_of(step_ + 1));
    ++step_;
    const graph::StepResult result = network_->train_step(feed, observer);
    check(result.finite, "random data gives finite numbers");
    return result.loss_sum / batch_;
  }

  std::string profile(int steps) {
    graph::Profiler profiler(network_->program(true), network_->model().graph.origins);
    for (int i = 0; i < 2; ++i) step();
    for (int i = 0; i < steps; ++i) step(&profiler);
    return profiler.table(60);
  }

 private:
  static constexpr std::size_t kBatches = 2;

  void draw(std::uint32_t classes) {
    Random random(1);
    check(network_->model().graph.externals.size() == 1, "the networks of this benchmark look at images");
    const auto& shape = network_->model().graph.externals[0].of.shape;
    for (std::size_t k = 0; k < kBatches; ++k) {
      auto& values = images_.emplace_back(static_cast<std::size_t>(shape.with_batch(batch_).elements()));
      for (float& value : values) value = static_cast<float>(random.normal());
      inputs_[k] = values.data();
    }
    for (std::uint32_t n = 0; n < batch_; ++n) {
      labels_.push_back(static_cast<std::int32_t>(random.below(classes)));
      keys_.push_back(random.next());
    }
  }
  graph::Feed feed_of(std::uint64_t step) const {
    return {batch_, {inputs_ + step % kBatches, 1}, labels_.data(), keys_, step};
  }

  const std::uint32_t batch_;
  std::unique_ptr<graph::Network> network_;
  std::unique_ptr<optim::DeviceRule> rule_;
  std::vector<std::vector<float>> images_;
  const void* inputs_[kBatches] = {};
  std::vector<std::int32_t> labels_;
  std::vector<std::uint64_t> keys_;
  std::uint64_t step_ = 0;
};

int run(const std::string& name, std::uint32_t batch, const std::string& precision, int profiled) {
  const auto named = config::precision_named(precision);
  if (!named) fail({Errc::invalid, format("no precision '{}': fp32, bf16 or fp16", precision)}, 2);
  auto gpu = ops::cuda_backend(0);
  if (!gpu) fail(gpu.error(), kNoGpu);
  std::fprintf(stderr, "%s\n", (*gpu)->device()->name().c_str());
  auto bench = bench_model(name, batch);
  if (!bench) fail(bench.error(), 2);
  Trainer trainer(std::move(*bench), batch, *named, std::move(*gpu));
  if (profiled > 0) return std::fputs(trainer.profile(profiled).c_str(), stdout), 0;
  answer_rounds([&] { return trainer.step(); });
  return 0;
}

}  // namespace
}  // namespace trainyard::bench

int main(int argc, char** argv) {
  const bool profile = argc == 6 && std::string_view(argv[4]) == "profile";
  if (argc != 4 && !profile)
    return std::fprintf(stderr, "usage: gpu_step NETWORK BATCH PRECISION [profile STEPS]\n"), 2;
  return trainyard::bench::run(argv[1], static_cast<std::uint32_t>(std::atoi(argv[2])), argv[3],
                               profile ? std::atoi(argv[5]) : 0);
}
