#include "common/graph/layers.hpp"

#include <algorithm>

#include "common/base/text.hpp"

namespace trainyard::graph {
namespace {

using config::Layer;
using LayerKind = Layer::Kind;

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

class LayerBuilder {
 public:
  LayerBuilder(const config::ModelSection& section, std::uint32_t batch_max)
      : section_(section), builder_(batch_max) {}

  Result<Model> run(InputShape input, std::uint32_t classes) {
    x_ = builder_.input("input", Signature({tensor::kBatch, input.channels, input.height, input.width}));
    for (index_ = 0; index_ < section_.layers.size(); ++index_) {
      builder_.origin(name(), layer_place(section_, index_));
      if (auto done = add(section_.layers[index_]); !done)
        return done.error().with(layer_place(section_, index_));
    }
    const std::int64_t outputs = -shape().volume();
    if (outputs != classes)
      return Error{
          Errc::invalid,
          format("{}: the network ends with {} outputs a sample, but the data have {} classes; {}",
                 layer_place(section_, section_.layers.size() - 1), outputs, classes, advice(classes))};
    if (auto flat = flatten(); !flat) return flat.error();
    return std::move(builder_).finish({x_});
  }

 private:
  std::string name() const { return layer_name(section_.layers[index_].kind); }
  const Shape& shape() const { return builder_.shape(x_); }

  std::string advice(std::uint32_t classes) const {
    if (section_.layers.back().kind == LayerKind::dense) return format("set its units to {}", classes);
    return format("end it with dense: {{units: {}}}", classes);
  }

  Status apply(Kind kind, Attributes attributes, std::vector<ValueId> inputs) {
    const auto y = builder_.add(kind, std::move(attributes), std::move(inputs));
    if (!y) return y.error();
    x_ = *y;
    return {};
  }

  /// Appends the tensor to `inputs`.
  Status own(std::vector<ValueId>& inputs, const std::string& name, std::vector<std::int64_t> dims,
             TensorKind kind, Init init) {
    const auto id = builder_.parameter(name, std::move(dims), kind, init);
    if (!id) return id.error();
    inputs.push_back(*id);
    return {};
  }

  Status add(const Layer& layer) {
    switch (layer.kind) {
      case LayerKind::conv2d:
        return conv2d(layer);
      case LayerKind::batch_norm:
        return batch_norm();
      case LayerKind::max_pool:
      case LayerKind::avg_pool:
      case LayerKind::global_avg_pool:
        return pool(layer);
      case LayerKind::flatten:
        return flatten();
      case LayerKind::dense:
        return dense(layer);
      case LayerKind::dropout: {
        Attributes attributes;
        attributes.rate = layer.rate;
        attributes.seed = index_;
        return apply(Kind::dropout, attributes, {x_});
      }
      case LayerKind::relu:
        return apply(Kind::unary, {.function = ops::Function::relu}, {x_});
    }
    return Error{Errc::invalid, "a layer of no known kind"};
  }

  Status image_needed() const {
    if (shape().rank() == 4) return {};
    return Error{Errc::invalid,
                 format("{} needs an image, and gets the flat {}; put it before flatten and dense", name(),
                        shape().text())};
  }

  /// He and others in front of a rectifier; without one behind it, the plain fan-in.
  Init weight_init() const {
    const bool rectified =
        std::any_of(section_.layers.begin() + static_cast<std::ptrdiff_t>(index_) + 1, section_.layers.end(),
                    [](const auto& other) { return other.kind == LayerKind::relu; });
    return rectified ? Init::he : Init::lecun;
  }

  Status conv2d(const Layer& layer) {
    if (auto image = image_needed(); !image) return image;
    if (layer.filters == 0 || layer.kernel == 0 || layer.stride == 0)
      return Error{Errc::invalid, "conv2d needs filters, kernel and stride of at least 1"};
    const Shape x = shape();
    const auto height = window(x[2], layer.kernel, layer.stride, layer.same);
    const auto width = window(x[3], layer.kernel, layer.stride, layer.same);
    if (height.output == 0 || width.output == 0)
      return Error{Errc::invalid,
                   format("conv2d of kernel {} without padding on a {}x{} input", layer.kernel, x[2], x[3])};
    Attributes a;
    a.stride_height = a.stride_width = layer.stride;
    a.pad_top = height.before;
    a.pad_bottom = height.after;
    a.pad_left = width.before;
    a.pad_right = width.after;
    const std::string prefix = format("conv{}", ++convs_);
    std::vector<ValueId> inputs{x_};
    if (auto made = own(inputs, prefix + ".weight", {layer.filters, x[1], layer.kernel, layer.kernel},
                        TensorKind::weight, weight_init());
        !made)
      return made;
    if (layer.bias)
      if (auto made = own(inputs, prefix + ".bias", {layer.filters}, TensorKind::bias, Init::zero); !made)
        return made;
    return apply(Kind::conv2d, a, std::move(inputs));
  }

