#include "common/config/layer_kinds.hpp"

#include "common/config/layer_fields.hpp"

namespace trainyard::config {
namespace {

using L = Layer;
using K = LayerKind;
constexpr std::uint32_t channels_max = 65536, side_max = 255, window_max = 1024, result_max = 8192;
constexpr std::uint64_t rows_max = 1ull << 31;

Field<L> bias(const char* doc = "Whether each channel has a bias.") { return flag(&L::bias, "bias", doc); }
Field<L> filters() { return required(integer(&L::filters, "filters", 1, channels_max, "Output channels.")); }
Field<L> kernel() { return required(sides(&L::kernel, "kernel", 1, side_max, "Size of the kernel.")); }
Field<L> stride() { return sides(&L::stride, "stride", 1, side_max, "Step of the kernel."); }
Field<L> dilation() { return sides(&L::dilation, "dilation", 1, side_max, "Step inside the kernel."); }
Field<L> groups() {
  return integer(&L::groups, "groups", 1, channels_max, "Groups of channels that do not mix.");
}
Field<L> behind() {
  return activation(&L::activation, "activation", true, "What follows in the same layer.");
}
Field<L> epsilon() { return number(&L::epsilon, "epsilon", 1e-12, 1, "Added to the variance."); }
Field<L> alpha(double low, double high, const char* doc) {
  return number(&L::alpha, "alpha", low, high, doc);
}
Field<L> units(const char* doc) { return required(integer(&L::units, "units", 1, 1'000'000, doc)); }

std::vector<LayerInfo> linear_layers() {
  std::vector<LayerInfo> list{
      {K::conv2d,
       "conv2d",
       "Convolution of an image.",
       {filters(), kernel(), stride(), padding_field(), dilation(), groups(), bias(), behind()}},
      {K::depthwise_conv2d,
       "depthwise_conv2d",
       "Convolution of each channel by itself.",
       {kernel(), stride(), padding_field(), dilation(),
        integer(&L::multiplier, "multiplier", 1, 1024, "Output channels an input channel."), bias(),
        behind()}},
      {K::conv2d_transpose,
       "conv2d_transpose",
       "Transposed convolution of an image; the output is the input's size times the stride (padding same).",
       {filters(), kernel(), stride(), padding_field(),
        sides(&L::output_padding, "output_padding", 0, side_max,
              "Rows and columns more, at the bottom and the right."),
        dilation(), groups(), bias(), behind()}},
      {K::conv1d,
       "conv1d",
       "Convolution of a sequence [N, T, features] along its steps.",
       {filters(), kernel(), stride(), padding_field(), dilation(), groups(), bias(), behind()}},
      {K::dense,
       "dense",
       "All outputs from all inputs: of an image from all its values, of a sequence at each step.",
       {units("Outputs."), bias("Whether each output has a bias."), behind()}},
      {K::embedding,
       "embedding",
       "A row of a table for each whole number.",
       {required(integer(&L::input_dim, "input_dim", 1, rows_max, "Rows: the numbers are below it.")),
        required(integer(&L::output_dim, "output_dim", 1, channels_max, "Numbers a row."))}},
  };
  return list;
}

std::vector<LayerInfo> norm_layers() {
  const Field<L> affine = flag(&L::affine, "affine", "Whether it has a scale and a shift of its own.");
  return {
      {K::batch_norm,
       "batch_norm",
       "Each channel over the batch (Ioffe and Szegedy, 2015).",
       {number(&L::momentum, "momentum", 0, 1, "Share of a batch in the running statistics."), epsilon()}},
      {K::layer_norm,
       "layer_norm",
       "Each sample, of a sequence each step, over its features (Ba and others, 2016).",
       {epsilon(), affine}},
      {K::group_norm,
       "group_norm",
       "Each sample over groups of channels (Wu and He, 2018).",
       {required(groups()), epsilon()}},
      {K::instance_norm,
       "instance_norm",
       "Each channel of each sample (Ulyanov and others, 2016).",
       {epsilon()}},
      {K::lrn,
       "lrn",
       "Local response normalization across channels (Krizhevsky and others, 2012).",
       {integer(&L::channels, "size", 1, 1024, "Channels of a window."),
        alpha(0, 1000, "Weight of the mean square."), number(&L::beta, "beta", 0, 100, "Exponent."),
        number(&L::k, "k", 0, 1000, "Added to the weighted mean square.")},
       {.alpha = 1e-4, .beta = 0.75}},
      {K::l2_normalize, "l2_normalize", "Each sample, of a sequence each step, to length 1.", {epsilon()}},
  };
}

std::vector<LayerInfo> activation_layers() {
  return {
      {K::relu, "relu", "max(0, x)."},
      {K::relu6, "relu6", "min(6, max(0, x))."},
      {K::leaky_relu,
       "leaky_relu",
       "alpha x below 0, else x.",
       {alpha(0, 100, "Slope below 0.")},
       {.alpha = 0.01}},
      {K::elu,
       "elu",
       "alpha (exp(x) - 1) below 0, else x.",
       {alpha(0, 100, "Minus the limit to the left.")},
       {.alpha = 1}},
      {K::selu, "selu", "elu that keeps mean 0 and variance 1 (Klambauer and others, 2017)."},
      {K::celu,
       "celu",
       "alpha (exp(x / alpha) - 1) below 0, else x.",
       {alpha(1e-6, 100, "Minus the limit to the left.")},
       {.alpha = 1}},
      {K::gelu,
       "gelu",
       "x times the normal distribution below x.",
       {flag(&L::approximate, "approximate", "By tanh (Hendrycks and Gimpel, 2016).")}},
      {K::silu, "silu", "x sigmoid(x)."},
      {K::mish, "mish", "x tanh(softplus(x))."},
      {K::hard_swish, "hard_swish", "x relu6(x + 3) / 6."},
      {K::hard_sigmoid,
       "hard_sigmoid",
       "alpha x + beta, between 0 and 1.",
       {alpha(0, 100, "Slope."), number(&L::beta, "beta", -100, 100, "Value at 0.")},
       {.alpha = 1.0 / 6, .beta = 0.5}},
      {K::sigmoid, "sigmoid", "1 / (1 + exp(-x))."},
      {K::tanh, "tanh", "Hyperbolic tangent."},
      {K::softplus, "softplus", "log(1 + exp(x))."},
      {K::softsign, "softsign", "x / (1 + |x|)."},
      {K::prelu, "prelu", "A learned slope below 0 for each channel (He and others, 2015)."},
      {K::softmax, "softmax", "Shares that sum to 1.", {axis_field("Along which they sum to 1.")}},
      {K::log_softmax,
       "log_softmax",
       "Logarithms of shares that sum to 1.",
       {axis_field("Along which the shares sum to 1.")}},
  };
}

std::vector<LayerInfo> pool_layers() {
  const Field<L> ceil = flag(&L::ceil, "ceil", "Whether a last window that hangs over the edge counts.");
  const Table<L> window{sides(&L::size, "size", 1, window_max, "Size of the window."),
                        sides(&L::stride, "stride", 0, window_max, "Step of the window; 0: its size."),
                        padding_field(), ceil};
  Table<L> average = window;
  average.push_back(
      flag(&L::count_padding, "count_padding", "Whether padding counts as zeros in the average."));
  const Layer by_size{.stride = 0, .padding = {Padding::Mode::valid, 0}};
  return {
      {K::max_pool, "max_pool", "Largest value of each window of an image.", window, by_size},
      {K::avg_pool, "avg_pool", "Mean of each window of an image.", average, by_size},
      {K::global_avg_pool, "global_avg_pool",
       "Mean of each channel of an image, of each feature over a sequence."},
      {K::global_max_pool, "global_max_pool",
       "Largest value of each channel of an image, of each feature over a sequence."},
      {K::adaptive_avg_pool,
       "adaptive_avg_pool",
       "Means of so many windows, whatever the image's size; windows may overlap by a row.",
       {sides(&L::size, "size", 1, window_max, "Size of the result.")},
       {.size = 1}},
  };
}

std::vector<LayerInfo> shape_layers() {
  const Field<L> mode =
      choice(&L::mode, "mode", {{"nearest", ResizeMode::nearest}, {"bilinear", ResizeMode::bilinear}}, {},
             "What lies between the pixels.");
  const Field<L> corners =
      flag(&L::align_corners, "align_corners", "bilinear: whether the corner pixels keep their values.");
  return {
      {K::flatten, "flatten", "All values of a sample in one row."},
      {K::reshape,
       "reshape",
       "The same values in another shape.",
       {required(
           whole_numbers(&L::shape, "shape", -1, 1 << 30, "Shape of a sample; one extent may be -1."))}},
      {K::permute,
       "permute",
       "Axes in another order.",
       {required(whole_numbers(&L::axes, "axes", 1, 8, "Axes of the input, from 1 on; 0 is the batch."))}},
      {K::zero_pad, "zero_pad", "Zeros around an image.", {edges_field()}, {.edges = {1, 1, 1, 1}}},
      {K::upsample,
       "upsample",
       "A larger image.",
       {sides(&L::size, "size", 1, 64, "Factor of height and width."), mode, corners}},
      {K::resize,
       "resize",
       "An image of another size.",
       {required(sides(&L::size, "size", 1, result_max, "Height and width of the result.")), mode, corners}},
      {K::dropout,
       "dropout",
       "Sets values to zero in training.",
       {number(&L::rate, "rate", 0, 0.99, "Share of the values set to zero in training.")}},
  };
}

Table<L> recurrent_options() {
  Field<L> what = {"return",
                   "sequence: every step [N, T, units]; last: the state behind the last step [N, units].",
                   {{"enum", {"sequence", "last"}}},
                   "sequence, last",
                   false,
                   [](const Node& node, const std::string& path, Layer& out, Problems& problems) {
                     if (node.text == "sequence" || node.text == "last")
                       out.sequence = node.text == "sequence";
                     else
                       problems.add(node.place, path,
                                    format("{} is not one of sequence, last", description(node)));
                   },
                   [](const Layer& layer) { return Json(layer.sequence ? "sequence" : "last"); },
                   {}};
  return {units("Size of the state, of each direction."),
          flag(&L::bidirectional, "bidirectional", "Whether a second cell reads from the end."), what};
}

std::vector<LayerInfo> sequence_layers() {
  const Field<L> heads = required(integer(&L::heads, "heads", 1, 1024, "Heads; they divide the features."));
  const Field<L> causal = flag(&L::causal, "causal", "Whether a step sees only those before it and itself.");
  std::vector<LayerInfo> list{
      {K::lstm, "lstm", "Long short-term memory over a sequence.", recurrent_options()},
      {K::gru, "gru", "Gated recurrent unit over a sequence.", recurrent_options()},
      {K::rnn, "rnn", "Recurrent cell with tanh over a sequence.", recurrent_options()},
      {K::attention,
       "attention",
       "Scaled dot products without weights of its own; `from` names query and value, or query, key, value.",
       {causal}},
      {K::multi_head_attention,
       "multi_head_attention",
       "Attention with projections; `from` may name query and memory, or query, key, value (Vaswani and "
       "others, 2017).",
       {heads, causal, bias("Whether the projections have biases.")}},
      {K::transformer_encoder,
       "transformer_encoder",
       "A block of self-attention and two dense layers, each with layer_norm and a way around it.",
       {heads,
        integer(&L::feedforward, "feedforward", 0, channels_max,
                "Width between the dense layers; 0: four times the features."),
        number(&L::rate, "dropout", 0, 0.99, "Share of the values set to zero in training."),
        activation(&L::activation, "activation", false, "Between the dense layers."),
        flag(&L::norm_first, "norm_first", "Whether layer_norm comes before each part, not behind it."),
        causal, epsilon()},
       {.rate = 0.1, .activation = Activation::relu}},
      {K::positional_encoding,
       "positional_encoding",
       "Adds to each step of a sequence what tells its place.",
       {flag(&L::learned, "learned", "A learned row each, not sines and cosines.")}},
  };
  list[3].inputs_max = list[4].inputs_max = 3;
  return list;
}

std::vector<LayerInfo> merge_layers() {
  constexpr std::size_t inputs_max = 64;
  std::vector<LayerInfo> list{
      {K::concat,
       "concat",
       "The inputs behind each other.",
       {axis_field("Along which they are put together; the others have to agree.")}},
      {K::add, "add", "Sum of the inputs."},
      {K::subtract, "subtract", "The first input less the second."},
      {K::multiply, "multiply", "Product of the inputs."},
      {K::average, "average", "Mean of the inputs."},
      {K::maximum, "maximum", "Largest of the inputs, value by value."},
      {K::minimum, "minimum", "Smallest of the inputs, value by value."},
  };
  for (LayerInfo& info : list) {
    info.inputs_min = 2;
    info.inputs_max = info.kind == K::subtract ? 2 : inputs_max;
  }
  return list;
}

Field<L> nested(std::vector<Layer> L::*member, const char* name, const char* doc) {
  return {name,
          doc,
          {{"$ref", "#/$defs/layers"}},
          "list of layers",
          false,
          [=](const Node& node, const std::string& path, Layer& out, Problems& problems) {
            read_layers(node, path, out.*member, problems);
          },
          [=](const Layer& layer) { return (layer.*member).empty() ? Json() : show_layers(layer.*member); },
          {}};
}

Field<L> joined(Join join, const char* name) {
  constexpr std::size_t branches_max = 64;
  return {
      name,
      "The branches, each a list of layers; an empty one passes the input on.",
      {{"type", "array"}, {"minItems", 2}, {"items", {{"$ref", "#/$defs/layers"}}}},
      "list of lists of layers",
      false,
      [=](const Node& node, const std::string& path, Layer& out, Problems& problems) {
        if (node.kind != Node::Kind::sequence || node.items.size() < 2 || node.items.size() > branches_max)
          return problems.add(node.place, path,
                              format("expected a list of 2..{} branches, got {}", branches_max,
                                     node.kind == Node::Kind::sequence ? format("{} items", node.items.size())
                                                                       : description(node)));
        if (!out.branches.empty())
          return problems.add(node.place, path, "branches are joined in one way; give one list");
        out.join = join;
        for (std::size_t i = 0; i < node.items.size(); ++i)
          read_layers(node.items[i], format("{}[{}]", path, i), out.branches.emplace_back(), problems);
      },
      [=](const Layer& layer) {
        if (layer.join != join) return Json();
        Json out = Json::array();
        for (const auto& branch : layer.branches) out.push_back(show_layers(branch));
        return out;
      },
      {}};
}

std::vector<LayerInfo> block_layers() {
  return {
      {K::residual,
       "residual",
       "The sum of what its layers make and of what went into them (He and others, 2016).",
       {required(nested(&L::layers, "layers", "The body.")),
        nested(&L::shortcut, "shortcut", "Layers on the way around the body; none: the input itself.")}},
      {K::branches,
       "branches",
       "Lists of layers beside each other, with the same input; one of concat, add, multiply, average, "
       "maximum says how their results become one.",
       {joined(Join::concat, "concat"), joined(Join::add, "add"), joined(Join::multiply, "multiply"),
        joined(Join::average, "average"), joined(Join::maximum, "maximum"),
        axis_field("concat: along which the results are put together.")}},
      {K::repeat,
       "repeat",
       "The same layers several times behind each other, each time with tensors of their own.",
       {required(integer(&L::times, "times", 1, 1000, "How many times.")),
        required(nested(&L::layers, "layers", "What is repeated."))}},
  };
}

}  // namespace

const std::vector<LayerInfo>& layer_infos() {
  static const std::vector<LayerInfo> infos = [] {
    std::vector<LayerInfo> all;
    for (const auto family : {linear_layers, norm_layers, activation_layers, pool_layers, shape_layers,
                              sequence_layers, merge_layers, block_layers}) {
      for (LayerInfo& info : family()) {
        info.defaults.kind = info.kind;
        info.table = info.options;
        for (Field<L>& field : common_options()) info.table.push_back(std::move(field));
        all.push_back(std::move(info));
      }
    }
    return all;
  }();
  return infos;
}

const LayerInfo& layer_info(LayerKind kind) {
  for (const LayerInfo& info : layer_infos())
    if (info.kind == kind) return info;
  check(false, "every kind of layer has its entry");
  return layer_infos().front();
}

const char* layer_name(LayerKind kind) { return layer_info(kind).name.c_str(); }

std::vector<std::string> layer_names() {
  std::vector<std::string> names;
  for (const LayerInfo& info : layer_infos()) names.push_back(info.name);
  return names;
}

}  // namespace trainyard::config
