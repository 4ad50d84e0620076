#include "daemons/cli/table.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "common/base/text.hpp"

namespace trainyard::cli {

namespace {

const Json empty_list = Json::array();
const Json empty_object = Json::object();

const Json* member(const Json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

bool plain_in_yaml(const std::string& text) {
  if (text.empty() || text.front() == ' ' || text.back() == ' ' || text.size() > 200) return false;
  constexpr std::array<std::string_view, 10> words = {"true", "false", "null", "yes", "no",
                                                      "on",   "off",   "~",    "y",   "n"};
  for (const std::string_view word : words) {
    if (text.size() == word.size() && starts_with_ignoring_case(text, word)) return false;
  }
  if (parse_double(text)) return false;
  const auto safe = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '/' || c == '.' || c == ' ' || c == '-' || c == '+' || c == '(' || c == ')';
  };
  // A leading digit may begin a number, a date or a base-60 value of YAML 1.1.
  const char first = text.front();
  const bool letter = (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z') || first == '/';
  return letter && std::all_of(text.begin(), text.end(), safe);
}

std::string yaml_scalar(const Json& value) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    return plain_in_yaml(text) ? text : to_text(value);  // a JSON string is a YAML double-quoted one
  }
  return to_text(value);
}

bool is_block(const Json& value) { return (value.is_object() || value.is_array()) && !value.empty(); }

void append_yaml(std::string& out, const Json& value, std::size_t indent) {
  const std::string blanks(indent, ' ');
  if (value.is_object()) {
    for (const auto& [key, entry] : value.items()) {
      out += blanks + (plain_in_yaml(key) ? key : to_text(Json(key))) + ":";
      if (is_block(entry)) {
        out += "\n";
        append_yaml(out, entry, indent + 2);
      } else {
        out += " " + yaml_scalar(entry) + "\n";
      }
    }
    return;
  }
  for (const Json& entry : value) {
    if (!is_block(entry)) {
      out += blanks + "- " + yaml_scalar(entry) + "\n";
      continue;
    }
    std::string nested;
    append_yaml(nested, entry, indent + 2);
    out += blanks + "- " + nested.substr(indent + 2);
  }
}

}  // namespace

Result<Format> parse_format(std::string_view text) {
  if (text == "table") return Format::table;
  if (text == "wide") return Format::wide;
  if (text == "json") return Format::json;
  if (text == "yaml") return Format::yaml;
  return Error{Errc::invalid, format("-o {}: one of table, wide, json, yaml", text)};
}

void Table::add(std::vector<std::string> row) {
  row.resize(header_.size());
  rows_.push_back(std::move(row));
}

std::string Table::text() const {
  std::vector<std::size_t> widths(header_.size());
  const auto widen = [&](const std::vector<std::string>& row) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i]));
  };
  widen(header_);
  for (const auto& row : rows_) widen(row);

  std::string out;
  const auto print = [&](const std::vector<std::string>& row) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      line += std::string(widths[i] - display_width(row[i]) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  print(header_);
  for (const auto& row : rows_) print(row);
  return out;
}

std::string yaml_text(const Json& value) {
  if (!is_block(value)) return yaml_scalar(value) + "\n";
  std::string out;
  append_yaml(out, value, 0);
  return out;
}

std::string structured(const Json& value, Format format) {
  return format == Format::yaml ? yaml_text(value) : to_text(value, 2) + "\n";
}

std::string text_at(const Json& object, std::string_view key, std::string_view fallback) {
  const Json* found = member(object, key);
  return found != nullptr && found->is_string() ? found->get<std::string>() : std::string(fallback);
}

double number_at(const Json& object, std::string_view key, double fallback) {
  const Json* found = member(object, key);
  return found != nullptr && found->is_number() ? found->get<double>() : fallback;
}

std::int64_t integer_at(const Json& object, std::string_view key, std::int64_t fallback) {
  const Json* found = member(object, key);
  return found != nullptr && found->is_number_integer() ? found->get<std::int64_t>() : fallback;
}

bool flag_at(const Json& object, std::string_view key) {
  const Json* found = member(object, key);
  return found != nullptr && found->is_boolean() && found->get<bool>();
}

const Json& list_at(const Json& object, std::string_view key) {
  const Json* found = member(object, key);
  return found != nullptr && found->is_array() ? *found : empty_list;
}

const Json& object_at(const Json& object, std::string_view key) {
  const Json* found = member(object, key);
  return found != nullptr && found->is_object() ? *found : empty_object;
}

std::string age_text(std::int64_t milliseconds) {
  const std::int64_t total = std::max<std::int64_t>(0, milliseconds / 1000);
  if (total < 60) return format("{}s", total);
  if (total < 3600) return format("{}m{:02}s", total / 60, total % 60);
  if (total < 86400) return format("{}h{:02}m", total / 3600, total % 3600 / 60);
  return format("{}d{}h", total / 86400, total % 86400 / 3600);
}

std::string metric_text(double value) {
  if (!std::isfinite(value)) return value > 0 ? "inf" : std::isnan(value) ? "nan" : "-inf";
  if (value == std::floor(value) && std::abs(value) < 1e9)
    return format("{}", static_cast<std::int64_t>(value));
  if (std::abs(value) >= 1000) return format("{:.1f}", value);
  if (std::abs(value) < 1e-3) return format("{:.2e}", value);
  return format("{:.4f}", value);
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b') {
      while (i < text.size() && text[i] != 'm') ++i;
      continue;
    }
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) ++width;
  }
  return width;
}

}  // namespace trainyard::cli
