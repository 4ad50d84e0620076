// Reading, printing and describing layers, from the table of their kinds.
#include <algorithm>
#include <cctype>

#include "common/config/fields.hpp"
#include "common/config/layer_kinds.hpp"
#include "common/config/one_key.hpp"
#include "common/config/tables.hpp"

namespace trainyard::config {
namespace {

/// What PyTorch and Keras call layers that have another name here; in lower case, without "_", "1d" and "2d".
constexpr std::pair<const char*, LayerKind> foreign_names[] = {
    {"linear", LayerKind::dense},
    {"conv", LayerKind::conv2d},
    {"convtranspose", LayerKind::conv2d_transpose},
    {"depthwiseconv", LayerKind::depthwise_conv2d},
    {"batchnormalization", LayerKind::batch_norm},
    {"layernormalization", LayerKind::layer_norm},
    {"groupnormalization", LayerKind::group_norm},
    {"localresponsenorm", LayerKind::lrn},
    {"maxpooling", LayerKind::max_pool},
    {"averagepooling", LayerKind::avg_pool},
    {"globalaveragepooling", LayerKind::global_avg_pool},
    {"globalmaxpooling", LayerKind::global_max_pool},
    {"adaptiveavgpool", LayerKind::adaptive_avg_pool},
    {"swish", LayerKind::silu},
    {"zeropadding", LayerKind::zero_pad},
    {"upsampling", LayerKind::upsample},
    {"multiheadattention", LayerKind::multi_head_attention},
    {"transformerencoderlayer", LayerKind::transformer_encoder},
    {"concatenate", LayerKind::concat},
    {"cat", LayerKind::concat},
};

/// In lower case, without "_" and without the number of dimensions.
std::string bare(const std::string& name) {
  std::string out;
  for (const char c : name)
    if (c != '_') out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (out.size() > 2 && (out.ends_with("1d") || out.ends_with("2d"))) out.resize(out.size() - 2);
  return out;
}

std::optional<std::string> meant(const std::string& name) {
  const std::string word = bare(name);
  for (const LayerInfo& info : layer_infos())
    if (bare(info.name) == word) return info.name;
  for (const auto& [foreign, kind] : foreign_names)
    if (word == foreign) return layer_info(kind).name;
  return nearest(name, layer_names());
}

std::string accept_name(const std::string& text) {
  const bool good = !text.empty() && text.size() <= 63 && text.find('.') == std::string::npos &&
                    std::all_of(text.begin(), text.end(),
                                [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-'; });
  if (!good) return format("'{}' is not a name: letters, digits, '_' and '-', at most 63", shortened(text));
  if (text == kInputName) return "'input' is the name of the model's input; take another";
  return "";
}

Field<Layer> from_field() {
  const Json one{{"type", "string"}};
  return {"from",
          "What it takes: the name of a layer in front of it, or several; input is the model's input. Unless "
          "given, the layer before.",
          {{"anyOf", {one, {{"type", "array"}, {"items", one}, {"minItems", 1}}}}},
          "name, or list of names",
          false,
          [](const Node& node, const std::string& path, Layer& out, Problems& problems) {
            std::vector<const Node*> nodes;
            if (node.kind == Node::Kind::scalar) nodes.push_back(&node);
            for (const Node& item : node.items) nodes.push_back(&item);
            if (nodes.empty())
              return problems.add(node.place, path,
                                  format("expected a name, or a list of names, got {}", description(node)));
            for (const Node* name : nodes) {
              if (name->kind == Node::Kind::scalar)
                out.from.push_back(name->text);
              else
                problems.add(name->place, path, format("expected a name, got {}", description(*name)));
            }
          },
          [](const Layer& layer) {
            if (layer.from.empty()) return Json();
            return layer.from.size() == 1 ? Json(layer.from[0]) : Json(layer.from);
          },
          {}};
}

/// A printed job still says where its layers stood in the file that a person wrote.
Field<Layer> place_field() {
  Field<Layer> field{"place",
                     "Line and column in the file of the job.",
                     {{"type", "string"}},
                     "LINE:COLUMN",
                     false,
                     [](const Node& node, const std::string& path, Layer& out, Problems& problems) {
                       const auto parts = split(node.text, ':');
                       const auto line = parts.size() == 2 ? parse_int(parts[0]) : std::nullopt;
                       const auto column = parts.size() == 2 ? parse_int(parts[1]) : std::nullopt;
                       constexpr std::int64_t most = 1 << 24;
                       if (!line || !column || *line < 1 || *line > most || *column < 1 || *column > most)
                         return problems.add(node.place, path, "expected LINE:COLUMN");
                       out.line = static_cast<int>(*line);
                       out.column = static_cast<int>(*column);
                     },
                     [](const Layer& layer) {
                       if (layer.line == 0 || layer.origin >= 0) return Json();
                       return Json(format("{}:{}", layer.line, layer.column));
                     },
                     {}};
  field.hidden = true;
  return field;
}

void read_layer(const Node& node, const std::string& path, std::vector<Layer>& out, Problems& problems) {
  const auto named = one_key(node, path, "{conv2d: {filters: 32, kernel: 3}}", problems);
  if (!named) return;
  for (const LayerInfo& info : layer_infos()) {
    if (info.name != named->name) continue;
    Layer layer = info.defaults;
    layer.line = node.place.line;
    layer.column = node.place.column;
    layer.origin = node.place.origin;
    Node none;
    none.place = named->place;
    read_section(named->options ? *named->options : none, child_path(path, info.name), info.table, layer,
                 problems);
    out.push_back(std::move(layer));
    return;
  }
  const auto hint = meant(named->name);
  problems.add(named->place, path,
               format("unknown layer '{}'; {}", shortened(named->name),
                      hint ? format("did you mean '{}'?", *hint) : "known: " + join(layer_names(), ", ")));
}

}  // namespace

Table<Layer> common_options() {
  Field<Layer> name =
      text(&Layer::name, "name", "For `from` of other layers, and for its tensors.", accept_name);
  name.show = [](const Layer& layer) { return layer.name.empty() ? Json() : Json(layer.name); };
  return {name, from_field(), place_field()};
}

void read_layers(const Node& node, const std::string& path, std::vector<Layer>& out, Problems& problems) {
  if (node.kind != Node::Kind::sequence)
    return problems.add(node.place, path, format("expected a list of layers, got {}", description(node)));
  out.clear();
  for (std::size_t i = 0; i < node.items.size(); ++i)
    read_layer(node.items[i], format("{}[{}]", path, i), out, problems);
}

Json show_layers(const std::vector<Layer>& layers) {
  Json out = Json::array();
  for (const Layer& layer : layers) {
    const LayerInfo& info = layer_info(layer.kind);
    out.push_back(Json{{info.name, show_section(info.table, layer)}});
  }
  return out;
}

Json layers_schema() {
  Json properties = Json::object();
  for (const LayerInfo& info : layer_infos()) {
    Json one = section_schema(info.table, info.defaults);
    one["description"] = info.doc;
    properties[info.name] = std::move(one);
  }
  Json map = schema_of_object(properties, {});
  map["minProperties"] = map["maxProperties"] = 1;
  return {{"type", "array"}, {"items", {{"anyOf", {map, {{"enum", layer_names()}}}}}}};
}

Field<ModelSection> layers_field() {
  return {"layers",
          "The network, layer by layer; see Layers below.",
          {{"$ref", "#/$defs/layers"}},
          "list of layers",
          false,
          [](const Node& node, const std::string& path, ModelSection& out, Problems& problems) {
            const std::size_t before = problems.size();
            read_layers(node, path, out.layers, problems);
            if (problems.size() > before) return;
            if (out.layers.empty()) problems.add(node.place, path, "a network needs at least one layer");
            check_wiring(out.layers, path, problems);
          },
          [](const ModelSection& model) { return model.layers.empty() ? Json() : show_layers(model.layers); },
          {}};
}

std::string layers_page() {
  std::string out =
      "\n## Layers\n\nEach entry of `model.layers` is the name of a layer with its options. Images are "
      "[N, channels, height, width], sequences [N, steps, features]. Every layer has the options `name` and "
      "`from` of the first table.\n\n| option | value | default | meaning |\n|---|---|---|---|\n";
  section_page(common_options(), "", out);
  for (const LayerInfo& info : layer_infos()) {
    out += format("\n### {}\n{}\n", info.name, info.doc);
    if (info.options.empty()) continue;
    out += "\n| option | value | default | meaning |\n|---|---|---|---|\n";
    section_page(info.options, "", out, info.defaults);
  }
  return out;
}

}  // namespace trainyard::config
