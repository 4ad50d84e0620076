#include <array>

#include "common/config/fields.hpp"
#include "common/config/lists.hpp"
#include "common/config/one_key.hpp"
#include "common/config/tables.hpp"

namespace trainyard::config {

namespace {

using Kind = Transform::Kind;
constexpr std::array imagenet_mean{0.485f, 0.456f, 0.406f}, imagenet_deviation{0.229f, 0.224f, 0.225f};
constexpr float mnist_mean = 0.1307f, mnist_deviation = 0.3081f;

/// "64" or "[height, width]".
bool read_sides(const Node& node, const std::string& path, Transform& out, Problems& problems) {
  std::vector<const Node*> nodes;
  if (node.kind == Node::Kind::scalar) nodes = {&node, &node};
  if (node.kind == Node::Kind::sequence && node.items.size() == 2) nodes = {&node.items[0], &node.items[1]};
  if (nodes.empty()) {
    problems.add(node.place, path, format("expected [height, width] in pixels, got {}", description(node)));
    return false;
  }
  std::array<std::uint32_t, 2> sides{};
  for (std::size_t i = 0; i < 2; ++i) {
    const auto value = parse_uint(nodes[i]->text);
    if (nodes[i]->kind != Node::Kind::scalar || !value || *value < 1 || *value > 8192) {
      problems.add(nodes[i]->place, path,
                   format("{} is not a side of 1..8192 pixels", description(*nodes[i])));
      return false;
    }
    sides[i] = static_cast<std::uint32_t>(*value);
  }
  out.height = sides[0];
  out.width = sides[1];
  return true;
}

void read_crop(const Node& node, const std::string& path, Transform& out, Problems& problems) {
  if (node.kind != Node::Kind::map) {
    read_sides(node, path, out, problems);
    return;
  }
  const Table<Transform> table{
      required(Field<Transform>{
          "size",
          "[height, width] of the output.",
          Json::object(),
          "pixels",
          false,
          [](const Node& n, const std::string& p, Transform& t, Problems& all) { read_sides(n, p, t, all); },
          {},
          {}}),
      number(&Transform::scale_min, "scale", 0.01, 1.0, "Smallest part of the area that is kept."),
  };
  read_section(node, path, table, out, problems);
}

void read_numbers(const Node& node, const std::string& path, std::vector<float>& out, Problems& problems) {
  if (node.kind != Node::Kind::sequence || node.items.empty() || node.items.size() > 16)
    return problems.add(node.place, path,
                        format("expected a list of numbers, one a channel, got {}", description(node)));
  for (const Node& item : node.items) {
    const auto value = item.kind == Node::Kind::scalar ? parse_double(item.text) : std::nullopt;
    if (!value) return problems.add(item.place, path, format("expected a number, got {}", description(item)));
    out.push_back(static_cast<float>(*value));
  }
}

void read_normalize(const Node& node, const std::string& path, Transform& out, Problems& problems) {
  if (node.kind == Node::Kind::scalar && node.text == "imagenet") {
    out.mean.assign(imagenet_mean.begin(), imagenet_mean.end());
    out.deviation.assign(imagenet_deviation.begin(), imagenet_deviation.end());
  } else if (node.kind == Node::Kind::scalar && node.text == "mnist") {
    out.mean = {mnist_mean};
    out.deviation = {mnist_deviation};
  } else if (node.kind == Node::Kind::map) {
    const auto list = [](std::vector<float> Transform::*member, const char* name, const char* doc) {
      return required(Field<Transform>{name,
                                       doc,
                                       Json::object(),
                                       "list of numbers",
                                       false,
                                       [=](const Node& n, const std::string& p, Transform& t, Problems& all) {
                                         read_numbers(n, p, t.*member, all);
                                       },
                                       {},
                                       {}});
    };
    read_section(node, path,
                 Table<Transform>{list(&Transform::mean, "mean", "Of each channel, on values of 0..1."),
                                  list(&Transform::deviation, "deviation", "Of each channel.")},
                 out, problems);
    for (const float value : out.deviation) {
      if (value <= 0) problems.add(node.place, path, "a deviation must be above 0");
    }
  } else {
    problems.add(
        node.place, path,
        format("expected imagenet, mnist or {{mean: [...], deviation: [...]}}, got {}", description(node)));
  }
}

void read_transform(const Node& node, const std::string& path, std::vector<Transform>& out,
                    Problems& problems) {
  const auto named = one_key(node, path, "{resize: [64, 64]}", problems);
  if (!named) return;
  Node none;
  none.place = named->place;
  const Node& options = named->options ? *named->options : none;
  const std::string inner = child_path(path, named->name);
  Transform transform;
  if (named->name == "resize") {
    transform.kind = Kind::resize;
    read_sides(options, inner, transform, problems);
  } else if (named->name == "crop") {
    transform.kind = Kind::crop;
    read_crop(options, inner, transform, problems);
  } else if (named->name == "flip") {
    transform.kind = Kind::flip;
    if (options.text != "horizontal")
      problems.add(options.place, inner, format("expected horizontal, got {}", description(options)));
  } else if (named->name == "normalize") {
    transform.kind = Kind::normalize;
    read_normalize(options, inner, transform, problems);
  } else {
    const std::vector<std::string> names{"resize", "crop", "flip", "normalize"};
    const auto hint = nearest(named->name, names);
    return problems.add(named->place, path,
                        format("unknown transform '{}'; {}", shortened(named->name),
                               hint ? format("did you mean '{}'?", *hint) : "known: " + join(names, ", ")));
  }
  out.push_back(transform);
}

Json show_transform(const Transform& transform) {
  const Json sides = Json::array({transform.height, transform.width});
  switch (transform.kind) {
    case Kind::resize:
      return {{"resize", sides}};
    case Kind::crop:
      return {{"crop", {{"size", sides}, {"scale", transform.scale_min}}}};
    case Kind::flip:
      return {{"flip", "horizontal"}};
    case Kind::normalize:
      return {{"normalize", {{"mean", transform.mean}, {"deviation", transform.deviation}}}};
  }
  return {};
}

}  // namespace

Field<DataSection> transform_field() {
  return list_field(
      &DataSection::transform, "transform",
      "Applied in order: resize, crop, flip, normalize. Random ones act on the training split alone.",
      "list of transforms", Json{{"type", "array"}}, read_transform, show_transform);
}

}  // namespace trainyard::config
