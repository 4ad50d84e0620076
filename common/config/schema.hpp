// The descriptor table of a section: one entry per option says its name, type, range, default, meaning.
// Reading, printing, the JSON Schema and the reference page follow from it. Builders for the usual types are
// in fields.hpp.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/json.hpp"
#include "common/config/document.hpp"

namespace trainyard::config {

/// What is wrong with a file, gathered to be reported at once.
class Problems {
 public:
  void add(const Place& place, const std::string& path, const std::string& message);
  bool empty() const { return found_.empty(); }
  std::size_t size() const { return found_.size(); }
  /// "file:line:column: path: message" a line, in the order of the file; overrides as "--set path=...:
  /// message".
  std::string text(const std::string& file, const std::vector<std::string>& overrides) const;

 private:
  struct Problem {
    Place place;
    std::string path, message;
  };
  std::vector<Problem> found_;
};

std::string child_path(const std::string& path, const std::string& name);
/// "a list", "the text 'abc'": what a node is, for messages.
std::string description(const Node& node);

template <typename T>
struct Field {
  std::string name, doc;
  Json schema;       // JSON Schema of the value
  std::string type;  // for the reference page: "integer 1..65536"
  bool required = false;
  std::function<void(const Node&, const std::string& path, T&, Problems&)> read;
  std::function<Json(const T&)> show;                               // null: not printed
  std::function<void(const std::string& path, std::string&)> page;  // rows of a nested section
  bool hidden = false;  // what the program writes for itself: in no schema and on no page
};

template <typename T>
using Table = std::vector<Field<T>>;

void unknown_key(const Entry& entry, const std::string& path, const std::vector<std::string>& known,
                 Problems& problems);
/// Adds a problem and says false unless the node is a map (an absent value counts as an empty one).
bool expect_map(const Node& node, const std::string& path, Problems& problems);
Json schema_of_object(const Json& properties, const std::vector<std::string>& required);

template <typename T>
void read_section(const Node& node, const std::string& path, const Table<T>& table, T& out,
                  Problems& problems) {
  if (!expect_map(node, path, problems)) return;
  std::vector<std::string> known;
  for (const Field<T>& field : table) {
    if (!field.hidden) known.push_back(field.name);
    if (const Node* value = node.find(field.name)) {
      field.read(*value, child_path(path, field.name), out, problems);
    } else if (field.required) {
      problems.add(node.place, child_path(path, field.name), "is missing: " + field.doc);
    }
  }
  for (const Entry& entry : node.entries) {
    bool found = false;
    for (const Field<T>& field : table) found = found || field.name == entry.key;
    if (!found) unknown_key(entry, path, known, problems);
  }
}

template <typename T>
Json show_section(const Table<T>& table, const T& value) {
  Json out = Json::object();
  for (const Field<T>& field : table) {
    Json shown = field.show ? field.show(value) : Json();
    if (!shown.is_null()) out[field.name] = std::move(shown);
  }
  return out;
}

template <typename T>
Json section_schema(const Table<T>& table, const T& defaults = {}) {
  Json properties = Json::object();
  std::vector<std::string> required;
  for (const Field<T>& field : table) {
    if (field.hidden) continue;
    Json property = field.schema;
    property["description"] = field.doc;
    const Json shown = field.show && !field.page ? field.show(defaults) : Json();
    if (!shown.is_null() && !field.required) property["default"] = shown;
    properties[field.name] = std::move(property);
    if (field.required) required.push_back(field.name);
  }
  return schema_of_object(properties, required);
}

void reference_row(const std::string& path, const std::string& type, const std::string& default_text,
                   const std::string& doc, std::string& out);

template <typename T>
void section_page(const Table<T>& table, const std::string& path, std::string& out, const T& defaults = {}) {
  for (const Field<T>& field : table) {
    if (field.hidden) continue;
    if (field.page) {
      field.page(child_path(path, field.name), out);
      continue;
    }
    const Json shown = field.show ? field.show(defaults) : Json();
    const std::string text = field.required      ? "required"
                             : shown.is_null()   ? ""
                             : shown.is_string() ? shown.get<std::string>()
                                                 : to_text(shown);
    reference_row(child_path(path, field.name), field.type, text, field.doc, out);
  }
}

}  // namespace trainyard::config
