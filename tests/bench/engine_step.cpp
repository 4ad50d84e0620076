// One side of the engine's benchmark: whole training steps (forward, loss, backward, SGD with momentum) of
// one network on random data. Reads the number of steps of a round from each line of its input and answers
// with the milliseconds of a step; engine.py asks it and its peer in turn.
//   engine_step NETWORK BATCH
//   engine_step NETWORK BATCH profile STEPS    prints where the time of so many steps went
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "common/base/random.hpp"
#include "common/base/text.hpp"
#include "common/graph/network.hpp"
#include "common/graph/profile.hpp"
#include "common/optim/optimizer.hpp"
#include "tests/bench/engine_models.hpp"

namespace trainyard::bench {
namespace {

using Clock = std::chrono::steady_clock;

class Trainer {
 public:
  Trainer(graph::Model model, std::uint32_t batch, std::uint32_t classes) : batch_(batch) {
    auto network = graph::Network::build(std::move(model), {.batch_max = batch});
    if (!network) {
      std::fprintf(stderr, "%s\n", network.error().message.c_str());
      std::exit(1);
    }
    network_ = std::move(*network);
    velocity_.assign(network_->values().size(), 0.0f);
    next_ = velocity_;
    const Shape shape = network_->model().graph.externals[0].of.shape.with_batch(batch);
    Random random(1);
    images_.resize(static_cast<std::size_t>(shape.elements()));
    for (float& value : images_) value = static_cast<float>(random.normal());
    for (std::uint32_t n = 0; n < batch; ++n) {
      labels_.push_back(static_cast<std::int32_t>(random.below(classes)));
      keys_.push_back(random.next());
    }
  }

  /// Gives the loss.
  double step(graph::Observer* observer = nullptr) {
    const void* const inputs[] = {images_.data()};
    const auto result = network_->train_step({batch_, inputs, labels_.data(), keys_, ++step_}, observer);
    const config::OptimizerSection sgd{.learning_rate = 0.01, .momentum = 0.9};
    const std::span<const float> gradients[] = {network_->gradients()};
    optim::update(sgd, 0.01, step_, {}, {network_->values(), next_, {velocity_.data()}},
                  {gradients, 1.0f / static_cast<float>(batch_), std::nullopt});
    network_->swap_values(next_);
    return result.loss_sum / batch_;
  }

  /// A table of the operators of `steps` steps, after two that warm up.
  std::string profile(int steps) {
    graph::Profiler profiler(network_->program(true), network_->model().graph.origins);
    for (int i = 0; i < 2; ++i) step();
    for (int i = 0; i < steps; ++i) {
      const auto from = std::chrono::steady_clock::now();
      step(&profiler);
      took_ += std::chrono::steady_clock::now() - from;
    }
    const auto& program = network_->program(true);
    return profiler.table(60) + format("step {:.3f} ms, arena {} KiB, at least {} KiB\n",
                                       took_.count() / steps, program.arena_bytes() / 1024,
                                       program.live_bytes() / 1024);
  }

 private:
  using Shape = tensor::Shape;
  std::uint32_t batch_;
  std::unique_ptr<graph::Network> network_;
  std::vector<float> images_, velocity_, next_;
  std::vector<std::int32_t> labels_;
  std::vector<std::uint64_t> keys_;
  std::uint64_t step_ = 0;
  std::chrono::duration<double, std::milli> took_{};
};

int run(const std::string& name, std::uint32_t batch, int profiled) {
  auto bench = bench_model(name, batch);
  if (!bench) {
    std::fprintf(stderr, "engine_step: %s\n", bench.error().message.c_str());
    return 2;
  }
  Trainer trainer(std::move(bench->model), batch, bench->classes);
  if (profiled > 0) return std::fputs(trainer.profile(profiled).c_str(), stdout), 0;
  int steps = 0;
  while (std::cin >> steps) {
    double loss = 0;
    const auto begin = Clock::now();
    for (int i = 0; i < steps; ++i) loss = trainer.step();
    const std::chrono::duration<double, std::milli> took = Clock::now() - begin;
    std::printf("%.6f %.6f\n", took.count() / steps, loss);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace trainyard::bench

int main(int argc, char** argv) {
  const bool profile = argc == 5 && std::string_view(argv[3]) == "profile";
  if (argc != 3 && !profile)
    return std::fprintf(stderr, "usage: engine_step NETWORK BATCH [profile STEPS]\n"), 2;
  return trainyard::bench::run(argv[1], static_cast<std::uint32_t>(std::atoi(argv[2])),
                               profile ? std::atoi(argv[4]) : 0);
}
