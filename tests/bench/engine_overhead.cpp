// What the engine adds to its kernels: a chain of additions of 16 numbers, run as a program and as the bare
// kernels one after the other, in turn. Prints nanoseconds an operation, medians of the rounds.
//   engine_overhead [OPERATIONS] [ROUNDS]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "common/graph/model.hpp"
#include "common/graph/program.hpp"

namespace trainyard::bench {
namespace {

constexpr std::int64_t kNumbers = 16;
constexpr int kRepeats = 200;

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double nanoseconds(std::size_t operations, const std::function<void()>& run) {
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < kRepeats; ++i) run();
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - began;
  return took.count() / kRepeats / static_cast<double>(operations);
}

Result<graph::Model> chain(std::size_t operations) {
  graph::Builder builder(1);
  const graph::Signature of(ops::Shape{kNumbers});
  const graph::ValueId a = builder.input("a", of);
  graph::ValueId sum = a;
  for (std::size_t i = 0; i < operations; ++i) {
    const auto next = builder.add(graph::Kind::binary, {.arithmetic = ops::Arithmetic::add}, {sum, a});
    if (!next) return next.error();
    sum = *next;
  }
  return std::move(builder).finish({sum});
}

Status measure(std::size_t operations, int rounds) {
  auto model = chain(operations);
  if (!model) return model.error();
  const auto backend = ops::cpu_backend();
  auto program = graph::Program::bind(graph::inference_graph(*model), 1, *backend);
  if (!program) return program.error();
  std::vector<float> numbers(kNumbers, 1.0f), sums(kNumbers);
  void* const externals[] = {numbers.data()};
  tensor::Buffer arena((*program)->arena_bytes());
  const graph::Memory memory{arena.data(), nullptr, nullptr, externals};
  const graph::Program::Step& step = (*program)->steps().front();
  ops::Operation alone{.kind = step.kind, .attributes = step.attributes};
  for (const auto& in : step.inputs) alone.inputs.push_back({in.shape, backend->plain(in.shape)});
  alone.outputs = {step.outputs[0]};
  auto kernel = backend->prepare(alone);
  if (!kernel) return kernel.error();
  void* const inputs[] = {sums.data(), numbers.data()};
  void* const outputs[] = {sums.data()};
  std::vector<double> whole, bare, beyond;
  for (int round = -1; round < rounds; ++round) {
    const double one = nanoseconds(operations, [&] { (*program)->run(memory); });
    const double other = nanoseconds(operations, [&] {
      for (std::size_t i = 0; i < operations; ++i) (*kernel)->run(inputs, outputs, nullptr);
    });
    if (round < 0) continue;
    whole.push_back(one);
    bare.push_back(other);
    beyond.push_back(one - other);
  }
  std::printf("%zu additions of %ld numbers, median of %d rounds, ns an operation\n", operations,
              static_cast<long>(kNumbers), rounds);
  std::printf("program %.1f, the kernel alone %.1f, the engine's part %.1f\n", median(whole), median(bare),
              median(beyond));
  return {};
}

}  // namespace
}  // namespace trainyard::bench

int main(int argc, char** argv) {
  const std::size_t operations = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1000;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 9;
  if (operations == 0 || rounds < 1)
    return std::fprintf(stderr, "usage: engine_overhead [OPERATIONS] [ROUNDS]\n"), 2;
  const auto measured = trainyard::bench::measure(operations, rounds);
  if (!measured) return std::fprintf(stderr, "engine_overhead: %s\n", measured.error().message.c_str()), 1;
}
