// One side of the engine's benchmark: whole training steps (forward, loss, backward, SGD with momentum) of
// one network on random data. Reads the number of steps of a round from each line of its input and answers
// with the milliseconds of a step; engine.py asks it and its peer in turn.
//   engine_step NETWORK BATCH
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "common/base/random.hpp"
#include "common/graph/network.hpp"
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
  double step() {
    const auto result = network_->train_step(images_, labels_, keys_, ++step_);
    const config::OptimizerSection sgd{.learning_rate = 0.01, .momentum = 0.9};
    const std::span<const float> gradients[] = {network_->gradients()};
    optim::update(sgd, 0.01, step_, {}, {network_->values(), next_, {velocity_.data()}},
                  {gradients, 1.0f / static_cast<float>(batch_), std::nullopt});
    network_->swap_values(next_);
    return result.loss_sum / batch_;
  }

 private:
  using Shape = tensor::Shape;
  std::uint32_t batch_;
  std::unique_ptr<graph::Network> network_;
  std::vector<float> images_, velocity_, next_;
  std::vector<std::int32_t> labels_;
  std::vector<std::uint64_t> keys_;
  std::uint64_t step_ = 0;
};

int run(const std::string& name, std::uint32_t batch) {
  auto bench = bench_model(name, batch);
  if (!bench) {
    std::fprintf(stderr, "engine_step: %s\n", bench.error().message.c_str());
    return 2;
  }
  Trainer trainer(std::move(bench->model), batch, bench->classes);
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
  if (argc != 3) return std::fprintf(stderr, "usage: engine_step NETWORK BATCH\n"), 2;
  return trainyard::bench::run(argv[1], static_cast<std::uint32_t>(std::atoi(argv[2])));
}
