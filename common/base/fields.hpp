// Structs as JSON, field by field. A struct says its fields once, in a function template
// `fields(visitor, value)` of its own namespace; FieldWriter and FieldReader visit them. Names travel with
// the values, so that a field that is added later reads as its default from older text. Nothing is lost:
// text that is not UTF-8 goes as hex digits.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/bytes.hpp"
#include "common/base/json.hpp"
#include "common/base/text.hpp"

namespace trainyard {

namespace detail {

template <typename T>
inline constexpr bool is_vector = false;
template <typename T>
inline constexpr bool is_vector<std::vector<T>> = true;
template <typename T>
inline constexpr bool is_map = false;
template <typename K, typename V>
inline constexpr bool is_map<std::map<K, V>> = true;

}  // namespace detail

struct FieldWriter {
  Json out = Json::object();

  template <typename T>
  void operator()(const char* key, T& value) {
    out[key] = json(value);
  }

  template <typename T>
  static Json json(T& value) {
    if constexpr (std::is_enum_v<T>) {
      return static_cast<std::underlying_type_t<T>>(value);
    } else if constexpr (std::is_same_v<T, Duration>) {
      return value.count();
    } else if constexpr (detail::is_vector<T>) {
      Json list = Json::array();
      for (auto& item : value) list.push_back(json(item));
      return list;
    } else if constexpr (detail::is_map<T>) {
      Json list = Json::array();
      for (auto& [key, item] : value) {
        auto copy = key;
        list.push_back(Json::array({json(copy), json(item)}));
      }
      return list;
    } else if constexpr (std::is_same_v<T, std::string>) {
      return is_utf8(value) ? Json(value) : Json{{"hex", to_hex(value)}};
    } else if constexpr (std::is_arithmetic_v<T>) {
      return value;
    } else {
      FieldWriter inner;
      fields(inner, value);
      return std::move(inner.out);
    }
  }
};

/// A closed enum that is read from outside says its last value in `last_value(E)` of its own namespace.
struct FieldReader {
  const Json& in;
  std::string problem{};

  template <typename T>
  void operator()(const char* key, T& value) {
    if (!problem.empty()) return;
    const auto it = in.find(key);
    if (it == in.end()) return;
    if (!read(*it, value, problem)) {
      problem = problem.empty() ? format("'{}' has the wrong type", key) : format("{}: {}", key, problem);
    }
  }

  template <typename T>
  static bool read(const Json& json, T& value, std::string& problem) {
    if constexpr (std::is_enum_v<T>) {
      std::underlying_type_t<T> plain{};
      if (!read(json, plain, problem)) return false;
      value = static_cast<T>(plain);
      if constexpr (requires { last_value(T{}); }) return value <= last_value(T{});
      return true;
    } else if constexpr (std::is_same_v<T, Duration>) {
      std::int64_t nanoseconds = 0;
      if (!read(json, nanoseconds, problem)) return false;
      value = Duration{nanoseconds};
      return true;
    } else if constexpr (detail::is_vector<T>) {
      if (!json.is_array()) return false;
      for (const Json& item : json) {
        if (!read(item, value.emplace_back(), problem)) return false;
      }
      return true;
    } else if constexpr (detail::is_map<T>) {
      if (!json.is_array()) return false;
      for (const Json& pair : json) {
        typename T::key_type key{};
        typename T::mapped_type item{};
        if (!pair.is_array() || pair.size() != 2 || !read(pair[0], key, problem) ||
            !read(pair[1], item, problem)) {
          return false;
        }
        value.emplace(std::move(key), std::move(item));
      }
      return true;
    } else if constexpr (std::is_same_v<T, bool>) {
      if (!json.is_boolean()) return false;
      value = json.get<bool>();
      return true;
    } else if constexpr (std::is_integral_v<T>) {
      if (!json.is_number_integer()) return false;
      if (json.is_number_unsigned()) {
        if (!std::in_range<T>(json.get<std::uint64_t>())) return false;
      } else if (!std::in_range<T>(json.get<std::int64_t>())) {
        return false;
      }
      value = json.get<T>();
      return true;
    } else if constexpr (std::is_floating_point_v<T>) {
      if (json.is_null()) return true;  // JSON has no infinities
      if (!json.is_number()) return false;
      value = json.get<T>();
      return true;
    } else if constexpr (std::is_same_v<T, std::string>) {
      if (json.is_string()) {
        value = json.get<std::string>();
        return true;
      }
      const auto hex = json.is_object() ? json.find("hex") : json.end();
      if (!json.is_object() || hex == json.end() || !hex->is_string()) return false;
      auto bytes = from_hex(hex->template get<std::string>());
      if (!bytes) return false;
      value = std::move(*bytes);
      return true;
    } else {
      if (!json.is_object()) return false;
      FieldReader inner{json};
      fields(inner, value);
      problem = inner.problem;
      return problem.empty();
    }
  }
};

template <typename T>
Json to_json(const T& value) {
  T copy = value;
  return FieldWriter::json(copy);
}

/// Errc::corrupt names the field that does not fit; `what` is whose.
template <typename T>
Result<T> from_json(const Json& json, const std::string& what) {
  T value{};
  std::string problem;
  if (FieldReader::read(json, value, problem)) return value;
  return Error{Errc::corrupt, format("{}: {}", what, problem.empty() ? "has the wrong type" : problem)};
}

/// One of several structs: {`tag`: its name, its fields...}. `kinds` has a name for each alternative, in
/// their order; a name is never used again for anything else.
template <typename Variant>
class VariantFields {
 public:
  template <std::size_t N>
  constexpr VariantFields(const char* tag, const char* const (&kinds)[N]) : tag_(tag) {
    static_assert(N == std::variant_size_v<Variant>, "each alternative has a name");
    std::copy(kinds, kinds + N, kinds_.begin());
  }

  const char* name(const Variant& value) const { return kinds_[value.index()]; }

  Json write(const Variant& value) const {
    FieldWriter writer;
    writer.out[tag_] = name(value);
    Variant copy = value;
    std::visit([&](auto& one) { fields(writer, one); }, copy);
    return std::move(writer.out);
  }

  Result<Variant> read(const Json& json) const {
    const auto kind = json.is_object() ? json.find(tag_) : json.end();
    if (!json.is_object() || kind == json.end() || !kind->is_string()) {
      return Error{Errc::corrupt, format("it does not say which {} it is", tag_)};
    }
    const auto name = kind->template get<std::string>();
    Result<Variant> result = Error{Errc::corrupt, format("{} '{}' is not known to this release", tag_, name)};
    read_named(name, json, result, std::make_index_sequence<std::variant_size_v<Variant>>{});
    return result;
  }

 private:
  template <std::size_t... I>
  void read_named(const std::string& name, const Json& json, Result<Variant>& result,
                  std::index_sequence<I...>) const {
    (void)((name == kinds_[I] ? (read_as<I>(json, result), true) : false) || ...);
  }
  template <std::size_t I>
  void read_as(const Json& json, Result<Variant>& result) const {
    auto value = from_json<std::variant_alternative_t<I, Variant>>(json, format("{} '{}'", tag_, kinds_[I]));
    if (value) {
      result = Variant{std::move(*value)};
    } else {
      result = value.error();
    }
  }

  const char* tag_;
  std::array<const char*, std::variant_size_v<Variant>> kinds_{};
};

}  // namespace trainyard
