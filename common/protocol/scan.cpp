#include "common/protocol/scan.hpp"

#include <cstdint>
#include <optional>

#include "common/base/text.hpp"

namespace trainyard::protocol {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

constexpr int depth_max = 16;

// Reads the wire format of Protobuf: varints, and runs of a known size.
class Bytes {
 public:
  explicit Bytes(std::string_view rest) : rest_(rest) {}
  bool empty() const { return rest_.empty(); }
  std::optional<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < 10 && i < rest_.size(); ++i) {
      const auto byte = static_cast<unsigned char>(rest_[i]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << (7 * i);
      if (byte < 0x80) {
        rest_.remove_prefix(i + 1);
        return value;
      }
    }
    return std::nullopt;
  }
  std::optional<std::string_view> take(std::uint64_t size) {
    if (size > rest_.size()) return std::nullopt;
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

 private:
  std::string_view rest_;
};

enum class Wire : std::uint8_t { varint = 0, fixed64 = 1, run = 2, fixed32 = 5 };

bool walk(std::string_view text, const Descriptor* type, int depth, std::size_t& left);

bool walk_run(Bytes& bytes, const FieldDescriptor* field, int depth, std::size_t& left) {
  const auto size = bytes.varint();
  const auto run = size ? bytes.take(*size) : std::nullopt;
  if (!run) return false;
  if (field == nullptr) return true;
  if (field->type() == FieldDescriptor::TYPE_MESSAGE)
    return walk(*run, field->message_type(), depth + 1, left);
  if (field->is_packable()) {  // each byte may be an element
    if (run->size() > left) return false;
    left -= run->size();
  }
  return true;
}

bool walk(std::string_view text, const Descriptor* type, int depth, std::size_t& left) {
  if (depth > depth_max) return false;
  Bytes bytes(text);
  while (!bytes.empty()) {
    const auto tag = bytes.varint();
    if (!tag || left == 0) return false;
    --left;
    const std::uint64_t number = *tag >> 3;
    if (number == 0 || number > static_cast<std::uint64_t>(FieldDescriptor::kMaxNumber)) return false;
    bool fine = false;
    switch (static_cast<Wire>(*tag & 7)) {
      case Wire::varint:
        fine = bytes.varint().has_value();
        break;
      case Wire::fixed64:
        fine = bytes.take(8).has_value();
        break;
      case Wire::fixed32:
        fine = bytes.take(4).has_value();
        break;
      case Wire::run:
        fine = walk_run(bytes, type->FindFieldByNumber(static_cast<int>(number)), depth, left);
        break;
    }
    if (!fine) return false;
  }
  return true;
}

}  // namespace

Status scan(std::string_view bytes, const Descriptor& type, std::size_t elements_max) {
  std::size_t left = elements_max;
  if (walk(bytes, &type, 0, left)) return {};
  if (left == 0) return Error{Errc::corrupt, format("more than {} elements", elements_max)};
  return Error{Errc::corrupt, "the bytes are not a message"};
}

}  // namespace trainyard::protocol
