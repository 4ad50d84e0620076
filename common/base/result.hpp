// Result<T>: a value or the reason why there is none. The compiler makes every caller look.
// The interface is that of std::expected, which g++ 12 does not have. No exceptions cross a layer.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "common/base/check.hpp"

namespace trainyard {

/// What a caller can act upon. A new value is added only when some caller behaves differently for it.
enum class Errc {
  invalid,      // the input is wrong; nothing was done
  not_found,    // the named thing does not exist
  unavailable,  // the peer or the resource is away; trying again may help
  refused,      // not allowed, or can never be satisfied
  conflict,     // somebody else holds it, or it exists already
  io,           // the file system or a socket failed
  corrupt,      // stored or received data fail their check
};

struct Error {  // NOLINT(clang-analyzer-core.uninitialized.Assign)
  Errc code = Errc::invalid;
  std::string message;

  /// The same error with `context` in front: "context: message".
  Error with(const std::string& context) const { return {code, context + ": " + message}; }
  friend bool operator==(const Error&, const Error&) = default;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & {
    check(has_value(), "Result::value without a value");
    return std::get<0>(state_);
  }
  const T& value() const& {
    check(has_value(), "Result::value without a value");
    return std::get<0>(state_);
  }
  T&& value() && {
    check(has_value(), "Result::value without a value");
    return std::get<0>(std::move(state_));
  }
  const Error& error() const {
    check(!has_value(), "Result::error without an error");
    return std::get<1>(state_);
  }

  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool has_value() const { return !error_; }
  explicit operator bool() const { return has_value(); }
  const Error& error() const {
    check(error_.has_value(), "Status::error without an error");
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

/// For std::visit with one lambda per alternative.
template <typename... Ts>
struct overloaded : Ts... {
  using Ts::operator()...;
};
template <typename... Ts>
overloaded(Ts...) -> overloaded<Ts...>;

}  // namespace trainyard
