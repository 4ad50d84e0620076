// Values as people and programs want them: aligned tables, JSON, YAML. Pure text; no terminal is asked.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/json.hpp"
#include "common/base/time.hpp"

namespace trainyard::cli {

enum class Format { table, wide, json, yaml };
/// "table", "wide", "json" or "yaml".
Result<Format> parse_format(std::string_view text);

/// Columns as wide as their widest cell, two blanks between them, no blanks at the ends of lines.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}
  void add(std::vector<std::string> row);
  std::string text() const;
  std::size_t rows() const { return rows_.size(); }

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

/// YAML block style; strings that could be read as anything else are quoted.
std::string yaml_text(const Json& value);

/// JSON or YAML of a value, with a newline at the end. Not for tables.
std::string structured(const Json& value, Format format);

/// Members of foreign JSON, never throwing: what is absent or of another type gives the fallback.
std::string text_at(const Json& object, std::string_view key, std::string_view fallback = "");
double number_at(const Json& object, std::string_view key, double fallback = 0);
std::int64_t integer_at(const Json& object, std::string_view key, std::int64_t fallback = 0);
bool flag_at(const Json& object, std::string_view key);
/// The member, or an empty array or object when it is absent.
const Json& list_at(const Json& object, std::string_view key);
const Json& object_at(const Json& object, std::string_view key);

/// "42s", "3m10s", "2h05m", "4d3h".
std::string age_text(std::int64_t milliseconds);
/// 0.98765 as "0.9877", 12345.6 as "12345.6", whole numbers without a point.
std::string metric_text(double value);
/// Columns that the text takes on a terminal: UTF-8 code points, without escape sequences.
std::size_t display_width(std::string_view text);

}  // namespace trainyard::cli
