#include "common/graph/shapes.hpp"

#include <array>

#include "common/base/text.hpp"

namespace trainyard::graph {
namespace {

using config::Layer;
using LayerKind = Layer::Kind;

/// a * b of non-negative numbers, or the largest number when that is too large.
std::uint64_t times(std::uint64_t a, std::uint64_t b) {
  std::uint64_t out = 0;
  return __builtin_mul_overflow(a, b, &out) ? UINT64_MAX : out;
}

std::uint64_t bytes_of(const std::vector<std::int64_t>& dims, std::uint32_t batch) {
  std::uint64_t bytes = sizeof(float);
  for (const auto dim : dims)
    bytes = times(bytes, dim == tensor::kBatch ? batch : static_cast<std::uint64_t>(dim));
  return bytes;
}

Error too_large(const std::string& what, std::uint64_t bytes, std::uint64_t limit) {
  const std::string size = bytes == UINT64_MAX ? "more than 2^64 bytes" : size_text(bytes);
  return {Errc::invalid, format("{} takes {}; at most {} are allowed", what, size, size_text(limit))};
}

/// One side of a convolution's output, and the padding before and after; an output of 0 does not exist.
struct Side {
  std::int64_t output = 0, before = 0, after = 0;
};

Side window(std::int64_t input, std::int64_t kernel, std::int64_t stride, bool same) {
  if (!same) return {input < kernel ? 0 : (input - kernel) / stride + 1, 0, 0};
  const std::int64_t output = (input + stride - 1) / stride;
  const std::int64_t padding = std::max<std::int64_t>(0, (output - 1) * stride + kernel - input);
  return {output, padding / 2, padding - padding / 2};
}

class Inference {
 public:
  Inference(const config::ModelSection& model, std::uint32_t batch_max)
      : model_(model), batch_max_(batch_max) {}

  Result<ModelShapes> run(InputShape input, std::uint32_t classes) {
    Shape x{tensor::kBatch, input.channels, input.height, input.width};
    if (const auto bytes = bytes_of(x.dims(), batch_max_); bytes > kTensorBytesMax)
      return too_large(format("a batch of {} inputs {}", batch_max_, x.text()), bytes, kTensorBytesMax);
    for (index_ = 0; index_ < model_.layers.size(); ++index_) {
      LayerShapes layer;
      layer.input = x;
      layer.tensor_first = out_.tensors.size();
      if (auto done = add(model_.layers[index_], layer); !done)
        return done.error().with(layer_place(model_, index_));
      layer.tensor_count = out_.tensors.size() - layer.tensor_first;
      if (const auto bytes = bytes_of(layer.output.dims(), batch_max_); bytes > kTensorBytesMax)
        return too_large(
                   format("the output {} of {} for a batch of {}", layer.output.text(), name(), batch_max_),
                   bytes, kTensorBytesMax)
            .with(layer_place(model_, index_));
      x = layer.output;
      out_.layers.push_back(std::move(layer));
    }
    const std::uint64_t outputs = bytes_of(x.dims(), 1) / sizeof(float);
    if (outputs != classes)
      return Error{Errc::invalid,
                   format("{}: the network ends with {} outputs a sample, but the data have {} classes; {}",
                          layer_place(model_, model_.layers.size() - 1), outputs, classes, advice(classes))};
    return std::move(out_);
  }

 private:
  std::string name() const { return layer_name(model_.layers[index_].kind); }

  std::string advice(std::uint32_t classes) const {
    if (model_.layers.back().kind == LayerKind::dense) return format("set its units to {}", classes);
    return format("end it with dense: {{units: {}}}", classes);
  }

  Status add(const Layer& layer, LayerShapes& out) {
    out.output = out.input;
    switch (layer.kind) {
      case LayerKind::conv2d:
        return conv2d(layer, out);
      case LayerKind::batch_norm:
        return batch_norm(out);
      case LayerKind::max_pool:
      case LayerKind::avg_pool:
      case LayerKind::global_avg_pool:
        return pool(layer, out);
      case LayerKind::flatten:
        out.output = {tensor::kBatch, features(out.input)};
        return {};
      case LayerKind::dense:
        return dense(layer, out);
      case LayerKind::dropout:
        if (!(layer.rate >= 0 && layer.rate < 1))
          return Error{Errc::invalid, format("dropout of rate {}; it has to be in [0, 1)", layer.rate)};
        out.attributes.rate = layer.rate;
        return {};
      case LayerKind::relu:
        return {};
    }
    return Error{Errc::invalid, "a layer of no known kind"};
  }

  Status image_needed(const Shape& x) const {
    if (x.rank() == 4) return {};
    return Error{
        Errc::invalid,
        format("{} needs an image, and gets the flat {}; put it before flatten and dense", name(), x.text())};
  }

  Status conv2d(const Layer& layer, LayerShapes& out) {
    if (auto image = image_needed(out.input); !image) return image;
    if (layer.filters == 0 || layer.kernel == 0 || layer.stride == 0)
      return Error{Errc::invalid, "conv2d needs filters, kernel and stride of at least 1"};
    const auto height = window(out.input[2], layer.kernel, layer.stride, layer.same);
    const auto width = window(out.input[3], layer.kernel, layer.stride, layer.same);
    if (height.output == 0 || width.output == 0)
      return Error{Errc::invalid, format("conv2d of kernel {} without padding on a {}x{} input", layer.kernel,
                                         out.input[2], out.input[3])};
    auto& a = out.attributes;
    a.kernel_height = a.kernel_width = layer.kernel;
    a.stride = layer.stride;
    a.pad_top = height.before;
    a.pad_bottom = height.after;
    a.pad_left = width.before;
    a.pad_right = width.after;
    out.output = {tensor::kBatch, layer.filters, height.output, width.output};
    const std::string prefix = format("conv{}", ++convs_);
    if (auto weight =
            add_tensor(prefix + ".weight", {layer.filters, out.input[1], layer.kernel, layer.kernel},
                       TensorKind::weight);
        !weight || !layer.bias)
      return weight;
    return add_tensor(prefix + ".bias", {layer.filters}, TensorKind::bias);
  }