  Status batch_norm() {
    const std::int64_t channels = shape()[1];
    const std::string prefix = format("bn{}", ++norms_);
    std::vector<ValueId> inputs{x_};
    struct Entry {
      const char* suffix;
      TensorKind kind;
      Init init;
    };
    for (const Entry& entry :
         {Entry{".weight", TensorKind::bias, Init::one}, Entry{".bias", TensorKind::bias, Init::zero},
          Entry{".running_mean", TensorKind::buffer, Init::zero},
          Entry{".running_var", TensorKind::buffer, Init::one}})
      if (auto made = own(inputs, prefix + entry.suffix, {channels}, entry.kind, entry.init); !made)
        return made;
    return apply(Kind::batch_norm, {}, std::move(inputs));
  }

  Status pool(const Layer& layer) {
    if (auto image = image_needed(); !image) return image;
    const std::int64_t height = shape()[2], width = shape()[3];
    Attributes a;
    if (layer.kind == LayerKind::global_avg_pool) {
      a.kernel_height = height;
      a.kernel_width = width;
      return apply(Kind::avg_pool, a, {x_});
    }
    if (layer.size == 0) return Error{Errc::invalid, format("{} needs a size of at least 1", name())};
    if (layer.size > height || layer.size > width)
      return Error{Errc::invalid,
                   format("{} of size {} on a {}x{} input", name(), layer.size, height, width)};
    a.kernel_height = a.kernel_width = layer.size;
    a.stride_height = a.stride_width = layer.stride == 0 ? layer.size : layer.stride;
    return apply(layer.kind == LayerKind::max_pool ? Kind::max_pool : Kind::avg_pool, a, {x_});
  }

  Status flatten() {
    if (shape().rank() == 2) return {};
    Attributes a;
    a.dims = {tensor::kBatch, -shape().volume()};
    return apply(Kind::reshape, a, {x_});
  }

  Status dense(const Layer& layer) {
    if (layer.units == 0) return Error{Errc::invalid, "dense needs units of at least 1"};
    const std::int64_t features = shape().volume(1);
    const std::string prefix = format("dense{}", ++denses_);
    std::vector<ValueId> inputs{x_};
    if (auto made =
            own(inputs, prefix + ".weight", {layer.units, features}, TensorKind::weight, weight_init());
        !made)
      return made;
    if (layer.bias)
      if (auto made = own(inputs, prefix + ".bias", {layer.units}, TensorKind::bias, Init::zero); !made)
        return made;
    Attributes a;
    a.axis = 1;
    return apply(Kind::dense, a, std::move(inputs));
  }

  const config::ModelSection& section_;
  Builder builder_;
  ValueId x_ = 0;
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

Result<Model> model_of(const config::ModelSection& section, InputShape input, std::uint32_t classes,
                       std::uint32_t batch_max) {
  if (section.layers.empty()) return Error{Errc::invalid, "model.layers: there are no layers"};
  if (section.layers.size() > kLayersMax)
    return Error{Errc::invalid, format("model.layers: {} layers; at most {} are allowed",
                                       section.layers.size(), kLayersMax)};
  if (input.channels < 1 || input.height < 1 || input.width < 1)
    return Error{Errc::invalid,
                 format("the input is {}x{}x{} (channels, height, width); each has to be at least 1",
                        input.channels, input.height, input.width)};
  if (classes < 2)
    return Error{Errc::invalid, format("the data have {} classes; a classifier needs at least 2", classes)};
  if (batch_max < 1) return Error{Errc::invalid, "a batch has at least one sample"};
  return LayerBuilder(section, batch_max).run(input, classes);
}

}  // namespace trainyard::graph
