#include "common/graph/safetensors_header.hpp"

#include <unordered_set>

#include "common/base/json.hpp"
#include "common/base/text.hpp"

namespace trainyard::graph {

namespace {

constexpr const char* metadata_name = "__metadata__";

/// Follows the text token by token; what has no place where it stands ends the reading.
class Reader final : public Json::json_sax_t {
 public:
  Result<SafetensorsHeader> run(std::string_view text) {
    if (text.empty() || text.front() != '{') return Error{Errc::corrupt, "the header does not begin with {"};
    const bool whole = Json::sax_parse(text.begin(), text.end(), this);
    if (!whole) return Error{Errc::corrupt, error_.empty() ? "the header is not JSON" : error_};
    return std::move(out_);
  }

  bool start_object(std::size_t) override {
    if (at_ == At::outside) return go(At::names);
    if (at_ == At::name) return go(in_metadata_ ? At::pairs : At::fields);
    return misplaced("an object");
  }

  bool key(string_t& name) override {
    switch (at_) {
      case At::names:
        if (!names_.insert(name).second) return fail(format("the name '{}' comes twice", name));
        in_metadata_ = name == metadata_name;
        if (!in_metadata_) out_.entries.push_back({name, {}, {}, 0, 0});
        seen_ = 0;
        return go(At::name);
      case At::fields:
        return field(name);
      case At::pairs:
        pair_ = name;
        if (out_.metadata.contains(name)) return fail(format("the metadata '{}' come twice", name));
        return go(At::pair);
      default:
        return misplaced("a name");
    }
  }

  bool end_object() override {
    if (at_ == At::pairs) return go(At::names);
    if (at_ == At::names) return go(At::outside);
    if (at_ != At::fields) return misplaced("the end of an object");
    if (seen_ != all) return fail(format("tensor '{}': needs dtype, shape and data_offsets", entry().name));
    return go(At::names);
  }

  bool string(string_t& value) override {
    if (at_ == At::pair) {
      out_.metadata[pair_] = value;
      return go(At::pairs);
    }
    if (at_ != At::dtype) return misplaced("text");
    entry().dtype = value;
    return go(At::fields);
  }

  bool start_array(std::size_t) override {
    if (at_ == At::shape) return go(At::dims);
    if (at_ == At::offsets) return go(At::bounds);
    return misplaced("a list");
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (at_ == At::dims) {
      if (entry().shape.size() == kSafetensorsDimsMax)
        return fail(format("tensor '{}': too many dimensions", entry().name));
      entry().shape.push_back(value);
      return true;
    }
    if (at_ != At::bounds || bounds_ == 2) return misplaced("a number");
    (bounds_++ == 0 ? entry().begin : entry().end) = value;
    return true;
  }

  bool end_array() override {
    if (at_ == At::bounds && bounds_ != 2)
      return fail(format("tensor '{}': data_offsets are not two numbers", entry().name));
    return go(At::fields);
  }

  bool null() override { return misplaced("null"); }
  bool boolean(bool) override { return misplaced("a truth value"); }
  bool number_integer(number_integer_t) override { return misplaced("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return misplaced("a fraction"); }
  bool binary(binary_t&) override { return misplaced("bytes"); }
  bool parse_error(std::size_t byte, const std::string&, const nlohmann::detail::exception&) override {
    return fail(format("the header is not JSON at byte {}", byte));
  }

 private:
  /// Where the next token stands.
  enum class At { outside, names, name, fields, dtype, shape, dims, offsets, bounds, pairs, pair };
  static constexpr unsigned all = 7;

  bool go(At at) {
    at_ = at;
    return true;
  }
  bool fail(std::string message) {
    if (error_.empty()) error_ = std::move(message);
    return false;
  }
  bool misplaced(const char* what) {
    if (out_.entries.empty() || in_metadata_)
      return fail(format("{} has no place in the header there", what));
    return fail(format("tensor '{}': {} has no place there", entry().name, what));
  }
  SafetensorsEntry& entry() { return out_.entries.back(); }

  bool field(const std::string& name) {
    const unsigned bit = name == "dtype" ? 1 : name == "shape" ? 2 : name == "data_offsets" ? 4 : 0;
    if (bit == 0) return fail(format("tensor '{}': there is no field '{}'", entry().name, name));
    if ((seen_ & bit) != 0) return fail(format("tensor '{}': {} comes twice", entry().name, name));
    seen_ |= bit;
    bounds_ = 0;
    return go(bit == 1 ? At::dtype : bit == 2 ? At::shape : At::offsets);
  }

  SafetensorsHeader out_;
  std::unordered_set<std::string> names_;
  At at_ = At::outside;
  bool in_metadata_ = false;
  unsigned seen_ = 0, bounds_ = 0;
  std::string pair_, error_;
};

}  // namespace

Result<SafetensorsHeader> read_safetensors_header(std::string_view text) { return Reader().run(text); }

}  // namespace trainyard::graph
