// A Program reuses the memory of values that nobody needs any more, writes results over operands and views
// values in other shapes. Whatever the graph, it gives the bits that each node gives in memory of its own.
#include <catch2/catch.hpp>

#include "common/graph/autodiff.hpp"
#include "common/graph/fuse.hpp"
#include "common/graph/program.hpp"
#include "tests/support/random_graph.hpp"

namespace trainyard::graph::test {
namespace {

constexpr std::uint32_t kBatchSize = 3;

/// A graph with its gradients; every third is a forward pass alone, every second is fused.
struct Drawn {
  explicit Drawn(std::uint64_t seed) : random(seed) {
    const Model model = random_model(random, 4 + random.below(30));
    parameters = model.length;
    graph = seed % 3 == 0 ? inference_graph(model) : training_graph(model, seed);
    if (seed % 2 == 0) fuse(graph, seed % 3 != 0);
    if (seed % 3 != 0) {
      const Status done = differentiate_from_seeds(graph);
      if (!done) FAIL(done.error().message);
    }
    given = random_values(random, graph, parameters, kBatchSize);
  }
  bool shares_well(const ops::Backend& backend) {
    const Left alone = run_node_by_node(graph, kBatchSize, backend, given);
    return same_bits(alone, run_program(graph, kBatchSize, backend, given, 0xff)) &&
           same_bits(alone, run_program(graph, kBatchSize, backend, given, 0x3c));
  }
  Random random;
  std::uint64_t parameters = 0;
  Graph graph;
  Given given;
};

TEST_CASE("a program gives the bits of its nodes run one by one in fresh memory", "[sharing]") {
  const auto cpu = ops::cpu_backend();
  const auto reference = ops::reference_backend<float>();
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    INFO("seed " << seed);
    Drawn drawn(seed);
    CHECK(drawn.shares_well(*cpu));
    if (seed % 5 == 0) CHECK(drawn.shares_well(*reference));
  }
}

TEST_CASE("the graphs that are drawn reuse memory: arenas are smaller than all values together",
          "[sharing]") {
  const auto cpu = ops::cpu_backend();
  std::size_t arenas = 0, values = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const Drawn drawn(seed);
    const auto program = Program::bind(drawn.graph, kBatchSize, *cpu);
    REQUIRE(program);
    arenas += (*program)->arena_bytes();
    for (const Program::Step& step : (*program)->steps())
      for (const std::size_t bytes : step.output_bytes) values += bytes;
  }
  CHECK(arenas < values * 4 / 5);
}

/// A kernel that says of itself what is not so.
class Liar final : public ops::Kernel {
 public:
  Liar(std::unique_ptr<Kernel> honest, int in_place, bool view) : honest_(std::move(honest)) {
    outputs_ = honest_->outputs();
    scratch_bytes_ = honest_->scratch_bytes();
    in_place_ = in_place;
    view_ = view;
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    honest_->run(inputs, outputs, scratch);
  }

 private:
  std::unique_ptr<Kernel> honest_;
};

class LyingBackend final : public ops::Backend {
 public:
  LyingBackend(Kind kind, int in_place, bool view) : kind_(kind), in_place_(in_place), view_(view) {}
  ops::LayoutPtr plain(const Shape& shape, DType type) const override { return honest_->plain(shape, type); }
  ops::LayoutPtr raw(std::size_t bytes) const override { return honest_->raw(bytes); }
  Result<std::unique_ptr<ops::Kernel>> prepare(const ops::Operation& operation) const override {
    auto kernel = honest_->prepare(operation);
    if (!kernel || operation.kind != kind_) return kernel;
    return std::unique_ptr<ops::Kernel>(std::make_unique<Liar>(std::move(*kernel), in_place_, view_));
  }

 private:
  std::unique_ptr<ops::Backend> honest_ = ops::cpu_backend();
  const Kind kind_;
  const int in_place_;
  const bool view_;
};

bool caught(const LyingBackend& backend) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed)
    if (!Drawn(seed).shares_well(backend)) return true;
  return false;
}

TEST_CASE("a kernel that wrongly says that it may write over its operand is caught", "[sharing]") {
  CHECK(caught(LyingBackend(Kind::transpose, 0, false)));
  CHECK(caught(LyingBackend(Kind::gather, 0, false)));
}

TEST_CASE("a kernel that wrongly says that its result is its operand as it lies is caught", "[sharing]") {
  CHECK(caught(LyingBackend(Kind::transpose, -1, true)));
}

}  // namespace
}  // namespace trainyard::graph::test
