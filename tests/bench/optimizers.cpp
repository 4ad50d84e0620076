// What the update rules move through memory, beside a plain copy and a triad (a = b + x c) in the same
// rounds: optimizers [FLOATS] [ROUNDS]. Each rule runs on arrays of FLOATS values, on one thread and on two
// (each its half, as two shards have it). Bytes are those that a rule has to read and to write; what a store
// fetches first is not counted, neither for a rule nor for copy and triad. A run that somebody else disturbs
// is tried again. Prints medians, and the median of each round's share of the better of copy and triad.
#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "common/optim/kernels.hpp"
#include "common/optim/table.hpp"

using namespace trainyard;

namespace {

using config::OptimizerKind;
using config::OptimizerSection;

struct Arrays {
  std::vector<float> gradient, other, value, next, seen, mean_square;
  std::vector<float> state[optim::rule_arrays_max];
};

struct Part {
  std::size_t begin = 0, length = 0;
};

struct Work {
  std::string name;
  double bytes = 0;  // a float
  std::function<void(const Part&)> run;
  std::vector<double> gigabytes, shares;  // by round
};

/// Processor time of this process.
double own_seconds() {
  timespec own{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
  return static_cast<double>(own.tv_sec) + static_cast<double>(own.tv_nsec) * 1e-9;
}

/// Busy time of all processors, whoever used them, in steps of a hundredth of a second.
double busy_seconds() {
  std::FILE* const file = std::fopen("/proc/stat", "r");
  unsigned long long user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, steal = 0;
  if (file != nullptr) {
    if (std::fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &wait,
                    &irq, &soft, &steal) != 8) {
      user = 0;
    }
    std::fclose(file);
  }
  return static_cast<double>(user + nice + system + irq + soft + steal) / 100;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

struct Run {
  double seconds = 0;   // of one pass, the median
  bool waited = false;  // somebody else had our processors for more than a tenth of the time
  double own = 0, took = 0;
};

/// Passes over all parts until `least` seconds are over, each thread with its own part.
Run run_once(const Work& work, std::size_t floats, std::size_t threads) {
  constexpr double least = 0.25, granted_min = 0.9;
  std::barrier gate(static_cast<std::ptrdiff_t>(threads + 1));
  std::atomic<bool> over{false};
  std::vector<std::thread> team;
  for (std::size_t i = 0; i < threads; ++i) {
    team.emplace_back([&, i] {
      const std::size_t begin = floats * i / threads;
      const Part part{begin, floats * (i + 1) / threads - begin};
      for (gate.arrive_and_wait(); !over; gate.arrive_and_wait()) {
        work.run(part);
        gate.arrive_and_wait();
      }
    });
  }
  std::vector<double> passes;
  Run run;
  const double own = own_seconds();
  while (run.took < least) {
    const auto began = std::chrono::steady_clock::now();
    gate.arrive_and_wait();
    gate.arrive_and_wait();
    const std::chrono::duration<double> pass = std::chrono::steady_clock::now() - began;
    passes.push_back(pass.count());
    run.took += pass.count();
  }
  run.own = own_seconds() - own;
  over = true;
  gate.arrive_and_wait();
  for (std::thread& thread : team) thread.join();
  run.seconds = median(passes);
  run.waited = run.own < granted_min * run.took * static_cast<double>(threads);
  return run;
}

enum class Correction { none, constant, adaptive };  // of delay

Work rule_work(Arrays& arrays, std::string name, OptimizerKind kind, double bytes, std::size_t contributions,
               const std::function<void(OptimizerSection&)>& change = {},
               Correction correction = Correction::none) {
  OptimizerSection rule = config::optimizer_defaults(kind);
  if (change) change(rule);
  return {std::move(name),
          bytes,
          [&arrays, rule, contributions, correction](const Part& part) {
            const std::vector<std::span<const float>> all{
                std::span(arrays.gradient).subspan(part.begin, part.length),
                std::span(arrays.other).subspan(part.begin, part.length)};
            const bool whole = optim::needs_whole_tensors(rule.kind);
            // As a table does it: slice by slice.
            const std::size_t slice = whole ? part.length : optim::slice_floats_usual;
            for (std::size_t at = 0; at < part.length; at += slice) {
              const std::size_t length = std::min(slice, part.length - at);
              std::vector<std::span<const float>> parts;
              for (std::size_t i = 0; i < contributions; ++i) parts.push_back(all[i].subspan(at, length));
              const std::size_t begin = part.begin + at;
              optim::Target target{.value = std::span(arrays.value).subspan(begin, length),
                                   .next = std::span(arrays.next).subspan(begin, length)};
              for (const auto& array : optim::rule_arrays(rule))
                target.arrays[array.place] = arrays.state[array.place].data() + begin;
              optim::Gradient gradient{parts, 0.5f, std::nullopt, std::nullopt};
              if (correction != Correction::none) {
                const bool adaptive = correction == Correction::adaptive;
                gradient.delay =
                    optim::Delay{.seen = std::span(arrays.seen).subspan(begin, length),
                                 .mean_square = adaptive ? arrays.mean_square.data() + begin : nullptr,
                                 .strength = 0.04f,
                                 .keep = 0.95f};
              }
              optim::update(rule, 1e-3, 10, {.decay = 1e-4}, target, gradient);
            }
          },
          {},
          {}};
}

std::vector<Work> works(Arrays& arrays) {
  std::vector<Work> out;
  out.push_back({"copy",
                 8,
                 [&arrays](const Part& part) {
                   std::memcpy(arrays.next.data() + part.begin, arrays.value.data() + part.begin,
                               part.length * sizeof(float));
                 },
                 {},
                 {}});
  out.push_back({"triad",
                 12,
                 [&arrays](const Part& part) {
                   const float* const b = arrays.value.data() + part.begin;
                   const float* const c = arrays.gradient.data() + part.begin;
                   float* const a = arrays.next.data() + part.begin;
                   for (std::size_t i = 0; i < part.length; ++i) a[i] = b[i] + 0.5f * c[i];
                 },
                 {},
                 {}});
  const auto moving = [](OptimizerSection& rule) { rule.momentum = 0.9; };
  // gradient and value are read, the next value is written, each array of the rule is read and written; lars
  // reads gradient and value once more for the norms, lamb value and direction, which it writes twice.
  out.push_back(rule_work(arrays, "sgd", OptimizerKind::sgd, 12, 1));
  // The correction of delay reads what the trainer saw; the adaptive one reads and writes the mean square.
  out.push_back(
      rule_work(arrays, "sgd, dc_asgd constant", OptimizerKind::sgd, 16, 1, {}, Correction::constant));
  out.push_back(
      rule_work(arrays, "sgd, dc_asgd adaptive", OptimizerKind::sgd, 24, 1, {}, Correction::adaptive));
  out.push_back(rule_work(arrays, "sgd, momentum", OptimizerKind::sgd, 20, 1, moving));
  out.push_back(rule_work(arrays, "sgd, momentum, dc_asgd adaptive", OptimizerKind::sgd, 32, 1, moving,
                          Correction::adaptive));
  out.push_back(rule_work(arrays, "sgd, momentum, 2 gradients", OptimizerKind::sgd, 24, 2, moving));
  out.push_back(rule_work(arrays, "adam", OptimizerKind::adam, 28, 1));
  out.push_back(rule_work(arrays, "adam, 2 gradients", OptimizerKind::adam, 32, 2));
  out.push_back(rule_work(arrays, "adamw", OptimizerKind::adamw, 28, 1));
  out.push_back(rule_work(arrays, "adagrad", OptimizerKind::adagrad, 20, 1));
  out.push_back(rule_work(arrays, "rmsprop", OptimizerKind::rmsprop, 20, 1));
  out.push_back(rule_work(arrays, "rmsprop, centered, momentum", OptimizerKind::rmsprop, 36, 1,
                          [](OptimizerSection& rule) {
                            rule.momentum = 0.9;
                            rule.centered = true;
                          }));
  out.push_back(rule_work(arrays, "ftrl", OptimizerKind::ftrl, 28, 1));
  out.push_back(rule_work(arrays, "lars", OptimizerKind::lars, 28, 1));
  out.push_back(rule_work(arrays, "lamb", OptimizerKind::lamb, 40, 1));
  return out;
}

void measure(Arrays& arrays, std::size_t threads, int rounds) {
  auto all = works(arrays);
  const std::size_t floats = arrays.value.size();
  int waited = 0;
  double own = 0, busy = 0, took = 0;
  for (int round = -1; round < rounds; ++round) {  // the first one touches everything and is not kept
    std::vector<double> speeds;
    for (const Work& work : all) {
      const double before = busy_seconds();
      const Run run = run_once(work, floats, threads);
      speeds.push_back(work.bytes * static_cast<double>(floats) / run.seconds / 1e9);
      if (round < 0) continue;
      waited += run.waited ? 1 : 0;
      own += run.own;
      took += run.took;
      busy += busy_seconds() - before;
    }
    if (round < 0) continue;
    const double memory = std::max(speeds[0], speeds[1]);
    for (std::size_t i = 0; i < all.size(); ++i) {
      all[i].gigabytes.push_back(speeds[i]);
      all[i].shares.push_back(speeds[i] / memory);
    }
  }
  std::printf("%zu thread%s, %zu floats, median of %d rounds\n", threads, threads == 1 ? "" : "s", floats,
              rounds);
  std::printf("others used %.1f processors meanwhile; %d of %zu runs waited for one\n",
              std::max(0.0, busy - own) / took, waited, all.size() * static_cast<std::size_t>(rounds));
  std::printf("%-32s %8s %8s %8s\n", "", "GB/s", "share", "ns/float");
  for (const Work& work : all)
    std::printf("%-32s %8.2f %8.2f %8.3f\n", work.name.c_str(), median(work.gigabytes), median(work.shares),
                work.bytes / median(work.gigabytes));
}

/// What the instruction sets are worth where memory is no bound: one block, over and over.
void measure_sets(int rounds) {
  using optim::kernels::Block;
  using optim::kernels::Kernels;
  std::vector<std::vector<float>> data(7, std::vector<float>(optim::kernels::block_floats, 0.1f));
  const Block block{data[0].data(),
                    nullptr,
                    data[1].data(),
                    data[2].data(),
                    {data[3].data(), data[4].data(), nullptr},
                    optim::kernels::block_floats};
  Block delayed = block;
  delayed.lag = {data[5].data(), data[6].data(), 0.04f, 0.95f};
  const Block& late = delayed;
  const optim::kernels::Numbers numbers{
      .rate = 1e-3f, .keep = {0.9f, 0.999f}, .add = {0.1f, 0.001f}, .epsilon = 1e-8f};
  constexpr int repeats = 2000;
  std::vector<std::pair<std::string, std::vector<double>>> speeds;
  for (int round = 0; round < rounds; ++round) {
    std::size_t at = 0;
    for (std::size_t index = 0; index < optim::kernels::sets; ++index) {
      const Kernels* const set = optim::kernels::at(index);
      if (set == nullptr) continue;
      for (const auto& [name, rule, of] :
           {std::tuple{"sgd", set->sgd, &block}, std::tuple{"sgd, dc_asgd adaptive", set->sgd, &late},
            std::tuple{"momentum", set->momentum, &block}, std::tuple{"adam", set->adam, &block}}) {
        const auto began = std::chrono::steady_clock::now();
        for (int i = 0; i < repeats; ++i) rule(*of, numbers);
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
        if (round == 0) speeds.push_back({std::string(name) + ", " + set->name, {}});
        speeds[at++].second.push_back(repeats * static_cast<double>(block.length) / took.count() / 1e9);
      }
    }
  }
  std::printf("a block of %zu floats in the first-level cache, 1 thread\n%-32s %8s\n", block.length, "",
              "G/s");
  for (const auto& [name, values] : speeds) std::printf("%-32s %8.2f\n", name.c_str(), median(values));
}

}  // namespace

int main(int argc, char** argv) {
  const auto floats =
      argc > 1 ? static_cast<std::size_t>(std::strtoull(argv[1], nullptr, 10)) : std::size_t{1} << 24;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 9;
  Arrays arrays;
  for (auto* const array : {&arrays.gradient, &arrays.other, &arrays.value, &arrays.next})
    array->assign(floats, 0.1f);
  arrays.seen.assign(floats, 0.2f);
  arrays.mean_square.assign(floats, 0.01f);
  for (auto& state : arrays.state) state.assign(floats, 0.01f);
  for (const std::size_t threads : {1, 2}) measure(arrays, threads, rounds);
  measure_sets(rounds);
}
