#include "common/config/tables.hpp"

namespace trainyard::config {

namespace {

/// Plain where that is surely safe, else as JSON text, which is YAML's double-quoted style.
std::string scalar(const Json& value) {
  if (!value.is_string()) return to_text(value);
  const auto& text = value.get_ref<const std::string&>();
  const bool plain =
      !text.empty() &&
      text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/.-") ==
          std::string::npos &&
      text[0] != '-' && text[0] != '.' && text != "null" && text != "true" && text != "false";
  return plain ? text : to_text(value);
}

bool is_flat(const Json& value) { return !value.is_structured() || value.empty(); }

bool is_flat_list(const Json& value) {
  if (!value.is_array()) return false;
  for (const Json& item : value) {
    if (!is_flat(item)) return false;
  }
  return true;
}

std::string flow(const Json& value) {
  std::string out = "[";
  for (const Json& item : value) out += (out.size() > 1 ? ", " : "") + scalar(item);
  return out + "]";
}

void block(const Json& value, std::size_t indent, std::string& out) {
  const std::string margin(indent, ' ');
  const auto below = [&](const Json& item) {
    if (is_flat_list(item) && !item.empty()) {
      out += " " + flow(item) + "\n";
    } else if (is_flat(item)) {
      out += " " + scalar(item) + "\n";
    } else {
      out += "\n";
      block(item, indent + 2, out);
    }
  };
  if (value.is_object()) {
    for (const auto& [key, item] : value.items()) {
      out += margin + scalar(key) + ":";
      below(item);
    }
  } else {
    for (const Json& item : value) {
      out += margin + "-";
      if (item.is_object() && item.size() == 1) {  // "- conv2d: ...", as people write it
        out += " " + scalar(item.begin().key()) + ":";
        if (is_flat(item.begin().value()) || is_flat_list(item.begin().value())) {
          below(item.begin().value());
        } else {
          out += "\n";
          block(item.begin().value(), indent + 4, out);
        }
      } else {
        below(item);
      }
    }
  }
}

}  // namespace

std::string yaml_text(const Json& value) {
  std::string out;
  block(value, 0, out);
  return out;
}

}  // namespace trainyard::config
