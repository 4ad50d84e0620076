#include <algorithm>
#include <tuple>

#include "common/config/layer_fields.hpp"
#include "common/config/presets.hpp"
#include "common/config/tables.hpp"

namespace trainyard::config {
namespace {

using M = ModelSection;
using O = PresetOptions;

/// Every option that some preset has, as options of PresetOptions.
const Table<O>& options_table() {
  static const Table<O> table{
      whole_numbers(&O::hidden, "hidden", 1, 65536, "Units of the dense layers before the last."),
      whole_numbers(&O::kernels, "kernels", 1, 64, "Tokens that a window sees, one number a size."),
      activation(&O::activation, "activation", false, "Between the layers."),
      number(&O::dropout, "dropout", 0, 0.99, "Share of the values set to zero in training."),
      number(&O::width, "width", 0.1, 4, "Share of the channels."),
      integer(&O::units, "units", 1, 65536, "Size of a recurrent state, of each direction."),
      integer(&O::filters, "filters", 1, 65536, "Windows of each size."),
      integer(&O::embedding, "embedding", 1, 65536, "Numbers a token or a category."),
      integer(&O::depth, "depth", 1, 256, "Layers above each other."),
      integer(&O::heads, "heads", 1, 1024, "Heads of the attention; they divide the embedding."),
      integer(&O::feedforward, "feedforward", 1, 65536, "Width between the dense layers of a block."),
      flag(&O::norm_first, "norm_first", "Whether layer_norm comes before each part, not behind it."),
      flag(&O::batch_norm, "batch_norm", "Whether each convolution has a batch_norm."),
      flag(&O::zero_init, "zero_init", "Whether the last scale of a residual block begins at 0."),
  };
  return table;
}

std::vector<PresetInfo> image_presets() {
  constexpr auto image = PresetInput::image;
  return {
      {"mlp",
       "Dense layers on the values of an image.",
       image,
       {"hidden", "activation", "dropout"},
       {.hidden = {256, 128}}},
      {"lenet5",
       "LeNet-5 (LeCun and others, 1998) for small images of one or more channels.",
       image,
       {"activation"},
       {.activation = Activation::tanh}},
      {"alexnet",
       "AlexNet in one column (Krizhevsky, 2014), as in torchvision.",
       image,
       {"hidden", "dropout"},
       {.hidden = {4096, 4096}, .dropout = 0.5}},
      {"vgg16",
       "VGG-16 (Simonyan and Zisserman, 2015), as in torchvision.",
       image,
       {"hidden", "dropout", "batch_norm"},
       {.hidden = {4096, 4096}, .dropout = 0.5}},
      {"inception_v3",
       "Inception-v3 without its second head (Szegedy and others, 2016), as in torchvision; images from 75 "
       "pixels on, made for 299.",
       image,
       {"dropout"},
       {.dropout = 0.5}},
      {"resnet18", "ResNet-18 (He and others, 2016), as in torchvision.", image, {"zero_init"}, {}},
      {"resnet20",
       "ResNet-20 for images of 32 pixels (He and others, 2016, section 4.2), with projections.",
       image,
       {"zero_init"},
       {}},
      {"resnet50",
       "ResNet-50 (He and others, 2016), the stride in the 3x3 convolution, as in torchvision.",
       image,
       {"zero_init"},
       {}},
      {"mobilenet_v2",
       "MobileNetV2 (Sandler and others, 2018), as in torchvision.",
       image,
       {"width", "dropout"},
       {.dropout = 0.2}},
      {"squeezenet_1_1",
       "SqueezeNet 1.1 (Iandola and others, 2016), as in torchvision.",
       image,
       {"dropout"},
       {.dropout = 0.5}},
  };
}

std::vector<PresetInfo> other_presets() {
  constexpr auto text = PresetInput::text, table = PresetInput::table;
  return {
      {"text_cnn",
       "Convolutions over a text and their largest answers (Kim, 2014).",
       text,
       {"embedding", "kernels", "filters", "dropout"},
       {.kernels = {3, 4, 5}, .dropout = 0.5, .filters = 100, .embedding = 128}},
      {"fasttext",
       "Mean of the tokens' rows and a dense layer (Joulin and others, 2017).",
       text,
       {"embedding"},
       {.embedding = 100}},
      {"bilstm",
       "Bidirectional LSTM over a text; its last states give the class.",
       text,
       {"embedding", "units", "depth", "dropout"},
       {.dropout = 0.5, .units = 128, .embedding = 100, .depth = 1}},
      {"bilstm_crf",
       "A tag for each token: bidirectional LSTM and a conditional random field (Lample and others, 2016).",
       text,
       {"embedding", "units", "depth", "dropout"},
       {.dropout = 0.5, .units = 100, .embedding = 100, .depth = 1}},
      {"transformer_encoder",
       "Self-attention over a text (Vaswani and others, 2017); the mean of its steps gives the class.",
       text,
       {"embedding", "depth", "heads", "feedforward", "activation", "norm_first", "dropout"},
       {.activation = Activation::relu,
        .dropout = 0.1,
        .embedding = 128,
        .depth = 2,
        .heads = 4,
        .feedforward = 512}},
      {"wide_deep",
       "A linear part and a deep one over columns (Cheng and others, 2016).",
       table,
       {"embedding", "hidden", "activation", "dropout"},
       {.hidden = {256, 128, 64}, .embedding = 16}},
      {"deepfm",
       "A factorization machine and a deep part that share their rows (Guo and others, 2017).",
       table,
       {"embedding", "hidden", "activation", "dropout"},
       {.hidden = {256, 128, 64}, .embedding = 16}},
  };
}

/// The data that a preset was made for.
std::pair<std::string, std::uint32_t> usual_data(const PresetInfo& info) {
  if (info.name == "mlp" || info.name == "lenet5") return {"1x28x28", 10};
  if (info.name == "resnet20") return {"3x32x32", 10};
  if (info.name == "inception_v3") return {"3x299x299", 1000};
  if (info.input == PresetInput::image) return {"3x224x224", 1000};
  if (info.input == PresetInput::table) return {"13+26", 2};
  return {"64", info.name == "bilstm_crf" ? 9 : 2};
}

bool has(const PresetInfo& info, const std::string& option) {
  return std::find(info.options.begin(), info.options.end(), option) != info.options.end();
}

/// " Of mlp [256, 128], alexnet [4096, 4096]."
std::string users_of(const Field<O>& field) {
  std::vector<std::string> parts;
  for (const PresetInfo& info : preset_infos()) {
    if (!has(info, field.name)) continue;
    const Json value = field.show(info.defaults);
    parts.push_back(
        format("{} ({})", info.name, value.is_string() ? value.get<std::string>() : to_text(value)));
  }
  return format(" Of {}.", join(parts, ", "));
}

Field<M> option_field(const Field<O>& field) {
  return {field.name,
          field.doc + users_of(field),
          field.schema,
          field.type,
          false,
          [field](const Node& node, const std::string& path, M& out, Problems& problems) {
            const PresetInfo* preset = find_preset(out.preset);
            if (preset != nullptr && has(*preset, field.name))
              return field.read(node, path, out.options, problems);
            if (out.preset.empty())
              problems.add(node.place, path, "is an option of presets, and there is no preset");
            else if (preset != nullptr)
              problems.add(
                  node.place, path,
                  format("is no option of preset {}; it has {}", preset->name, join(preset->options, ", ")));
          },
          [field](const M& model) {
            const PresetInfo* preset = find_preset(model.preset);
            return preset != nullptr && has(*preset, field.name) ? field.show(model.options) : Json();
          },
          {}};
}

}  // namespace

const std::vector<PresetInfo>& preset_infos() {
  static const std::vector<PresetInfo> infos = [] {
    std::vector<PresetInfo> all = image_presets();
    for (PresetInfo& info : other_presets()) all.push_back(std::move(info));
    for (PresetInfo& info : all) std::tie(info.usual_input, info.usual_classes) = usual_data(info);
    return all;
  }();
  return infos;
}

const PresetInfo* find_preset(const std::string& name) {
  for (const PresetInfo& info : preset_infos())
    if (info.name == name) return &info;
  return nullptr;
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const PresetInfo& info : preset_infos()) names.push_back(info.name);
  return names;
}

