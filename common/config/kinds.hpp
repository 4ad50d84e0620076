// A section whose options depend on its `kind`: each option says which kinds use it, and a file that gives it
// to another kind hears so. Defaults are the kind's own. Beside fields.hpp.
#pragma once

#include <array>

#include "common/config/fields.hpp"

namespace trainyard::config {

template <typename S, typename E>
struct KindOption {
  Field<S> field;
  std::vector<E> kinds;  // that use it; none: all do
  bool of(E kind) const {
    return kinds.empty() || std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
  }
};

template <typename S, typename E, std::size_t N>
struct KindedSection {
  E S::*kind;
  std::array<std::pair<const char*, E>, N> names;
  S (*defaults)(E);
  std::vector<KindOption<S, E>> options;
  std::string kind_doc;

  std::string name_of(E value) const {
    for (const auto& [name, each] : names) {
      if (each == value) return name;
    }
    return "?";
  }

  Field<S> kind_field() const {
    std::vector<std::pair<std::string, E>> values(names.begin(), names.end());
    return choice(kind, "kind", std::move(values), {}, kind_doc);
  }

  /// The options as `value` knows them; those that it does not use refuse to be read. Null: all are used.
  Table<S> table(const E* value, bool used_only = false) const {
    Table<S> out{kind_field()};
    std::vector<std::string> known;
    for (const auto& option : options) {
      if (value == nullptr || option.of(*value)) known.push_back(option.field.name);
    }
    for (const auto& option : options) {
      Field<S> field = option.field;
      if (value != nullptr && !option.of(*value)) {
        if (used_only) continue;
        field.read = [refusal = format("{} is not an option of {}, which has {}", field.name, name_of(*value),
                                       join(known, ", "))](const Node& node, const std::string& path, S&,
                                                           Problems& problems) {
          problems.add(node.place, path, refusal);
        };
      }
      out.push_back(std::move(field));
    }
    return out;
  }

  void read(const Node& node, const std::string& path, S& out, Problems& problems) const {
    if (!expect_map(node, path, problems)) return;
    S value;
    const std::size_t before = problems.size();
    if (const Node* kind_node = node.find("kind"))
      kind_field().read(*kind_node, child_path(path, "kind"), value, problems);
    const E given = value.*kind;
    const bool known = problems.size() == before;
    out = defaults(given);
    Table<S> fields = table(known ? &given : nullptr);
    fields.front().read = [](const Node&, const std::string&, S&, Problems&) {};  // it was read above
    read_section(node, path, fields, out, problems);
  }

  Json show(const S& value) const { return show_section(table(&(value.*kind), true), value); }

  /// "Of sgd, rmsprop." or, where the default is not the one of the column, "Of adam, lamb (1e-06)."
  std::string of_whom(const KindOption<S, E>& option, const Json& usual) const {
    std::vector<std::string> parts;
    bool differs = false;
    for (const auto& [name, each] : names) {
      if (!option.of(each)) continue;
      const Json own = option.field.show(defaults(each));
      differs = differs || own != usual;
      parts.push_back(own == usual ? name : format("{} ({})", name, to_text(own)));
    }
    return option.kinds.empty() && !differs ? "" : format(" Of {}.", join(parts, ", "));
  }

  void page(const std::string& path, std::string& out) const {
    section_page(Table<S>{kind_field()}, path, out);
    for (const auto& option : options) {
      const E first = option.kinds.empty() ? names.front().second : option.kinds.front();
      const Json usual = option.field.show(defaults(first));
      reference_row(child_path(path, option.field.name), option.field.type,
                    usual.is_null() ? "" : to_text(usual), option.field.doc + of_whom(option, usual), out);
    }
  }
};

template <typename T, typename S, typename E, std::size_t N>
Field<T> kinded(S T::*member, std::string name, KindedSection<S, E, N> section, std::string doc) {
  return {name,
          doc,
          section_schema(section.table(nullptr)),
          "section",
          false,
          [=](const Node& node, const std::string& path, T& out, Problems& problems) {
            section.read(node, path, out.*member, problems);
          },
          [=](const T& value) { return section.show(value.*member); },
          [=](const std::string& path, std::string& out) { section.page(path, out); }};
}

}  // namespace trainyard::config
