// What each kind of layer is made of.
#include <algorithm>

#include "common/base/text.hpp"
#include "common/graph/layers/layer_builder.hpp"

namespace trainyard::graph {

using config::LayerKind;
using ops::Arithmetic;
using ops::Function;

namespace {

/// The function of an activation that is a layer; identity for other kinds.
Function function_of(LayerKind kind, bool approximate) {
  switch (kind) {
    case LayerKind::relu:
      return Function::relu;
    case LayerKind::relu6:
      return Function::relu6;
    case LayerKind::leaky_relu:
      return Function::leaky_relu;
    case LayerKind::elu:
      return Function::elu;
    case LayerKind::selu:
      return Function::selu;
    case LayerKind::celu:
      return Function::celu;
    case LayerKind::gelu:
      return approximate ? Function::gelu_tanh : Function::gelu;
    case LayerKind::silu:
      return Function::silu;
    case LayerKind::mish:
      return Function::mish;
    case LayerKind::hard_swish:
      return Function::hard_swish;
    case LayerKind::hard_sigmoid:
      return Function::hard_sigmoid;
    case LayerKind::sigmoid:
      return Function::sigmoid;
    case LayerKind::tanh:
      return Function::tanh;
    case LayerKind::softplus:
      return Function::softplus;
    case LayerKind::softsign:
      return Function::softsign;
    default:
      return Function::identity;
  }
}

ops::Cell cell_of(LayerKind kind) {
  if (kind == LayerKind::lstm) return ops::Cell::lstm;
  return kind == LayerKind::rnn ? ops::Cell::rnn : ops::Cell::gru_linear_before_reset;
}

}  // namespace

ValueId LayerBuilder::make(const Layer& layer, const std::string& name, const std::vector<ValueId>& inputs) {
  const ValueId x = inputs[0];
  switch (layer.kind) {
    case LayerKind::conv2d:
    case LayerKind::depthwise_conv2d:
    case LayerKind::conv2d_transpose:
    case LayerKind::conv1d:
    case LayerKind::dense:
      return net_.activate(layer.activation, linear(layer, name, x));
    case LayerKind::embedding:
      return net_.embedding(x, name, layer.input_dim, layer.output_dim);
    case LayerKind::batch_norm:
      return net_.batch_norm(x, name, {.epsilon = layer.epsilon, .momentum = layer.momentum});
    case LayerKind::layer_norm:
      return net_.layer_norm(x, name, layer.epsilon, layer.affine);
    case LayerKind::group_norm:
      return net_.group_norm(x, name, layer.groups, layer.epsilon);
    case LayerKind::instance_norm:
      return net_.group_norm(x, name, net_.extent(x, 1), layer.epsilon);
    case LayerKind::lrn:
      return net_.lrn(x, layer.channels, layer.alpha, layer.beta, layer.k);
    case LayerKind::l2_normalize:
      return net_.l2_normalize(x, layer.epsilon);
    case LayerKind::prelu:
      return net_.prelu(x, name);
    case LayerKind::softmax:
    case LayerKind::log_softmax: {
      Attributes a;
      a.axis = axis_of(layer.axis, x);
      return net_.apply(layer.kind == LayerKind::softmax ? Kind::softmax : Kind::log_softmax, a, {x});
    }
    case LayerKind::dropout:
      return net_.dropout(x, layer.rate);
    case LayerKind::lstm:
    case LayerKind::gru:
    case LayerKind::rnn:
    case LayerKind::attention:
    case LayerKind::multi_head_attention:
    case LayerKind::transformer_encoder:
    case LayerKind::positional_encoding:
      return sequential(layer, name, inputs);
    case LayerKind::concat:
      return merge(config::Join::concat, inputs, layer.axis);
    case LayerKind::add:
      return merge(config::Join::add, inputs, 0);
    case LayerKind::multiply:
      return merge(config::Join::multiply, inputs, 0);
    case LayerKind::average:
      return merge(config::Join::average, inputs, 0);
    case LayerKind::maximum:
      return merge(config::Join::maximum, inputs, 0);
    case LayerKind::subtract:
      return combine(Arithmetic::subtract, inputs);
    case LayerKind::minimum:
      return combine(Arithmetic::minimum, inputs);
    default:
      break;
  }
  const Function function = function_of(layer.kind, layer.approximate);
  return function == Function::identity ? shaped(layer, x) : net_.unary(function, x, layer.alpha, layer.beta);
}

ValueId LayerBuilder::linear(const Layer& layer, const std::string& name, ValueId x) {
  if (layer.kind == LayerKind::dense) {
    if (layer.units == 0) net_.fail("dense needs units of at least 1");
    return net_.dense(x, name, {.units = layer.units, .bias = layer.bias, .init = weight_init(layer)});
  }
  Convolution c{.filters = layer.filters,
                .kernel = layer.kernel,
                .stride = layer.stride,
                .padding = layer.padding,
                .dilation = layer.dilation,
                .groups = layer.groups,
                .bias = layer.bias,
                .init = weight_init(layer),
                .output_padding = layer.output_padding};
  if (layer.kind == LayerKind::depthwise_conv2d) {
    c.groups = net_.extent(x, 1);
    c.filters = c.groups * layer.multiplier;
  }
  const bool sized = c.kernel.height > 0 && c.kernel.width > 0 && c.stride.height > 0 && c.stride.width > 0;
  if (!sized || (c.filters == 0 && layer.kind != LayerKind::depthwise_conv2d))
    net_.fail(format("{} needs filters, kernel and stride of at least 1", config::layer_name(layer.kind)));
  if (layer.kind == LayerKind::conv1d) return net_.conv1d(x, name, c);
  return layer.kind == LayerKind::conv2d_transpose ? net_.conv2d_transpose(x, name, c)
                                                   : net_.conv2d(x, name, c);
}

ValueId LayerBuilder::shaped(const Layer& layer, ValueId x) {
  const Shape shape = net_.shape(x);
  switch (layer.kind) {
    case LayerKind::max_pool:
    case LayerKind::avg_pool: {
      const Kind kind = layer.kind == LayerKind::max_pool ? Kind::max_pool : Kind::avg_pool;
      if (layer.size.height == 0 || layer.size.width == 0)
        net_.fail(format("{} needs a size of at least 1", config::layer_name(layer.kind)));
      return net_.pool(kind, x, {layer.size, layer.stride, layer.padding, layer.ceil, layer.count_padding});
    }
    case LayerKind::global_avg_pool:
      return net_.global_pool(Kind::avg_pool, x);
    case LayerKind::global_max_pool:
      return net_.global_pool(Kind::max_pool, x);
    case LayerKind::adaptive_avg_pool:
      return net_.adaptive_avg_pool(x, layer.size);
    case LayerKind::flatten:
      return net_.flatten(x);
    case LayerKind::reshape: {
      std::vector<std::int64_t> dims = layer.shape;
      std::int64_t known = 1, open = 0;
      for (const std::int64_t dim : dims) dim < 0 ? void(++open) : void(known *= dim);
      const std::int64_t values = shape.volume(1);
      if (open > 1 || known < 1 || (open == 1 ? values % known != 0 : values != known)) {
        net_.fail(format("reshape of {}, {} values a sample, to {}: {}", shape.text(), values,
                         Shape(layer.shape).text(),
                         open > 1 ? "at most one extent can be -1"
                                  : format("those are {} values{}", known, open == 1 ? " times -1" : "")));
        return kAbsent;
      }
      for (std::int64_t& dim : dims)
        if (dim < 0) dim = values / known;
      return net_.reshape(x, std::move(dims));
    }
    case LayerKind::permute: {
      std::vector<std::int64_t> axes = layer.axes, all{0};
      axes.insert(axes.begin(), 0);
      for (std::size_t axis = 1; axis < shape.rank(); ++axis) all.push_back(static_cast<std::int64_t>(axis));
      if (axes.size() != shape.rank() || !std::is_permutation(axes.begin(), axes.end(), all.begin())) {
        net_.fail(format("permute of {} needs each of the axes 1..{} once", shape.text(), shape.rank() - 1));
        return kAbsent;
      }
      return net_.transpose(x, std::move(axes));
    }
    case LayerKind::zero_pad:
      return net_.zero_pad(x, layer.edges);
    case LayerKind::upsample: {
      const Sides size(static_cast<std::uint32_t>(net_.extent(x, 2)) * layer.size.height,
                       static_cast<std::uint32_t>(net_.extent(x, 3)) * layer.size.width);
      return net_.resize(x, size, layer.mode, layer.align_corners);
    }
    case LayerKind::resize:
      return net_.resize(x, layer.size, layer.mode, layer.align_corners);
    default:
      net_.fail("a layer of no known kind");
      return kAbsent;
  }
}

ValueId LayerBuilder::sequential(const Layer& layer, const std::string& name,
                                 const std::vector<ValueId>& inputs) {
  const Attention attention{.heads = layer.heads, .causal = layer.causal, .bias = layer.bias};
  const ValueId q = inputs[0], v = inputs.back(), k = inputs.size() > 2 ? inputs[1] : v;
  switch (layer.kind) {
    case LayerKind::attention:
      return net_.attention(q, k, v, {.heads = 1, .causal = layer.causal});
    case LayerKind::multi_head_attention:
      return net_.multi_head_attention(q, k, v, name, attention);
    case LayerKind::transformer_encoder:
      return net_.encoder_block(q, name,
                                {.attention = attention,
                                 .feedforward = layer.feedforward,
                                 .dropout = layer.rate,
                                 .epsilon = layer.epsilon,
                                 .activation = layer.activation,
                                 .norm_first = layer.norm_first});
    case LayerKind::positional_encoding:
      return net_.positions(q, name, layer.learned);
    default: {
      if (layer.units == 0) net_.fail(format("{} needs units of at least 1", config::layer_name(layer.kind)));
      const RecurrentResult made =
          net_.recurrent(q, name, {cell_of(layer.kind), layer.units, layer.bidirectional});
      return layer.sequence ? made.steps : made.last;
    }
  }
}

std::int64_t LayerBuilder::axis_of(std::int64_t axis, ValueId x) {
  if (net_.failed()) return 1;
  const auto rank = static_cast<std::int64_t>(net_.shape(x).rank());
  if (axis == config::kChannels) return rank == 3 ? 2 : 1;
  const std::int64_t front = axis < 0 ? axis + rank : axis;
  if (front < 1 || front >= rank)
    net_.fail(format("axis {} of {}; 1..{} are those of a sample", axis, net_.shape(x).text(), rank - 1));
  return front;
}

ValueId LayerBuilder::merge(config::Join join, const std::vector<ValueId>& inputs, std::int64_t axis) {
  switch (join) {
    case config::Join::concat:
      break;
    case config::Join::add:
      return combine(Arithmetic::add, inputs);
    case config::Join::multiply:
      return combine(Arithmetic::multiply, inputs);
    case config::Join::maximum:
      return combine(Arithmetic::maximum, inputs);
    case config::Join::average: {
      const ValueId sum = combine(Arithmetic::add, inputs);
      return net_.multiply(sum, net_.scalar(1.0f / static_cast<float>(inputs.size())));
    }
  }
  const std::int64_t along = axis_of(axis, inputs[0]);
  if (net_.failed()) return kAbsent;
  Shape first = net_.shape(inputs[0]);
  first[static_cast<std::size_t>(along)] = 0;
  for (const ValueId other : inputs) {
    Shape shape = net_.shape(other);
    if (shape.rank() == first.rank()) shape[static_cast<std::size_t>(along)] = 0;
    if (shape == first) continue;
    net_.fail(format("concat of {} and {} along axis {}; all other axes have to agree",
                     net_.shape(inputs[0]).text(), net_.shape(other).text(), along));
    return kAbsent;
  }
  return net_.concat(inputs, along);
}

ValueId LayerBuilder::combine(Arithmetic arithmetic, const std::vector<ValueId>& inputs) {
  ValueId x = inputs[0];
  for (std::size_t i = 1; i < inputs.size() && !net_.failed(); ++i) {
    Shape all;
    if (!tensor::broadcast(net_.shape(x), net_.shape(inputs[i]), all)) {
      net_.fail(format("{} and {} do not fit; they have to be the same, or 1 along an axis",
                       net_.shape(x).text(), net_.shape(inputs[i]).text()));
      return kAbsent;
    }
    x = net_.binary(arithmetic, x, inputs[i]);
  }
  return x;
}

}  // namespace trainyard::graph
