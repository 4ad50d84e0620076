// Builders of descriptor entries for the options of layers, beside fields.hpp: sides, padding, axes, lists.
// Private to common/config.
#pragma once

#include <algorithm>

#include "common/config/fields.hpp"
#include "common/config/layer_spec.hpp"

namespace trainyard::config {

/// A whole number of a list, or a problem.
inline std::optional<std::int64_t> list_number(const Node& node, const std::string& path, std::int64_t low,
                                               std::int64_t high, Problems& problems) {
  const auto value = read_scalar(node, path, "a whole number", problems,
                                 [](const std::string& text) { return parse_int(text); });
  if (!value) return std::nullopt;
  if (*value < low || *value > high) {
    problems.add(node.place, path, format("{} is outside {}..{}", *value, low, high));
    return std::nullopt;
  }
  return value;
}

/// "3" or "[3, 5]": both sides, or height and width.
inline std::optional<Sides> read_both(const Node& node, const std::string& path, std::uint32_t low,
                                      std::uint32_t high, Problems& problems) {
  if (node.kind != Node::Kind::sequence) {
    const auto both = list_number(node, path, low, high, problems);
    return both ? std::optional(Sides(static_cast<std::uint32_t>(*both))) : std::nullopt;
  }
  if (node.items.size() != 2) {
    problems.add(node.place, path,
                 format("expected a number, or [height, width]; got a list of {} items", node.items.size()));
    return std::nullopt;
  }
  const auto height = list_number(node.items[0], path, low, high, problems);
  const auto width = list_number(node.items[1], path, low, high, problems);
  if (!height || !width) return std::nullopt;
  return Sides(static_cast<std::uint32_t>(*height), static_cast<std::uint32_t>(*width));
}

inline Json show_sides(const Sides& sides) {
  if (sides.height == sides.width) return sides.height;
  return Json::array({sides.height, sides.width});
}

inline Json sides_schema(std::uint32_t low, std::uint32_t high) {
  const Json one{{"type", "integer"}, {"minimum", low}, {"maximum", high}};
  return {{"anyOf", {one, {{"type", "array"}, {"items", one}, {"minItems", 2}, {"maxItems", 2}}}}};
}

inline Field<Layer> sides(Sides Layer::*member, std::string name, std::uint32_t low, std::uint32_t high,
                          std::string doc) {
  return {name,
          doc,
          sides_schema(low, high),
          format("integer {}..{}, or [height, width]", low, high),
          false,
          [=](const Node& node, const std::string& path, Layer& out, Problems& problems) {
            if (const auto both = read_both(node, path, low, high, problems)) out.*member = *both;
          },
          [=](const Layer& layer) { return show_sides(layer.*member); },
          {}};
}

inline Field<Layer> padding_field() {
  constexpr std::uint32_t high = 4096;
  return {"padding",
          "same: the output is the input's size divided by the stride, rounded up; valid: no padding; a "
          "number: so many rows and columns on each side.",
          {{"anyOf", {{{"enum", {"same", "valid"}}}, sides_schema(0, high)}}},
          "same, valid, integer, or [height, width]",
          false,
          [](const Node& node, const std::string& path, Layer& out, Problems& problems) {
            if (node.text == "same" || node.text == "valid") {
              out.padding.mode = node.text == "same" ? Padding::Mode::same : Padding::Mode::valid;
            } else if (node.kind == Node::Kind::scalar && !parse_int(node.text)) {
              problems.add(node.place, path,
                           format("{} is not one of same, valid, a number", description(node)));
            } else if (const auto both = read_both(node, path, 0, high, problems)) {
              out.padding = {Padding::Mode::given, *both};
            }
          },
          [](const Layer& layer) {
            const Padding& padding = layer.padding;
            if (padding.mode == Padding::Mode::given) return show_sides(padding.sides);
            return Json(padding.mode == Padding::Mode::same ? "same" : "valid");
          },
          {}};
}

inline Field<Layer> axis_field(std::string doc) {
  return {"axis",
          std::move(doc),
          {{"anyOf", {{{"const", "channels"}}, {{"type", "integer"}}}}},
          "channels, or a number",
          false,
          [](const Node& node, const std::string& path, Layer& out, Problems& problems) {
            if (node.text == "channels") {
              out.axis = kChannels;
            } else if (const auto axis = list_number(node, path, -8, 8, problems)) {
              if (*axis == 0) return problems.add(node.place, path, "0 is the batch; the axes begin with 1");
              out.axis = *axis;
            }
          },
          [](const Layer& layer) { return layer.axis == kChannels ? Json("channels") : Json(layer.axis); },
          {}};
}

template <typename T, typename V>
Field<T> whole_numbers(std::vector<V> T::*member, std::string name, std::int64_t low, std::int64_t high,
                       std::string doc) {
  constexpr std::size_t items_max = 64;
  return {name,
          doc,
          {{"type", "array"},
           {"minItems", 1},
           {"maxItems", items_max},
           {"items", {{"type", "integer"}, {"minimum", low}, {"maximum", high}}}},
          format("list of integers {}..{}", low, high),
          false,
          [=](const Node& node, const std::string& path, T& out, Problems& problems) {
            if (node.kind != Node::Kind::sequence || node.items.empty() || node.items.size() > items_max)
              return problems.add(
                  node.place, path,
                  format("expected a list of 1..{} whole numbers, got {}", items_max,
                         node.kind == Node::Kind::sequence ? format("{} items", node.items.size())
                                                           : description(node)));
            (out.*member).clear();
            for (const Node& item : node.items)
              if (const auto value = list_number(item, path, low, high, problems))
                (out.*member).push_back(static_cast<V>(*value));
          },
          [=](const T& value) { return Json(value.*member); },
          {}};
}

/// One number, [height, width] or [top, bottom, left, right].
inline Field<Layer> edges_field() {
  constexpr std::int64_t high = 4096;
  return {"padding",
          "Rows and columns of zeros on each side.",
          {{"anyOf", {sides_schema(0, high), {{"type", "array"}, {"minItems", 4}, {"maxItems", 4}}}}},
          "integer, [height, width], or [top, bottom, left, right]",
          false,
          [](const Node& node, const std::string& path, Layer& out, Problems& problems) {
            if (node.kind != Node::Kind::sequence || node.items.size() != 4) {
              if (const auto both = read_both(node, path, 0, high, problems))
                out.edges = {both->height, both->height, both->width, both->width};
              return;
            }
            for (std::size_t i = 0; i < 4; ++i)
              if (const auto value = list_number(node.items[i], path, 0, high, problems))
                out.edges[i] = static_cast<std::uint32_t>(*value);
          },
          [](const Layer& layer) { return Json(layer.edges); },
          {}};
}

template <typename T>
Field<T> activation(Activation T::*member, std::string name, bool none, std::string doc) {
  std::vector<std::pair<std::string, Activation>> values{
      {"relu", Activation::relu},       {"relu6", Activation::relu6}, {"gelu", Activation::gelu},
      {"silu", Activation::silu},       {"elu", Activation::elu},     {"leaky_relu", Activation::leaky_relu},
      {"sigmoid", Activation::sigmoid}, {"tanh", Activation::tanh}};
  if (none) values.insert(values.begin(), {"none", Activation::none});
  return choice(member, std::move(name), std::move(values), {}, std::move(doc));
}

}  // namespace trainyard::config
