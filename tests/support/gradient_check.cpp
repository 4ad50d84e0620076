#include "tests/support/gradient_check.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "common/base/random.hpp"
#include "common/graph/program.hpp"

namespace trainyard::graph::test {
namespace {

/// What a graph reads and writes, in double.
class Bench {
 public:
  Bench(const Graph& graph, const GradientCase& at, std::vector<double>& parameters,
        std::map<std::string, std::vector<std::byte>>& externals)
      : parameters_(parameters), gradients_(parameters.size(), NAN) {
    auto program = Program::bind(graph, at.batch, *backend_);
    if (!program) FAIL(program.error().message);
    program_ = std::move(*program);
    arena_ = tensor::Buffer(program_->arena_bytes());
    for (const External& external : graph.externals) externals_.push_back(externals.at(external.name).data());
    for (const ValueId id : graph.results) counts_.push_back(graph.shape(id).with_batch(at.batch).elements());
  }
  void run() { program_->run(memory()); }
  const std::vector<double>& gradients() const { return gradients_; }
  std::span<const double> result(std::size_t index) {
    return {static_cast<const double*>(program_->result(memory(), index)),
            static_cast<std::size_t>(counts_[index])};
  }

 private:
  Memory memory() { return {arena_.data(), parameters_.data(), gradients_.data(), externals_}; }
  std::unique_ptr<ops::Backend> backend_ = ops::reference_backend<double>();
  std::unique_ptr<Program> program_;
  tensor::Buffer arena_;
  std::vector<double>& parameters_;
  std::vector<double> gradients_;
  std::vector<void*> externals_;
  std::vector<std::int64_t> counts_;
};

template <typename T>
std::vector<std::byte> bytes_of(const std::vector<double>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T) + tensor::kAlignment);
  auto* const to = reinterpret_cast<T*>(bytes.data());
  for (std::size_t i = 0; i < values.size(); ++i) to[i] = static_cast<T>(values[i]);
  return bytes;
}

std::vector<std::byte> bytes_of(DType type, const std::vector<double>& values) {
  switch (type) {
    case DType::i32:
      return bytes_of<std::int32_t>(values);
    case DType::i64:
      return bytes_of<std::int64_t>(values);
    case DType::u8:
      return bytes_of<std::uint8_t>(values);
    default:
      return bytes_of<double>(values);
  }
}

class Check {
 public:
  explicit Check(const GradientCase& at) : at_(at), random_(at.seed) {
    Builder builder(at.batch);
    auto results = at.build(builder);
    model_ = std::move(builder).finish(std::move(results));
    forward_ = training_graph(model_, at.seed);
    if (at.change) at.change(forward_);
    backward_ = forward_;
    const Status done = differentiate_from_seeds(backward_);
    if (!done) FAIL(done.error().message);
  }

  Graph run() {
    draw();
    Bench bench(backward_, at_, parameters_, externals_);
    bench.run();
    Bench values(forward_, at_, parameters_, externals_);
    for (const TensorInfo& tensor : model_.tensors) {
      const bool has = has_gradient(tensor);
      for (std::uint64_t i = tensor.offset; i < tensor.offset + tensor.length; ++i) {
        INFO(tensor.name << "[" << i - tensor.offset << "]");
        const double made = bench.gradients()[i];
        const double measured = difference(values, i);
        if (!has) {
          CHECK(std::isnan(made));  // as it was
          if (trainable(tensor)) CHECK(measured == 0);
          continue;
        }
        INFO("gradient " << made << ", measured " << measured);
        CHECK(std::abs(made - measured) <= at_.tolerance * std::max(1.0, std::abs(measured)));
      }
    }
    return backward_;
  }

 private:
  /// Does the backward pass write one?
  bool has_gradient(const TensorInfo& tensor) const {
    for (const Value& value : backward_.values)
      if (value.place == Place::gradient && value.offset == tensor.offset && tensor.length > 0) return true;
    return false;
  }

  bool trainable(const TensorInfo& tensor) const {
    for (const Value& value : backward_.values)
      if (value.place == Place::parameter && value.offset == tensor.offset && value.trainable) return true;
    return false;
  }

  std::vector<double> drawn(const std::string& name, std::int64_t count, DType type) {
    std::vector<double> values;
    if (const auto found = at_.values.find(name); found != at_.values.end()) {
      REQUIRE(found->second.size() == static_cast<std::size_t>(count));
      return found->second;
    }
    if (name == "keys") {
      for (std::int64_t i = 0; i < count; ++i) values.push_back(static_cast<double>(random_.below(1 << 30)));
      return values;
    }
    for (std::int64_t i = 0; i < count; ++i) values.push_back(random_.uniform(at_.low, at_.high));
    INFO("whole numbers of '" << name << "' have to be named");
    REQUIRE(tensor::is_real(type));
    return values;
  }

  void draw() {
    parameters_.assign(model_.length, 0);
    for (const TensorInfo& tensor : model_.tensors) {
      const auto values = drawn(tensor.name, static_cast<std::int64_t>(tensor.length), DType::f32);
      std::copy(values.begin(), values.end(),
                parameters_.begin() + static_cast<std::ptrdiff_t>(tensor.offset));
    }
    for (const External& external : backward_.externals) {
      const std::int64_t count = external.bytes > 0
                                     ? static_cast<std::int64_t>(external.bytes / sizeof(std::uint64_t))
                                     : external.of.shape.with_batch(at_.batch).elements();
      if (external.name.starts_with("seed ")) {
        std::vector<double>& seed = seeds_.emplace_back();
        for (std::int64_t i = 0; i < count; ++i) seed.push_back(random_.uniform(-1, 1));
        externals_[external.name] = bytes_of<double>(seed);
      } else if (external.name == "step") {
        externals_[external.name] = bytes_of<std::uint64_t>({1});
      } else {
        externals_[external.name] = bytes_of(external.of.type, drawn(external.name, count, external.of.type));
      }
    }
  }

  double loss(Bench& bench) const {
    bench.run();
    double sum = 0;
    for (std::size_t k = 0; k < seeds_.size(); ++k) {
      const auto values = bench.result(k);
      for (std::size_t i = 0; i < seeds_[k].size(); ++i) sum += seeds_[k][i] * values[i];
    }
    return sum;
  }

  /// Central difference; its error falls with the square of the step.
  double difference(Bench& bench, std::uint64_t index) {
    const double at = parameters_[index];
    parameters_[index] = at + at_.step;
    const double above = loss(bench);
    parameters_[index] = at - at_.step;
    const double below = loss(bench);
    parameters_[index] = at;
    return (above - below) / (2 * at_.step);
  }

  const GradientCase& at_;
  Random random_;
  Model model_;
  Graph forward_, backward_;
  std::vector<double> parameters_;
  std::map<std::string, std::vector<std::byte>> externals_;
  std::vector<std::vector<double>> seeds_;
};

}  // namespace

Graph check_gradients(const GradientCase& at) { return Check(at).run(); }

ValueId weight(Builder& builder, const std::string& name, std::vector<std::int64_t> shape) {
  const auto id = builder.parameter(name, std::move(shape), TensorKind::weight, Init::normal_02);
  if (!id) FAIL(id.error().message);
  return *id;
}

ValueId apply(Builder& builder, Kind kind, const Attributes& attributes, std::vector<ValueId> inputs) {
  const auto id = builder.add(kind, attributes, std::move(inputs));
  if (!id) FAIL(id.error().message);
  return *id;
}

}  // namespace trainyard::graph::test
