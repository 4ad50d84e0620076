// Whole layers for a Builder: the tensors that they own and the operations that they are made of. What YAML
// layers and presets have in common. The first error sticks: from then on calls do nothing and give kAbsent,
// so that a network reads as it is drawn; status() or finish() tells. One thread.
//
// Images are [N, C, H, W], sequences [N, T, F], flat activations [N, F]. Tensors are named PREFIX.weight and
// so on, in PyTorch's shapes unless said otherwise.
#pragma once

#include <string>
#include <vector>

#include "common/config/layer_spec.hpp"
#include "common/graph/model.hpp"

namespace trainyard::graph {

using config::Padding;
using config::Sides;

struct Convolution {
  std::int64_t filters = 0;
  Sides kernel = 1, stride = 1;
  Padding padding{Padding::Mode::valid, 0};
  Sides dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
  Init init = Init::he_fan_out;
  Sides output_padding = 0;  // transposed: rows and columns more
};

struct Window {
  Sides size = 2, stride = 2;
  Padding padding{Padding::Mode::valid, 0};
  bool ceil = false;  // a last window that hangs over the edge counts
  bool count_padding = false;
};

struct BatchNorm {
  double epsilon = 1e-5, momentum = 0.1;
  Init scale = Init::one;
};

struct Dense {
  std::int64_t units = 0;
  bool bias = true;
  Init init = Init::glorot;
};

struct Recurrent {
  ops::Cell cell = ops::Cell::lstm;
  std::int64_t units = 0;
  bool bidirectional = false;
};
struct RecurrentResult {
  ValueId steps = kAbsent;  // [N, T, directions * units]
  ValueId last = kAbsent;   // [N, directions * units]
};

struct Attention {
  std::int64_t heads = 1;
  bool causal = false, bias = true;
  ValueId mask = kAbsent;  // [N, 1, 1, S], added to the scores
};

struct EncoderBlock {
  Attention attention;
  std::int64_t feedforward = 0;  // 0: four times the features
  double dropout = 0.1, epsilon = 1e-5;
  config::Activation activation = config::Activation::relu;
  bool norm_first = false;
};

/// A padding of so many rows and columns on each side.
constexpr Padding padded(Sides sides) { return {Padding::Mode::given, sides}; }
/// relu6 for Activation::relu6, and so on; identity for none.
ops::Function function_of(config::Activation activation);
/// The slope or limit that a function has unless another is given: 0.01 of leaky_relu, 1 of elu and celu.
double usual_alpha(ops::Function function);

class Composer {
 public:
  explicit Composer(std::uint32_t batch_max) : builder_(batch_max) {}

  /// What the next operations come from; see Origin.
  void begin(std::string name, std::string kind, std::string place);
  /// From now on each part with a name begins an origin of its own: "PLACE, NAME".
  void name_parts(std::string place) { place_ = std::move(place); }
  /// Begins a part without tensors, where parts have names.
  void part(const std::string& name, const std::string& kind);

  ValueId input(std::string name, Signature of) { return builder_.input(std::move(name), std::move(of)); }
  Status status() const { return status_; }
  bool failed() const { return !status_; }
  void fail(const std::string& message);
  Result<Model> finish(std::vector<ValueId> results) &&;

  const Signature& signature(ValueId x) const;
  const Shape& shape(ValueId x) const { return signature(x).shape; }
  /// 0 when there is no such axis, or after an error.
  std::int64_t extent(ValueId x, std::size_t axis) const;

  // Single operations.
  ValueId apply(Kind kind, Attributes attributes, std::vector<ValueId> inputs);
  ValueId parameter(const std::string& name, std::vector<std::int64_t> shape, TensorKind kind, Init init);
  ValueId numbers(Shape shape, const std::vector<float>& values);
  ValueId whole_numbers(Shape shape, const std::vector<std::int32_t>& values);
  ValueId scalar(float value) { return builder_.scalar(value); }
  ValueId unary(ops::Function function, ValueId x, double alpha = 0, double beta = 0);
  ValueId binary(ops::Arithmetic arithmetic, ValueId a, ValueId b);
  ValueId add(ValueId a, ValueId b) { return binary(ops::Arithmetic::add, a, b); }
  ValueId multiply(ValueId a, ValueId b) { return binary(ops::Arithmetic::multiply, a, b); }
  ValueId reduce(ops::Reduction reduction, ValueId x, std::vector<std::int64_t> axes, bool keep = false);
  ValueId cast(ValueId x, DType type);
  ValueId dropout(ValueId x, double rate);
  ValueId activate(config::Activation activation, ValueId x);
  ValueId relu(ValueId x) { return unary(ops::Function::relu, x); }