  Status batch_norm(LayerShapes& out) {
    const std::int64_t channels = out.input[1];
    const std::string prefix = format("bn{}", ++norms_);
    using Entry = std::pair<const char*, TensorKind>;
    for (const auto& [suffix, kind] :
         {Entry{".weight", TensorKind::bias}, Entry{".bias", TensorKind::bias},
          Entry{".running_mean", TensorKind::buffer}, Entry{".running_var", TensorKind::buffer}})
      if (auto added = add_tensor(prefix + suffix, {channels}, kind); !added) return added;
    return {};
  }

  Status pool(const Layer& layer, LayerShapes& out) {
    if (auto image = image_needed(out.input); !image) return image;
    const std::int64_t height = out.input[2], width = out.input[3];
    auto& a = out.attributes;
    if (layer.kind == LayerKind::global_avg_pool) {
      a.kernel_height = height;
      a.kernel_width = width;
      out.output = {tensor::kBatch, out.input[1], 1, 1};
      return {};
    }
    if (layer.size == 0) return Error{Errc::invalid, format("{} needs a size of at least 1", name())};
    if (layer.size > height || layer.size > width)
      return Error{Errc::invalid,
                   format("{} of size {} on a {}x{} input", name(), layer.size, height, width)};
    a.kernel_height = a.kernel_width = layer.size;
    a.stride = layer.stride == 0 ? layer.size : layer.stride;
    out.output = {tensor::kBatch, out.input[1], (height - layer.size) / a.stride + 1,
                  (width - layer.size) / a.stride + 1};
    return {};
  }

  Status dense(const Layer& layer, LayerShapes& out) {
    if (layer.units == 0) return Error{Errc::invalid, "dense needs units of at least 1"};
    out.output = {tensor::kBatch, layer.units};
    const std::string prefix = format("dense{}", ++denses_);
    if (auto weight = add_tensor(prefix + ".weight", {layer.units, features(out.input)}, TensorKind::weight);
        !weight || !layer.bias)
      return weight;
    return add_tensor(prefix + ".bias", {layer.units}, TensorKind::bias);
  }

  Status add_tensor(std::string name, std::vector<std::int64_t> shape, TensorKind kind) {
    const std::uint64_t bytes = bytes_of(shape, 1);
    if (bytes > kTensorBytesMax)
      return too_large(format("{} {}", name, Shape(shape).text()), bytes, kTensorBytesMax);
    const std::uint64_t length = bytes / sizeof(float);
    out_.tensors.push_back({std::move(name), std::move(shape), out_.length, length, kind});
    out_.length += length;
    if (out_.length * sizeof(float) > kParameterBytesMax)
      return too_large("the network up to here", out_.length * sizeof(float), kParameterBytesMax);
    return {};
  }

  static std::int64_t features(const Shape& x) {
    std::int64_t count = 1;
    for (std::size_t axis = 1; axis < x.rank(); ++axis) count *= x[axis];
    return count;
  }

  const config::ModelSection& model_;
  std::uint32_t batch_max_;
  ModelShapes out_;
  std::size_t index_ = 0;
  std::uint32_t convs_ = 0, norms_ = 0, denses_ = 0;
};

}  // namespace

const char* layer_name(LayerKind kind) {
  switch (kind) {
    case LayerKind::conv2d:
      return "conv2d";
    case LayerKind::batch_norm:
      return "batch_norm";
    case LayerKind::relu:
      return "relu";
    case LayerKind::max_pool:
      return "max_pool";
    case LayerKind::avg_pool:
      return "avg_pool";
    case LayerKind::global_avg_pool:
      return "global_avg_pool";
    case LayerKind::flatten:
      return "flatten";
    case LayerKind::dense:
      return "dense";
    case LayerKind::dropout:
      return "dropout";
  }
  return "layer";
}

std::string layer_place(const config::ModelSection& model, std::size_t index) {
  const Layer& layer = model.layers[index];
  if (layer.line == 0) return format("model.layers[{}]", index);
  return format("model.layers[{}] ({}:{})", index, layer.line, layer.column);
}

Result<ModelShapes> infer_shapes(const config::ModelSection& model, InputShape input, std::uint32_t classes,
                                 std::uint32_t batch_max) {
  if (model.layers.empty()) return Error{Errc::invalid, "model.layers: there are no layers"};
  if (model.layers.size() > kLayersMax)
    return Error{Errc::invalid,
                 format("model.layers: {} layers; at most {} are allowed", model.layers.size(), kLayersMax)};
  if (input.channels < 1 || input.height < 1 || input.width < 1)
    return Error{Errc::invalid,
                 format("the input is {}x{}x{} (channels, height, width); each has to be at least 1",
                        input.channels, input.height, input.width)};
  if (classes < 2)
    return Error{Errc::invalid, format("the data have {} classes; a classifier needs at least 2", classes)};
  if (batch_max < 1) return Error{Errc::invalid, "a batch has at least one sample"};
  return Inference(model, batch_max).run(input, classes);
}

}  // namespace trainyard::graph
