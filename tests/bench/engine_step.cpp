// One side of the engine's benchmark: whole training steps (forward, loss, backward, SGD with momentum or,
// of a bag of embeddings, Adagrad) of one network on random data; engine.py asks it and its peer in turn.
//   engine_step NETWORK BATCH [fp32|bf16|fp16]
//   engine_step NETWORK BATCH [fp32|bf16|fp16] profile STEPS    prints where the time of so many steps went
#include <omp.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <string>

#include "common/base/random.hpp"
#include "common/base/text.hpp"
#include "common/graph/network.hpp"
#include "common/graph/profile.hpp"
#include "common/optim/rows.hpp"
#include "common/optim/slices.hpp"
#include "tests/bench/engine_models.hpp"
#include "tests/bench/rounds.hpp"

namespace trainyard::bench {
namespace {

class Trainer {
 public:
  Trainer(BenchModel bench, std::uint32_t batch, config::Precision precision)
      : batch_(batch), by_rows_(bench.bag > 0) {
    auto network = graph::Network::build(
        std::move(bench.model),
        {.batch_max = batch,
         .row_gradients = by_rows_ ? graph::RowGradients::rows : graph::RowGradients::dense,
         .precision = precision});
    if (!network) {
      std::fprintf(stderr, "%s\n", network.error().message.c_str());
      std::exit(1);
    }
    network_ = std::move(*network);
    state_.assign(network_->values().size(), 0.0f);
    next_ = state_;
    Random random(1);
    for (int i = 0; i < (by_rows_ ? kBatches : 1); ++i) draw(random, bench);
    for (std::uint32_t n = 0; n < batch; ++n) {
      labels_.push_back(static_cast<std::int32_t>(random.below(bench.classes)));
      keys_.push_back(random.next());
    }
  }

  /// Gives the loss.
  double step(graph::Observer* observer = nullptr) {
    const auto& inputs = inputs_[step_ % inputs_.size()];
    const auto result = network_->train_step({batch_, inputs, labels_.data(), keys_, ++step_}, observer);
    if (by_rows_)
      adagrad();
    else
      momentum();
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
  static constexpr int kBatches = 16;  // of ids: the same rows each time would stay in the caches

  void draw(Random& random, const BenchModel& bench) {
    auto& inputs = inputs_.emplace_back();
    for (const graph::External& external : network_->model().graph.externals) {
      const auto count = static_cast<std::size_t>(external.of.shape.with_batch(batch_).elements());
      if (external.of.type == tensor::DType::f32) {
        auto& values = reals_.emplace_back(count);
        for (float& value : values) value = static_cast<float>(random.normal());
        inputs.push_back(values.data());
        continue;
      }
      auto& values = wholes_.emplace_back(count);
      for (std::size_t i = 0; i < count; ++i)
        values[i] = static_cast<std::int32_t>(external.name == "offsets" ? i * bench.bag
                                                                         : random.below(bench.vocabulary));
      inputs.push_back(values.data());
    }
  }

  void momentum() {
    const config::OptimizerSection sgd{.learning_rate = 0.01, .momentum = 0.9};
    const auto all = network_->gradients();
    const auto values = network_->values();
    // Slice by slice, as optim::Table does it.
    constexpr std::size_t kSlice = optim::slice_floats_usual;
#pragma omp parallel for schedule(dynamic) if (all.size() > kSlice)
    for (std::size_t at = 0; at < all.size(); at += kSlice) {
      const std::size_t length = std::min<std::size_t>(kSlice, all.size() - at);
      const std::span<const float> gradients[] = {all.subspan(at, length)};
      optim::update(sgd, 0.01, step_, {},
                    {values.subspan(at, length), std::span(next_).subspan(at, length), {state_.data() + at}},
                    {gradients, 1.0f / static_cast<float>(batch_), std::nullopt});
    }
    network_->swap_values(next_);
  }

  /// The table by its rows, which the threads share; everything else as a whole.
  void adagrad() {
    const auto rule = config::optimizer_defaults(config::OptimizerKind::adagrad);
    const float scale = 1.0f / static_cast<float>(batch_);
    for (const graph::TensorInfo& tensor : network_->tensors()) {
      const auto values = network_->values().subspan(tensor.offset, tensor.length);
      float* const sums = state_.data() + tensor.offset;
      const tensor::RowGradient* rows = nullptr;
      for (const tensor::RowGradient& part : network_->row_gradients())
        if (part.offset == tensor.offset) rows = &part;
      if (rows == nullptr) {
        const std::span<const float> gradients[] = {
            network_->gradients().subspan(tensor.offset, tensor.length)};
        const auto next = std::span(next_).first(tensor.length);
        optim::update(rule, 0.01, step_, {}, {values, next, {sums}}, {gradients, scale, std::nullopt});
        std::copy(next.begin(), next.end(), values.begin());
        continue;
      }
#pragma omp parallel
      {
        const auto threads = static_cast<std::size_t>(omp_get_num_threads()),
                   thread = static_cast<std::size_t>(omp_get_thread_num());
        const std::size_t begin = rows->ids.size() * thread / threads,
                          count = rows->ids.size() * (thread + 1) / threads - begin;
        optim::update_rows(rule, 0.01, step_, {}, {values.data(), {sums}},
                           {tensor.offset, rows->width, rows->ids.subspan(begin, count),
                            rows->rows.subspan(begin * rows->width, count * rows->width)},
                           scale, std::nullopt);
      }
    }
  }

  const std::uint32_t batch_;
  const bool by_rows_;
  std::unique_ptr<graph::Network> network_;
  std::vector<float> state_, next_;
  std::deque<std::vector<float>> reals_;
  std::deque<std::vector<std::int32_t>> wholes_;
  std::vector<std::vector<const void*>> inputs_;
  std::vector<std::int32_t> labels_;
  std::vector<std::uint64_t> keys_;
  std::uint64_t step_ = 0;
  std::chrono::duration<double, std::milli> took_{};
};

int run(const std::string& name, std::uint32_t batch, config::Precision precision, int profiled) {
  auto bench = bench_model(name, batch);
  if (!bench) {
    std::fprintf(stderr, "engine_step: %s\n", bench.error().message.c_str());
    return 2;
  }
  Trainer trainer(std::move(*bench), batch, precision);
  if (profiled > 0) return std::fputs(trainer.profile(profiled).c_str(), stdout), 0;
  answer_rounds([&] { return trainer.step(); });
  return 0;
}

}  // namespace
}  // namespace trainyard::bench

int main(int argc, char** argv) {
  std::vector<std::string> rest(argv + std::min(argc, 3), argv + argc);
  const auto named = trainyard::config::precision_named(rest.empty() ? "" : rest[0]);
  const auto precision = named.value_or(trainyard::config::Precision::fp32);
  if (named) rest.erase(rest.begin());
  const bool profile = rest.size() == 2 && rest[0] == "profile";
  if (argc < 3 || (!rest.empty() && !profile))
    return std::fprintf(stderr, "usage: engine_step NETWORK BATCH [fp32|bf16|fp16] [profile STEPS]\n"), 2;
  return trainyard::bench::run(argv[1], static_cast<std::uint32_t>(std::atoi(argv[2])), precision,
                               profile ? std::atoi(rest[1].c_str()) : 0);
}
