#include "common/graph/presets.hpp"

#include "common/base/text.hpp"
#include "common/config/presets.hpp"
#include "common/graph/presets/parts.hpp"

namespace trainyard::graph {
namespace {

struct Entry {
  const char* name;
  std::vector<ValueId> (*build)(Draft&);
};
constexpr Entry entries[] = {
    {"mlp", mlp},
    {"lenet5", lenet5},
    {"alexnet", alexnet},
    {"vgg16", vgg16},
    {"inception_v3", inception_v3},
    {"resnet18", resnet18},
    {"resnet20", resnet20},
    {"resnet50", resnet50},
    {"mobilenet_v2", mobilenet_v2},
    {"squeezenet_1_1", squeezenet_1_1},
    {"text_cnn", text_cnn},
    {"fasttext", fasttext},
    {"bilstm", bilstm},
    {"bilstm_crf", bilstm_crf},
    {"transformer_encoder", transformer_encoder},
    {"wide_deep", wide_deep},
    {"deepfm", deepfm},
};

Status check_data(config::PresetInput input, const DataShape& data) {
  if (data.classes < 2)
    return Error{Errc::invalid, format("the data have {} classes; at least 2 are needed", data.classes)};
  switch (input) {
    case config::PresetInput::image:
      if (data.image.channels < 1 || data.image.height < 1 || data.image.width < 1)
        return Error{Errc::invalid, "needs images, and the data give none"};
      return {};
    case config::PresetInput::text:
      if (data.steps < 1 || data.vocabulary < 1)
        return Error{Errc::invalid, "needs text: the number of steps and the size of the vocabulary"};
      return {};
    case config::PresetInput::table:
      if (data.numbers < 0 || data.categories < 0 || data.numbers + data.categories < 1)
        return Error{Errc::invalid, "needs a table with at least one column"};
      if (data.categories > 0 && data.vocabulary < 1)
        return Error{Errc::invalid, "needs the number of different categories"};
      return {};
  }
  return {};
}

}  // namespace

Result<PresetModel> preset_model(const std::string& name, const config::PresetOptions& options,
                                 const DataShape& data, std::uint32_t batch_max) {
  const std::string place = "model.preset " + name;
  const config::PresetInfo* info = config::find_preset(name);
  if (info == nullptr) return Error{Errc::invalid, format("there is no preset '{}'", name)};
  if (const Status fits = check_data(info->input, data); !fits) return fits.error().with(place);
  for (const Entry& entry : entries) {
    if (name != entry.name) continue;
    Composer net(batch_max);
    net.name_parts(place);
    PresetModel made;
    Draft draft{net, options, data, made.loss};
    std::vector<ValueId> results = entry.build(draft);
    auto model = std::move(net).finish(std::move(results));
    if (!model) return model.error();
    made.model = std::move(*model);
    return made;
  }
  check(false, "every preset of the table has its builder");
  return Error{};
}

ValueId conv_norm(Composer& net, ValueId x, const std::string& name, Convolution c, const ConvNorm& n) {
  c.bias = false;
  return net.batch_norm(net.conv2d(x, name + n.conv, c), name + n.norm, n.batch_norm);
}

ValueId dense_stack(Composer& net, ValueId x, const std::string& prefix, const PresetOptions& options) {
  for (std::size_t i = 0; i < options.hidden.size(); ++i) {
    x = net.dense(x, prefix + std::to_string(i), {.units = options.hidden[i]});
    x = net.activate(options.activation, x);
    if (options.dropout > 0) x = net.dropout(x, options.dropout);
  }
  return x;
}

std::int64_t scaled_channels(double channels) {
  const std::int64_t rounded = std::max<std::int64_t>(8, static_cast<std::int64_t>(channels + 4) / 8 * 8);
  return static_cast<double>(rounded) < 0.9 * channels ? rounded + 8 : rounded;
}

}  // namespace trainyard::graph