const char* input_name(PresetInput input) {
  switch (input) {
    case PresetInput::image:
      return "images";
    case PresetInput::text:
      return "text";
    case PresetInput::table:
      return "tables";
  }
  return "?";
}

Table<ModelSection> preset_fields() {
  Field<M> preset = {"preset",
                     "A network by name, in the place of layers; see Presets below.",
                     {{"enum", preset_names()}},
                     "name",
                     false,
                     [](const Node& node, const std::string& path, M& out, Problems& problems) {
                       if (const PresetInfo* info = find_preset(node.text)) {
                         out.preset = info->name;
                         out.options = info->defaults;
                         return;
                       }
                       out.preset = "?";  // so that its options are not blamed as well
                       const auto hint = nearest(node.text, preset_names());
                       problems.add(
                           node.place, path,
                           format("{} is not one of {}{}", description(node), join(preset_names(), ", "),
                                  hint ? format("; did you mean '{}'?", *hint) : ""));
                     },
                     [](const M& model) { return model.preset.empty() ? Json() : Json(model.preset); },
                     {}};
  Table<M> table{preset};
  for (const Field<O>& field : options_table()) table.push_back(option_field(field));
  return table;
}

void check_model(const Node& root, const JobSpec& spec, Problems& problems) {
  const ModelSection& model = spec.model;
  const auto at = [&](const std::string& path, const std::string& message) {
    problems.add(nearest_node(root, path).place, path, message);
  };
  const int given = !model.layers.empty() + !model.preset.empty() + !model.onnx.empty();
  if (given == 0) at("model", "needs layers, a preset or an onnx file");
  if (given > 1)
    at(model.preset.empty() ? "model.onnx" : "model.preset",
       "the model is layers, a preset or an onnx file, one of them");
  if (model.onnx.empty() && model.head != kHeadAuto)
    at("model.head", "is an option of onnx, and there is no onnx file");
  const PresetInfo* preset = find_preset(model.preset);
  if (preset == nullptr || preset->input == PresetInput::image) return;
  std::vector<std::string> fitting;
  for (const PresetInfo& info : preset_infos())
    if (info.input == PresetInput::image) fitting.push_back(info.name);
  at("model.preset", format("{} reads {}, and data sources of this release give images; of images are {}",
                            preset->name, input_name(preset->input), join(fitting, ", ")));
}

std::string presets_page() {
  std::string out =
      "\n## Presets\n\n`model: {preset: NAME}` with the options that the preset has; the number of classes "
      "comes from the data.\n\n| preset | reads | options | what it is |\n|---|---|---|---|\n";
  for (const PresetInfo& info : preset_infos()) {
    std::vector<std::string> options;
    for (const Field<O>& field : options_table()) {
      if (!has(info, field.name)) continue;
      const Json value = field.show(info.defaults);
      options.push_back(
          format("`{}: {}`", field.name, value.is_string() ? value.get<std::string>() : to_text(value)));
    }
    out +=
        format("| `{}` | {} | {} | {} |\n", info.name, input_name(info.input), join(options, ", "), info.doc);
  }
  return out;
}

}  // namespace trainyard::config
