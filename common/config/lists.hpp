// Builders of descriptor entries whose value is a list; the single values are in fields.hpp.
#pragma once

#include <array>

#include "common/config/fields.hpp"

namespace trainyard::config {

/// A list, each item read by `read` and shown by `show`.
template <typename T, typename Item>
Field<T> list_field(std::vector<Item> T::*member, std::string name, std::string doc, std::string type,
                    Json schema, void (*read)(const Node&, const std::string&, std::vector<Item>&, Problems&),
                    Json (*show)(const Item&)) {
  return {name,
          doc,
          std::move(schema),
          type,
          false,
          [=](const Node& node, const std::string& path, T& out, Problems& problems) {
            if (node.kind != Node::Kind::sequence)
              return problems.add(node.place, path, format("expected a list, got {}", description(node)));
            (out.*member).clear();
            for (std::size_t i = 0; i < node.items.size(); ++i)
              read(node.items[i], format("{}[{}]", path, i), out.*member, problems);
          },
          [=](const T& value) {
            Json out = Json::array();
            for (const Item& item : value.*member) out.push_back(show(item));
            return out;
          },
          {}};
}

/// A list of texts; `accept` gives the reason why one will not do, or an empty one.
template <typename T>
Field<T> texts(std::vector<std::string> T::*member, std::string name, std::string doc, std::string type,
               std::string (*accept)(const std::string&)) {
  Field<T> field = list_field<T, std::string>(member, std::move(name), std::move(doc), std::move(type),
                                              {{"type", "array"}, {"items", {{"type", "string"}}}}, {},
                                              [](const std::string& item) { return Json(item); });
  field.read = [=](const Node& node, const std::string& path, T& out, Problems& problems) {
    if (node.kind != Node::Kind::sequence)
      return problems.add(node.place, path, format("expected a list, got {}", description(node)));
    (out.*member).clear();
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      const Node& item = node.items[i];
      const std::string reason =
          item.kind == Node::Kind::scalar ? accept(item.text) : "expected text, got " + description(item);
      if (!reason.empty()) problems.add(item.place, format("{}[{}]", path, i), reason);
      (out.*member).push_back(item.text);
    }
  };
  return field;
}

/// A list of whole numbers from `low` on, each above the one before.
template <typename T>
Field<T> rising(std::vector<std::uint64_t> T::*member, std::string name, std::uint64_t low,
                std::uint64_t high, std::string doc) {
  return {name,
          doc,
          {{"type", "array"}, {"items", {{"type", "integer"}, {"minimum", low}, {"maximum", high}}}},
          "rising whole numbers",
          false,
          [=](const Node& node, const std::string& path, T& out, Problems& problems) {
            if (node.kind != Node::Kind::sequence)
              return problems.add(node.place, path,
                                  format("expected a list of whole numbers, got {}", description(node)));
            (out.*member).clear();
            for (const Node& item : node.items) {
              const auto value = read_scalar(item, path, "a whole number", problems,
                                             [](const std::string& text) { return parse_uint(text); });
              if (!value) continue;
              if (*value < low || *value > high) {
                problems.add(item.place, path, format("{} is outside {}..{}", *value, low, high));
              } else if (!(out.*member).empty() && *value <= (out.*member).back()) {
                problems.add(item.place, path,
                             format("{} does not lie above {}", *value, (out.*member).back()));
              } else {
                (out.*member).push_back(*value);
              }
            }
          },
          [=](const T& value) { return (value.*member).empty() ? Json() : Json(value.*member); },
          {}};
}

/// Two numbers, as "[0.9, 0.999]".
template <typename T>
Field<T> two_numbers(std::array<double, 2> T::*member, std::string name, double low, double high,
                     std::string doc) {
  return {name,
          doc,
          {{"type", "array"},
           {"minItems", 2},
           {"maxItems", 2},
           {"items", {{"type", "number"}, {"minimum", low}, {"maximum", high}}}},
          format("two numbers {}..{}", low, high),
          false,
          [=](const Node& node, const std::string& path, T& out, Problems& problems) {
            if (node.kind != Node::Kind::sequence || node.items.size() != 2)
              return problems.add(node.place, path,
                                  format("expected a list of two numbers, got {}", description(node)));
            for (std::size_t i = 0; i < 2; ++i) {
              const auto value = read_scalar(node.items[i], path, "a number", problems,
                                             [](const std::string& text) { return parse_double(text); });
              if (!value) continue;
              if (*value < low || *value > high)
                problems.add(node.items[i].place, path, format("{} is outside {}..{}", *value, low, high));
              else
                (out.*member)[i] = *value;
            }
          },
          [=](const T& value) { return Json(value.*member); },
          {}};
}

}  // namespace trainyard::config
