// A network ready to run: the graph of a model section, differentiated, planned and bound to memory. Values
// and gradients are flat arrays in one fixed order, so that exchange and checkpoints need no knowledge of the
// graph. One thread uses a Network; its OpenMP team is that thread's.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.hpp"
#include "common/config/job_spec.hpp"
#include "common/graph/autodiff.hpp"
#include "common/graph/layers.hpp"
#include "common/graph/program.hpp"
#include "common/tensor/row_gradient.hpp"
#include "common/tensor/update.hpp"

namespace trainyard::graph {

struct StepResult {
  double loss_sum = 0;        // over the samples, or the labels of a sequence; of a classifier in nats
  std::uint32_t correct = 0;  // arg max equals the label
  bool finite = true;     // the loss; where the feed had an update, also the gradients, else it was not done
  bool overflow = false;  // fp16: the loss was scaled too much for the gradients; leave them alone
  float loss_scale = 1;   // fp16: what the loss was multiplied by; the gradients are divided by it already
  double weight_sum = 0;  // what loss_sum is divided by: samples or labels that counted, by their weights
};

struct NetworkOptions {
  std::uint32_t batch_max = 32;
  bool training = true;    // false: no gradients are planned
  std::uint64_t seed = 7;  // of the initial values and of dropout
  LossSpec loss;
  /// Null: the processor's. One with a device keeps parameters, gradients and activations there.
  std::shared_ptr<ops::Backend> backend;
  /// rows: tables that are only looked up give row_gradients() instead.
  RowGradients row_gradients = RowGradients::dense;
  /// Of training steps; of predictions where nothing is trained.
  config::Precision precision = config::Precision::fp32;
  bool low_memory = false;     // a training computes activations twice instead of keeping them
  bool deterministic = false;  // the same bits with any number of threads
};

/// One batch: the model's inputs in their order, row major, and what the loss compares with. Inputs are
/// [count, ...]; labels [count, ...] of the type that the loss takes. keys [count]: dropout masks are drawn
/// from (seed, step, layer, key), so a sample's mask does not depend on the trainer that has it.
struct Feed {
  std::uint32_t count = 0;
  std::span<const void* const> inputs;
  const void* labels = nullptr;
  std::span<const std::uint64_t> keys;
  std::uint64_t step = 0;
  /// Of a network that updates its own values (Network::keep): the numbers of this step; null: they stay.
  const tensor::UpdateStep* update = nullptr;
};

class Network {
 public:
  /// Checks the model against the input and the number of classes; errors name the layer and its place in the
  /// YAML.
  static Result<std::unique_ptr<Network>> build(const config::ModelSection& section, InputShape input,
                                                std::uint32_t classes, const NetworkOptions& options);
  /// Any model; errors name the operation for which there is no kernel or no gradient.
  static Result<std::unique_ptr<Network>> build(Model model, const NetworkOptions& options);
  virtual ~Network() = default;

  virtual const Model& model() const = 0;
  /// What it minimizes, and so what its predictions show.
  virtual const LossSpec& loss() const = 0;
  std::span<const TensorInfo> tensors() const { return model().tensors; }
  /// All parameters and buffers; write to replace them (between steps only, and before the next call of
  /// another function: a device may have to be told).
  virtual std::span<float> values() = 0;
  /// The same to read alone, which costs less where a device keeps them.
  virtual std::span<const float> look() { return values(); }
  /// Replaces all of them without a copy: the caller gets the old ones, of the same length (between steps
  /// only).
  virtual void swap_values(std::vector<float>& values) = 0;
  /// After train_step, in the layout of values(): the gradient of the SUM of the samples' losses. For a
  /// buffer: its new value times the number of samples, so that the weighted mean over trainers is sum /
  /// samples.
  virtual std::span<const float> gradients() const = 0;
  /// After train_step and until the next call: what tensors with row_widths() have instead, by their offsets;
  /// of those, gradients() holds 0.
  virtual std::span<const tensor::RowGradient> row_gradients() const = 0;
  /// One a tensor: the floats of a row where its gradient comes as rows, else 0.
  virtual std::vector<std::uint64_t> row_widths() const = 0;

  /// One forward and backward pass over 0 < feed.count <= batch_max samples. Does not change values(). The
  /// observer is told of each gradient the moment it is final, in backward order.
  virtual StepResult train_step(const Feed& feed, Observer* observer) = 0;
  /// Result 0 of the model as the loss reads it: probabilities of a softmax or sigmoid, the best path [count,
  /// T] of a random field; else the result itself. With running statistics and without dropout. `out` holds
  /// count times the elements a sample. In fp16 on processors all of it is not-a-number where an operand is
  /// larger than that holds.
  virtual void predict(const Feed& feed, std::span<float> out, Observer* observer) = 0;
  /// From now on values() stay as they are: predictions run with what follows from them computed once. A
  /// network that trains cannot be frozen.
  virtual Status freeze() = 0;
  /// The feed of the train_step after the next one: a device brings it in beside the next one's work. Its
  /// bytes have to stay as they are until its own step is done. Needs not be called.
  virtual void stage(const Feed& feed);
  /// From now on steps whose feed has an update change the values where they lie, without a copy; values()
  /// brings them here first. Errc::refused: there is no device; the owner of the network updates values().
  virtual Status keep(const tensor::UpdatePlan& plan);
  /// What the rule keeps, by its place, or the average (kUpdateAverage), as values() lie; only where the plan
  /// has it. It begins as zeros.
  virtual void read_kept(std::size_t array, std::span<float> to) const;
  virtual void write_kept(std::size_t array, std::span<const float> from);
  /// Copies bytes of an output of a program, which may lie on a device.
  virtual void read(const void* at, void* to, std::size_t bytes) const;
  /// The bound program of a batch, of a full one unless given, for a look inside.
  virtual const Program& program(bool training, std::uint32_t batch = 0) = 0;

  /// The same for a model with one input [count, channels, height, width].
  StepResult train_step(std::span<const float> images, std::span<const std::int32_t> labels,
                        std::span<const std::uint64_t> keys, std::uint64_t step);
  void predict(std::span<const float> images, std::uint32_t count, std::span<float> probabilities);
  /// Of a model with one image as its input.
  InputShape input() const;
  /// Elements of a result a sample: the classes of a classifier.
  std::uint32_t classes() const;
};

/// What predict() runs, with the weights: operator set 17, inputs under their names, the batch open. The
/// output is "probabilities" [batch, classes] where the loss has them, else "output"; of a random field
/// "emissions" and "transitions", since ONNX has no best path.
Result<std::string> to_onnx(Network& network);

}  // namespace trainyard::graph
