// A network ready to run: the graph of a model section, differentiated, planned and bound to memory. Values
// and gradients are flat arrays in one fixed order, so that exchange and checkpoints need no knowledge of the
// graph. One thread uses a Network; its OpenMP team is that thread's.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.hpp"
#include "common/config/job_spec.hpp"

namespace trainyard::graph {

struct InputShape {
  std::int64_t channels = 3, height = 0, width = 0;
  friend bool operator==(const InputShape&, const InputShape&) = default;
};

enum class TensorKind : std::uint8_t {
  weight,
  bias,
  buffer
};  // as protocol::SliceKind; bias: no weight decay

struct TensorInfo {
  std::string name;                 // "conv1.weight", "bn2.running_mean"
  std::vector<std::int64_t> shape;  // conv [out, in, k, k], dense [out, in]: PyTorch's order
  std::uint64_t offset = 0;         // first float in the flat arrays
  std::uint64_t length = 0;
  TensorKind kind = TensorKind::weight;
};

struct StepResult {
  double loss_sum = 0;        // nats, over the samples
  std::uint32_t correct = 0;  // arg max equals the label
  bool finite = true;
};

struct NetworkOptions {
  std::uint32_t batch_max = 32;
  bool training = true;    // false: no gradients are planned
  std::uint64_t seed = 7;  // of the initial values and of dropout
};

class Network {
 public:
  /// Checks the model against the input and the number of classes; errors name the layer and its place in the
  /// YAML.
  static Result<std::unique_ptr<Network>> build(const config::ModelSection& model, InputShape input,
                                                std::uint32_t classes, const NetworkOptions& options);
  virtual ~Network() = default;

  virtual std::span<const TensorInfo> tensors() const = 0;
  /// All parameters and buffers; write to replace them (between steps only).
  virtual std::span<float> values() = 0;
  /// After train_step, in the layout of values(): the gradient of the SUM of the samples' losses. For a
  /// buffer: its new value times the number of samples, so that the weighted mean over trainers is sum /
  /// samples.
  virtual std::span<const float> gradients() const = 0;

  /// One forward and backward pass.
  ///   images [count, channels, height, width]; labels [count], 0..classes-1; keys [count]: dropout masks are
  ///   drawn from (seed, step, layer, key), so a sample's mask does not depend on the trainer that has it
  /// 0 < count <= batch_max. Does not change values().
  virtual StepResult train_step(std::span<const float> images, std::span<const std::int32_t> labels,
                                std::span<const std::uint64_t> keys, std::uint64_t step) = 0;
  /// Class probabilities [count, classes], with running statistics and without dropout.
  virtual void predict(std::span<const float> images, std::uint32_t count,
                       std::span<float> probabilities) = 0;

  virtual InputShape input() const = 0;
  virtual std::uint32_t classes() const = 0;
  /// Lines "layer  output shape  parameters", for people.
  virtual std::string summary() const = 0;
};

/// The inference graph with its weights, opset 17, input "input" [batch, C, H, W], output "probabilities"
/// [batch, classes].
Result<std::string> to_onnx(Network& network, const config::ModelSection& model);

struct NamedTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};
/// The safetensors format (8-byte little-endian header length, JSON header, data); F32 only.
std::string to_safetensors(std::span<const NamedTensor> tensors);
/// Bounds, overlaps, holes and lengths are checked; header at most 100 MB.
Result<std::vector<NamedTensor>> from_safetensors(std::string_view bytes);

}  // namespace trainyard::graph
