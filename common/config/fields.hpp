// Builders of descriptor entries: integer, number, text, flag, size, duration, choice, section, labels, and
// the options that are known but not of this release.
#pragma once

#include <cmath>
#include <map>
#include <type_traits>
#include <utility>

#include "common/base/text.hpp"
#include "common/config/schema.hpp"

namespace trainyard::config {

/// Reads a scalar by `parse` (optional-like), or says what was expected.
template <typename Parse>
auto read_scalar(const Node& node, const std::string& path, const std::string& expected, Problems& problems,
                 Parse parse) -> decltype(parse(node.text)) {
  if (node.kind == Node::Kind::scalar && !node.quoted) {
    if (auto value = parse(node.text)) return value;
  }
  problems.add(node.place, path, format("expected {}, got {}", expected, description(node)));
  return std::nullopt;
}

template <typename T, typename V>
Field<T> integer(V T::*member, std::string name, std::uint64_t low, std::uint64_t high, std::string doc) {
  const std::string type = format("integer {}..{}", low, high);
  return {name,
          doc,
          {{"type", "integer"}, {"minimum", low}, {"maximum", high}},
          type,
          false,
          [=](const Node& node, const std::string& path, T& out, Problems& problems) {
            const auto value = read_scalar(node, path, "a whole number", problems,
                                           [](const std::string& text) { return parse_int(text); });
            if (!value) return;
            if (*value < 0 || static_cast<std::uint64_t>(*value) < low ||
                static_cast<std::uint64_t>(*value) > high)
              return problems.add(node.place, path, format("{} is outside {}..{}", *value, low, high));
            out.*member = static_cast<V>(*value);
          },
          [=](const T& value) { return Json(value.*member); },
          {}};
}

template <typename T, typename V>
Field<T> number(V T::*member, std::string name, double low, double high, std::string doc) {
  return {name,
          doc,
          {{"type", "number"}, {"minimum", low}, {"maximum", high}},
          format("number {}..{}", low, high),
          false,
          [=](const Node& node, const std::string& path, T& out, Problems& problems) {
            const auto value = read_scalar(node, path, "a number", problems,
                                           [](const std::string& text) { return parse_double(text); });
            if (!value) return;
            if (*value < low || *value > high)
              return problems.add(node.place, path, format("{} is outside {}..{}", *value, low, high));
            out.*member = static_cast<V>(*value);
          },
          [=](const T& value) { return Json(value.*member); },
          {}};
}

/// `accept` gives the reason why a text will not do, or an empty one.
template <typename T>
Field<T> text(std::string T::*member, std::string name, std::string doc,
              const std::function<std::string(const std::string&)>& accept = {}) {
  return {name,
          doc,
          {{"type", "string"}},
          "text",
          false,
          [=](const Node& node, const std::string& path, T& out, Problems& problems) {
            if (node.kind != Node::Kind::scalar)
              return problems.add(node.place, path, format("expected text, got {}", description(node)));
            const std::string reason = accept ? accept(node.text) : "";
            if (!reason.empty()) return problems.add(node.place, path, reason);
            out.*member = node.text;
          },
          [=](const T& value) { return Json(value.*member); },
          {}};
}

template <typename T>
Field<T> flag(bool T::*member, std::string name, std::string doc) {
  return {
      name,
      doc,
      {{"type", "boolean"}},
      "true or false",
      false,
      [=](const Node& node, const std::string& path, T& out, Problems& problems) {
        const auto value = read_scalar(node, path, "true or false", problems, [](const std::string& text) {
          return text == "true" ? std::optional(true) : text == "false" ? std::optional(false) : std::nullopt;
        });
        if (value) out.*member = *value;
      },
      [=](const T& value) { return Json(value.*member); },
      {}};
}

template <typename T>
Field<T> size(std::uint64_t T::*member, std::string name, std::uint64_t low, std::string doc) {
  return {name,
          doc,
          {{"type", Json::array({"string", "integer"})}},
          "size",
          false,
          [=](const Node& node, const std::string& path, T& out, Problems& problems) {
            const auto value = parse_size(node.kind == Node::Kind::scalar ? node.text : "");
            if (!value)
              return problems.add(node.place, path,
                                  format("expected a size such as 512MiB, got {}", description(node)));
            if (*value < low)
              return problems.add(node.place, path,
                                  format("{} is below {}", size_text(*value), size_text(low)));
            out.*member = *value;
          },
          [=](const T& value) {
            const auto exact = parse_size(size_text(value.*member));
            return exact && *exact == value.*member ? Json(size_text(value.*member)) : Json(value.*member);
          },
          {}};
}

template <typename T>
Field<T> duration(Duration T::*member, std::string name, std::string doc) {
  return {name,
          doc,
          {{"type", "string"}},
          "duration",
          false,
          [=](const Node& node, const std::string& path, T& out, Problems& problems) {
            const auto value = parse_duration(node.kind == Node::Kind::scalar ? node.text : "");
            if (!value)
              return problems.add(node.place, path,
                                  format("expected a duration such as 30s or 2h, got {}", description(node)));
            out.*member = *value;
          },
          [=](const T& value) { return Json(duration_text(value.*member)); },
          {}};
}

/// One of the names; those in `later` are known and not of this release.
template <typename T, typename E>
Field<T> choice(E T::*member, std::string name, std::vector<std::pair<std::string, E>> values,
                const std::vector<std::string>& later, std::string doc) {
  std::vector<std::string> names;
  for (const auto& [text, value] : values) names.push_back(text);
  return {name,
          doc,
          {{"enum", names}},
          join(names, ", "),
          false,
          [=](const Node& node, const std::string& path, T& out, Problems& problems) {
            if (node.kind != Node::Kind::scalar)
              return problems.add(node.place, path,
                                  format("expected one of {}, got {}", join(names, ", "), description(node)));
            for (const auto& [text, value] : values) {
              if (node.text == text) {
                out.*member = value;
                return;
              }
            }
            for (const std::string& text : later) {
              if (node.text == text)
                return problems.add(
                    node.place, path,
                    format("'{}' is not supported in this release; use {}", text, join(names, " or ")));
            }
            const auto hint = nearest(node.text, names);
            problems.add(node.place, path,
                         format("{} is not one of {}{}", description(node), join(names, ", "),
                                hint ? format("; did you mean '{}'?", *hint) : ""));
          },
          [=](const T& value) {
            for (const auto& [text, candidate] : values) {
              if (value.*member == candidate) return Json(text);
            }
            return Json();
          },
          {}};
}

template <typename T, typename S>
Field<T> section(S T::*member, std::string name, Table<S> table, std::string doc) {
  const S defaults = T{}.*member;  // a struct may hold several sections of one kind, each with its own
  return {name,
          doc,
          section_schema(table, defaults),
          "section",
          false,
          [=](const Node& node, const std::string& path, T& out, Problems& problems) {
            read_section(node, path, table, out.*member, problems);
          },
          [=](const T& value) { return show_section(table, value.*member); },
          [=](const std::string& path, std::string& out) { section_page(table, path, out, defaults); }};
}

/// A section of the file whose options are the same struct's.
template <typename T>
Field<T> group(std::string name, Table<T> table, std::string doc) {
  return {name,
          doc,
          section_schema(table),
          "section",
          false,
          [=](const Node& node, const std::string& path, T& out, Problems& problems) {
            read_section(node, path, table, out, problems);
          },
          [=](const T& value) { return show_section(table, value); },
          [=](const std::string& path, std::string& out) { section_page(table, path, out); }};
}

template <typename T>
Field<T> labels(std::map<std::string, std::string> T::*member, std::string name, std::string doc) {
  return {name,
          doc,
          {{"type", "object"}, {"additionalProperties", {{"type", "string"}}}},
          "map of texts",
          false,
          [=](const Node& node, const std::string& path, T& out, Problems& problems) {
            if (!expect_map(node, path, problems)) return;
            for (const Entry& entry : node.entries) {
              if (entry.value.kind == Node::Kind::scalar)
                (out.*member)[entry.key] = entry.value.text;
              else
                problems.add(entry.value.place, child_path(path, entry.key),
                             format("expected text, got {}", description(entry.value)));
            }
          },
          [=](const T& value) { return (value.*member).empty() ? Json() : Json(value.*member); },
          {}};
}

/// `field` of a plain struct, for a member that may be left out.
template <typename T, typename V>
Field<T> optional(std::optional<V> T::*member, Field<std::pair<V, int>> field) {
  return {field.name,
          field.doc,
          field.schema,
          field.type,
          false,
          [=](const Node& node, const std::string& path, T& out, Problems& problems) {
            std::pair<V, int> value{};
            const std::size_t before = problems.size();
            field.read(node, path, value, problems);
            if (problems.size() == before) out.*member = value.first;
          },
          [=](const T& value) { return value.*member ? Json(*(value.*member)) : Json(); },
          {}};
}

template <typename T>
Field<T> optional_number(std::optional<double> T::*member, std::string name, double low, double high,
                         std::string doc) {
  return optional(member, number(&std::pair<double, int>::first, std::move(name), low, high, std::move(doc)));
}

/// Known, and not of this release: only a value that changes nothing is accepted.
template <typename T>
Field<T> later(std::string name, const std::vector<std::string>& neutral, const std::string& doc) {
  return {name,
          doc + " Not in this release.",
          Json::object(),
          neutral.empty() ? "not in this release" : join(neutral, ", "),
          false,
          [=](const Node& node, const std::string& path, T&, Problems& problems) {
            if (node.kind == Node::Kind::null) return;
            for (const std::string& value : neutral) {
              if (value == "*" || (node.kind == Node::Kind::scalar && node.text == value)) return;
            }
            problems.add(node.place, path,
                         neutral.empty() ? std::string("is not supported in this release; leave it out")
                                         : format("{} is not supported in this release; use {}",
                                                  description(node), join(neutral, " or ")));
          },
          {},
          {}};
}

template <typename T>
Field<T> required(Field<T> field) {
  field.required = true;
  return field;
}

}  // namespace trainyard::config