  // Movement.
  ValueId flatten(ValueId x);
  /// `dims` of a sample, without the batch.
  ValueId reshape(ValueId x, std::vector<std::int64_t> dims);
  ValueId transpose(ValueId x, std::vector<std::int64_t> axes);
  ValueId concat(std::vector<ValueId> parts, std::int64_t axis);
  ValueId slice(ValueId x, std::int64_t axis, std::int64_t begin, std::int64_t end);
  ValueId zero_pad(ValueId x, const std::array<std::uint32_t, 4>& edges);
  ValueId resize(ValueId x, Sides size, config::ResizeMode mode, bool align_corners);

  // Linear maps.
  ValueId conv2d(ValueId x, const std::string& name, const Convolution& c);
  ValueId conv2d_transpose(ValueId x, const std::string& name, const Convolution& c);
  /// Over the steps of a sequence; heights of `c` are not looked at. The weight is [O, I/groups, 1, k].
  ValueId conv1d(ValueId x, const std::string& name, const Convolution& c);
  /// Of an image over all its values, else over the last axis.
  ValueId dense(ValueId x, const std::string& name, const Dense& d);
  /// Rows of a table [rows, columns] for an index of any shape.
  ValueId embedding(ValueId index, const std::string& name, std::int64_t rows, std::int64_t columns,
                    Init init = Init::normal_02);

  // Norms and pools.
  ValueId batch_norm(ValueId x, const std::string& name, const BatchNorm& b = {});
  ValueId layer_norm(ValueId x, const std::string& name, double epsilon = 1e-5, bool affine = true);
  ValueId group_norm(ValueId x, const std::string& name, std::int64_t groups, double epsilon = 1e-5);
  ValueId lrn(ValueId x, std::int64_t channels, double alpha, double beta, double k);
  ValueId l2_normalize(ValueId x, double epsilon);
  ValueId prelu(ValueId x, const std::string& name);
  /// Kind::max_pool or Kind::avg_pool.
  ValueId pool(Kind kind, ValueId x, const Window& window);
  ValueId max_pool(ValueId x, const Window& window) { return pool(Kind::max_pool, x, window); }
  ValueId avg_pool(ValueId x, const Window& window) { return pool(Kind::avg_pool, x, window); }
  /// An image gives [N, C, 1, 1], a sequence [N, F].
  ValueId global_pool(Kind kind, ValueId x);
  /// Window i reaches from floor(i H / h) to ceil((i + 1) H / h), as in PyTorch.
  ValueId adaptive_avg_pool(ValueId x, Sides size);

  // Sequences.
  RecurrentResult recurrent(ValueId x, const std::string& name, const Recurrent& r,
                            ValueId lengths = kAbsent);
  /// q [N, T, D], k [N, S, D], v [N, S, E]; heads cut D and E.
  ValueId attention(ValueId q, ValueId k, ValueId v, const Attention& a);
  /// With projections; one of its own for each operand unless all are the same.
  ValueId multi_head_attention(ValueId q, ValueId k, ValueId v, const std::string& name, const Attention& a);
  ValueId encoder_block(ValueId x, const std::string& name, const EncoderBlock& b);
  /// x + encoding of the step (Vaswani and others, 2017, section 3.5), or + a learned row.
  ValueId positions(ValueId x, const std::string& name, bool learned);
  /// 1 where a step [N, T] lies below the length [N], else 0, as real numbers or as u8.
  ValueId step_mask(ValueId lengths, std::int64_t steps, bool real);
  /// [N, 1, 1, T]: 0 where a step counts, else a number that leaves nothing of a score.
  ValueId score_mask(ValueId lengths, std::int64_t steps);
  /// Mean of the steps that count: x [N, T, F], lengths [N] -> [N, F].
  ValueId mean_of_steps(ValueId x, ValueId lengths);

 private:
  bool needs_image(ValueId x, const char* what);
  bool needs_sequence(ValueId x, const char* what);
  bool fits(ValueId x, const char* what, bool kernel, Sides size, Sides dilation, const Attributes& a);
  ValueId heads_of(ValueId x, std::int64_t heads);

  Builder builder_;
  Status status_;
  std::string place_, origin_place_;
  std::uint64_t dropouts_ = 0;
};

}  // namespace trainyard::graph
