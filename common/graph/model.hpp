// A model: the graph of a network before it is decided whether it trains or predicts, and the tensors that it
// owns. batch_norm and dropout stand in it as the model names them. Made by a Builder from layers, a preset
// or an ONNX file; a plain value.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_set>
#include <vector>

#include "common/base/result.hpp"
#include "common/graph/graph.hpp"

namespace trainyard::graph {

inline constexpr std::size_t kNodesMax = 100'000;
inline constexpr std::uint64_t kTensorBytesMax =
    4ull << 30;  // of an activation at the full batch, or of a parameter
inline constexpr std::uint64_t kParameterBytesMax = 16ull << 30;  // of all parameters together

enum class TensorKind : std::uint8_t {
  weight,
  bias,
  buffer
};  // as protocol::SliceKind; bias: no weight decay

/// How a tensor begins. Deviations are of a normal distribution unless said otherwise.
enum class Init : std::uint8_t {
  zero,
  one,
  he,           // sqrt(2 / fan-in) (He and others, 2015, equation 10)
  he_fan_out,   // sqrt(2 / fan-out), the same paper, equation 14
  lecun,        // sqrt(1 / fan-in)
  glorot,       // uniform within sqrt(6 / (fan-in + fan-out)) (Glorot, Bengio, 2010, equation 16)
  orthogonal,   // rows or columns of a random rotation (Saxe and others, 2014)
  forget_bias,  // an lstm's: 1 for the forget gate's input half, else 0 (Jozefowicz and others, 2015)
  normal_02,    // 0.02
  quarter,      // 0.25: the slopes of a prelu (He and others, 2015, section 2.1)
  given,        // values come with the model
};

struct TensorInfo {
  std::string name;                 // "conv1.weight", "bn2.running_mean"
  std::vector<std::int64_t> shape;  // conv [out, in, k, k], dense [out, in]: PyTorch's order
  std::uint64_t offset = 0;         // first float in the flat arrays
  std::uint64_t length = 0;
  TensorKind kind = TensorKind::weight;
  Init init = Init::zero;
};

struct Model {
  Graph graph;                      // results: the logits, or whatever the model gives
  std::vector<TensorInfo> tensors;  // in the order in which they were made
  std::uint64_t length = 0;         // floats of all tensors, which lie without gaps
  std::vector<float> given;         // the values of tensors with Init::given, at their offsets; else empty
  std::map<std::string, ValueId> names;   // of values, as the model's source calls them
  std::vector<std::string> result_names;  // of Graph::results; empty where they have none
};

/// Adds operations to a model, one after the other, and refuses what does not fit. After an error the model
/// is of no use.
class Builder {
 public:
  /// `batch_max` bounds the size of activations.
  explicit Builder(std::uint32_t batch_max) : batch_max_(batch_max) {}
  /// Goes on with a model.
  Builder(std::uint32_t batch_max, Model model);

  /// What the next operations come from.
  void origin(std::string name, std::string place, std::string kind = {});

  ValueId input(std::string name, Signature of) {
    return model_.graph.external(std::move(name), std::move(of));
  }
  /// A tensor that the model owns; errors when it is too large. A name that is taken is an error too.
  Result<ValueId> parameter(std::string name, std::vector<std::int64_t> shape, TensorKind kind, Init init);
  ValueId constant(Constant value) { return model_.graph.constant(std::move(value)); }
  ValueId scalar(float value) { return model_.graph.scalar(value); }

  /// The first result, or all, of an operation; errors are those of ops::infer and results that are too
  /// large.
  Result<ValueId> add(Kind kind, Attributes attributes, std::vector<ValueId> inputs);
  Result<std::vector<ValueId>> add_all(Kind kind, Attributes attributes, std::vector<ValueId> inputs);

  const Signature& signature(ValueId id) const { return model_.graph.signature(id); }
  const Shape& shape(ValueId id) const { return model_.graph.shape(id); }
  const Model& model() const { return model_; }
  Model finish(std::vector<ValueId> results) &&;

 private:
  Model model_;
  std::uint32_t batch_max_;
  std::unordered_set<std::string> names_;  // of tensors
};

/// The graph that a prediction runs: running statistics, no dropout.
Graph inference_graph(const Model& model);
/// The forward half of a training: statistics of the batch, dropout drawn from (seed, step, key). Adds the
/// externals "keys" and "step" when something is drawn.
Graph training_graph(const Model& model, std::uint64_t seed);

/// Writes the initial values, drawn from the seed; tensors with Init::given are copied.
void draw_initial(const Model& model, std::uint64_t seed, std::vector<float>& values);

}  // namespace trainyard::graph
