#include "common/graph/loss.hpp"

#include <cstring>

#include "common/base/text.hpp"
#include "common/ops/backend.hpp"

namespace trainyard::graph {

namespace {

/// Gathers the operands of a loss over the results of a graph.
class Operands {
 public:
  Operands(Graph& graph, const LossSpec& loss) : graph_(graph), loss_(loss) {}

  Result<std::vector<ValueId>> gather() {
    take(1);
    const Status gathered = of_kind();
    if (!gathered) return gathered.error();
    return inputs_;
  }
  /// How many results there are gradients of.
  std::size_t differentiated() const { return differentiated_; }

 private:
  const Shape& shape() const { return graph_.shape(graph_.results[0]); }

  Status of_kind() {
    switch (loss_.kind) {
      case Kind::softmax_cross_entropy:
        return classes();
      case Kind::hinge:
        if (shape().rank() != 2) return refuse("a score for each class");
        labels({Shape{shape()[0]}, DType::i32});
        return {};
      case Kind::sigmoid_cross_entropy:
      case Kind::squared_error:
      case Kind::absolute_error:
      case Kind::huber:
        labels({shape(), DType::f32});
        return {};
      case Kind::triplet:
        if (graph_.results.size() != 3) return refuse("three results: anchor, positive, negative");
        for (const std::size_t i : {1, 2})
          if (graph_.shape(graph_.results[i]) != shape()) return refuse("three results of one shape");
        take(3);
        return {};
      case Kind::crf_loss:
        return field();
      default:
        return Error{Errc::invalid, format("{} is no loss", ops::name_of(loss_.kind))};
    }
  }

  Status classes() {
    if (shape().rank() < 2) return refuse("a score for each class");
    const std::int64_t count = shape()[1];
    std::vector<std::int64_t> dims = shape().dims();
    dims.erase(dims.begin() + 1);
    // An image of one pixel is a flat row.
    while (dims.size() > 1 && dims.back() == 1) dims.pop_back();
    labels({Shape(std::move(dims)), DType::i32});
    if (loss_.class_weights.empty()) return {};
    if (static_cast<std::int64_t>(loss_.class_weights.size()) != count)
      return refuse(format("{} classes for its weights", loss_.class_weights.size()));
    Constant weights{Signature(Shape{count}),
                     std::vector<std::byte>(loss_.class_weights.size() * sizeof(float))};
    std::memcpy(weights.bytes.data(), loss_.class_weights.data(), weights.bytes.size());
    inputs_.push_back(graph_.constant(std::move(weights)));
    return {};
  }

  Status field() {
    const auto& results = graph_.results;
    if (results.size() < 2 || results.size() > 3 || shape().rank() != 3)
      return refuse("emissions [N, T, K], transitions and perhaps lengths");
    const Shape x = shape(), square{x[2] + 2, x[2] + 2};
    if (graph_.shape(results[1]) != square)
      return refuse(format("transitions {} and not {}", square.text(), graph_.shape(results[1]).text()));
    const bool lengths = results.size() > 2;
    if (lengths && graph_.signature(results[2]) != Signature(Shape{x[0]}, DType::i32))
      return refuse("the lengths of the sequences as int32 [N]");
    take(2);
    labels({Shape{x[0], x[1]}, DType::i32});
    if (lengths) inputs_.push_back(results[2]);
    return {};
  }

  /// The first `count` results are operands with gradients.
  void take(std::size_t count) {
    for (; differentiated_ < count; ++differentiated_) inputs_.push_back(graph_.results[differentiated_]);
  }
  void labels(Signature of) { inputs_.push_back(graph_.external("labels", std::move(of))); }
  Error refuse(const std::string& needs) const {
    return {Errc::invalid,
            format("{} needs {}, and the network gives {}", ops::name_of(loss_.kind), needs, shape().text())};
  }

  Graph& graph_;
  const LossSpec& loss_;
  std::vector<ValueId> inputs_;
  std::size_t differentiated_ = 0;
};

std::uint32_t last_origin(const Graph& graph) { return graph.nodes.empty() ? 0 : graph.nodes.back().origin; }

}  // namespace

Result<std::vector<Seed>> add_loss(Graph& graph, const LossSpec& loss) {
  Operands operands(graph, loss);
  auto inputs = operands.gather();
  if (!inputs) return inputs.error();
  const ValueId outcome = graph.external("outcome", Signature::opaque_bytes(), sizeof(ops::Outcome));
  std::vector<Signature> outputs;
  for (std::size_t i = 0; i < operands.differentiated(); ++i)
    outputs.push_back(graph.signature(graph.results[i]));
  const auto made = graph.add(loss.kind, loss.attributes, std::move(*inputs), outputs, last_origin(graph));
  graph.nodes.back().outputs.push_back(outcome);
  std::vector<Seed> seeds;
  for (std::size_t i = 0; i < made.size(); ++i) seeds.push_back({graph.results[i], made[i]});
  return seeds;
}

Status add_prediction(Graph& graph, const LossSpec& loss) {
  const ValueId x = graph.results[0];
  Attributes attributes;
  attributes.axis = 1;
  attributes.function = ops::Function::sigmoid;
  const auto add = [&](Kind kind, std::vector<ValueId> inputs, const Signature& output) {
    return graph.add(kind, attributes, std::move(inputs), {output}, last_origin(graph))[0];
  };
  if (loss.kind == Kind::softmax_cross_entropy) {
    graph.results[0] = add(Kind::softmax, {x}, graph.signature(x));
  } else if (loss.kind == Kind::sigmoid_cross_entropy) {
    graph.results[0] = add(Kind::unary, {x}, graph.signature(x));
  } else if (loss.kind == Kind::crf_loss) {
    const Shape shape = graph.shape(x);
    if (shape.rank() != 3 || graph.results.size() < 2)
      return Error{Errc::invalid, "a random field needs emissions [N, T, K] and transitions"};
    graph.results = {add(Kind::viterbi, graph.results, Signature(Shape{shape[0], shape[1]}, DType::i32))};
  }
  return {};
}

}  // namespace trainyard::graph
