// The model of a job, as plain values: its layers with their wiring, the name and options of a preset, or the
// file of a network.
// What they mean as operations is graph's; how they are written, layer_kinds.cpp's and preset_table.cpp's.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace trainyard::config {

/// Height and width; one number in the file means both.
struct Sides {
  std::uint32_t height = 0, width = 0;
  constexpr Sides() = default;
  constexpr Sides(std::uint32_t both) : height(both), width(both) {}  // NOLINT: a number is both sides
  constexpr Sides(std::uint32_t rows, std::uint32_t columns) : height(rows), width(columns) {}
  friend bool operator==(const Sides&, const Sides&) = default;
};

/// same: as many outputs as inputs, divided by the stride and rounded up; the odd row or column goes to the
/// bottom and the right. valid: none. given: so many rows above and below, columns left and right.
struct Padding {
  enum class Mode : std::uint8_t { same, valid, given };
  Mode mode = Mode::same;
  Sides sides;
  friend bool operator==(const Padding&, const Padding&) = default;
};

/// Axis 1 of an image and of features, the last one of a sequence.
inline constexpr std::int64_t kChannels = INT64_MIN;

enum class Activation : std::uint8_t { none, relu, relu6, gelu, silu, elu, leaky_relu, sigmoid, tanh };
enum class ResizeMode : std::uint8_t { nearest, bilinear };
enum class Join : std::uint8_t { concat, add, multiply, average, maximum };

enum class LayerKind : std::uint8_t {
  // Linear maps.
  conv2d,
  depthwise_conv2d,
  conv2d_transpose,
  conv1d,
  dense,
  embedding,
  // Normalization.
  batch_norm,
  layer_norm,
  group_norm,
  instance_norm,
  lrn,
  l2_normalize,
  // Activations.
  relu,
  relu6,
  leaky_relu,
  elu,
  selu,
  celu,
  gelu,
  silu,
  mish,
  hard_swish,
  hard_sigmoid,
  sigmoid,
  tanh,
  softplus,
  softsign,
  prelu,
  softmax,
  log_softmax,
  // Pooling.
  max_pool,
  avg_pool,
  global_avg_pool,
  global_max_pool,
  adaptive_avg_pool,
  // Shape.
  flatten,
  reshape,
  permute,
  zero_pad,
  upsample,
  resize,
  dropout,
  // Sequences.
  lstm,
  gru,
  rnn,
  attention,
  multi_head_attention,
  transformer_encoder,
  positional_encoding,
  // Merging.
  concat,
  add,
  subtract,
  multiply,
  average,
  maximum,
  minimum,
  // Blocks of layers.
  residual,
  branches,
  repeat,
};

/// One layer. Fields that a kind does not use keep their defaults.
struct Layer {
  using Kind = LayerKind;
  Kind kind = Kind::relu;
  std::uint32_t filters = 0;  // conv*: output channels
  Sides kernel;               // conv*
  Sides stride = 1;           // conv*; pools: 0 means the window's size
  Padding padding;            // conv*, pools
  Sides size = 2;           // pools: the window; upsample: the factor; resize, adaptive_avg_pool: the result
  std::uint32_t units = 0;  // dense, lstm, gru, rnn
  double rate = 0.5;        // dropout: share of values set to zero
  bool bias = true;         // conv*, dense, multi_head_attention

  Sides dilation = 1;                        // conv*
  Sides output_padding = 0;                  // conv2d_transpose: rows and columns more
  std::uint32_t groups = 1;                  // conv*, group_norm
  std::uint32_t multiplier = 1;              // depthwise_conv2d: output channels an input channel
  Activation activation = Activation::none;  // conv*, dense, transformer_encoder
  bool ceil = false;                         // pools: a last window that hangs over counts
  bool count_padding = false;                // avg_pool
  double momentum = 0.1;                     // batch_norm: share of the batch in the running statistics
  double epsilon = 1e-5;                     // norms
  bool affine = true;                        // layer_norm, instance_norm
  std::uint32_t channels = 5;                // lrn: the window
  double alpha = 0, beta = 0, k = 1;         // lrn; leaky_relu, elu, celu: alpha; hard_sigmoid: alpha, beta
  bool approximate = false;                  // gelu: by tanh
  std::uint32_t input_dim = 0;               // embedding: rows
  std::uint32_t output_dim = 0;              // embedding: columns
  bool bidirectional = false;                // lstm, gru, rnn
  bool sequence = true;                      // lstm, gru, rnn: all steps, else the last
  std::uint32_t heads = 1;                   // multi_head_attention, transformer_encoder
  bool causal = false;                       // attention, multi_head_attention, transformer_encoder
  std::uint32_t feedforward = 0;             // transformer_encoder: width between its two dense layers
  bool norm_first = false;                   // transformer_encoder
  bool learned = false;                      // positional_encoding
  std::int64_t axis = kChannels;             // concat, branches, softmax, log_softmax; 0 is the batch
  std::vector<std::int64_t> shape;           // reshape: of a sample, at most one -1
  std::vector<std::int64_t> axes;            // permute: of a sample, from 1 on
  std::array<std::uint32_t, 4> edges{};      // zero_pad: top, bottom, left, right
  ResizeMode mode = ResizeMode::nearest;     // upsample, resize
  bool align_corners = false;                // upsample, resize
  Join join = Join::concat;                  // branches
  std::uint32_t times = 1;                   // repeat
  std::vector<std::vector<Layer>> branches;  // branches; an empty one passes its input on
  std::vector<Layer> layers, shortcut;       // residual, repeat: the body; residual: the way around it

  std::string name;               // empty: it has none
  std::vector<std::string> from;  // names of layers, or "input"; empty: the layer before
  int line = 0, column = 0;       // where it stands in the YAML, for messages
  int origin = -1;                // index of the override that holds it, as in Place
};

/// The name that `from` uses for the model's input.
inline constexpr const char* kInputName = "input";

const char* layer_name(LayerKind kind);

/// The options of all presets; each uses some of them, with defaults of its own.
struct PresetOptions {
  std::vector<std::uint32_t> hidden;   // units of the dense layers
  std::vector<std::uint32_t> kernels;  // widths of the windows over a text
  Activation activation = Activation::relu;
  double dropout = 0;
  double width = 1;             // share of the channels
  std::uint32_t units = 0;      // of a recurrent cell, a direction
  std::uint32_t filters = 0;    // a window
  std::uint32_t embedding = 0;  // numbers a token or a category
  std::uint32_t depth = 0;      // layers above each other
  std::uint32_t heads = 0;
  std::uint32_t feedforward = 0;
  bool norm_first = false;
  bool batch_norm = false;
  bool zero_init = false;  // the last scale of a residual block begins at 0
};

/// What a preset reads.
enum class PresetInput : std::uint8_t { image, text, table };

/// What `model.head` says beside names of values.
inline constexpr const char *kHeadAuto = "auto", *kHeadKeep = "keep";

/// One of layers, preset and onnx is the model.
struct ModelSection {
  std::vector<Layer> layers;
  std::string preset;  // empty: there is none
  PresetOptions options;
  std::string onnx;              // a file; absolute after reading; empty: there is none
  std::string head = kHeadAuto;  // of onnx: where the layer for the classes of the data goes
};

}  // namespace trainyard::config
