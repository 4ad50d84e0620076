// Sources: the wire format of Protocol Buffers (protobuf.dev, "Encoding"); field numbers of onnx.proto.
#include "common/graph/onnx/wire.hpp"

#include <cstdint>

#include "common/base/text.hpp"

namespace trainyard::graph::onnx_file {
namespace {

constexpr int depth_max = 32;
// What unpacked things take at least, and what a file may unpack to.
constexpr std::uint64_t message_bytes = 256, string_bytes = 64, number_bytes = 8;
constexpr std::uint64_t unpacked_ratio = 2, unpacked_floor = std::uint64_t{256} << 20;

enum class Message : std::uint8_t {
  none,
  model,
  graph,
  node,
  attribute,
  tensor,
  sparse_tensor,
  value_info,
  type,
  typed_tensor,
  typed_element,
  map,
  shape,
  leaf,
  training,
  function,
  annotation,
};

Message child_of_graph(std::uint64_t field) {
  switch (field) {
    case 1:
      return Message::node;
    case 5:
      return Message::tensor;
    case 11:
    case 12:
    case 13:
      return Message::value_info;
    case 14:
      return Message::annotation;
    case 15:
      return Message::sparse_tensor;
    default:
      return Message::none;
  }
}

Message child_of_attribute(std::uint64_t field) {
  switch (field) {
    case 5:
    case 10:
      return Message::tensor;
    case 6:
    case 11:
      return Message::graph;
    case 14:
    case 15:
      return Message::type;
    case 22:
    case 23:
      return Message::sparse_tensor;
    default:
      return Message::none;
  }
}

/// The message that field `field` of `parent` holds.
Message child(Message parent, std::uint64_t field) {
  const auto when = [&](std::uint64_t number, Message message) {
    return field == number ? message : Message::none;
  };
  switch (parent) {
    case Message::model:
      return field == 7                  ? Message::graph
             : field == 8 || field == 14 ? Message::leaf
             : field == 20               ? Message::training
                                         : when(25, Message::function);
    case Message::graph:
      return child_of_graph(field);
    case Message::node:
      return field == 9 ? Message::leaf : when(5, Message::attribute);
    case Message::attribute:
      return child_of_attribute(field);
    case Message::tensor:
      return field == 3 || field == 13 || field == 16 ? Message::leaf : Message::none;
    case Message::sparse_tensor:
      return field == 1 || field == 2 ? Message::tensor : Message::none;
    case Message::value_info:
      return when(2, Message::type);
    case Message::type:
      return field == 1 || field == 8   ? Message::typed_tensor
             : field == 4 || field == 9 ? Message::typed_element
                                        : when(5, Message::map);
    case Message::typed_tensor:
      return when(2, Message::shape);
    case Message::typed_element:
      return when(1, Message::type);
    case Message::map:
      return when(2, Message::type);
    case Message::shape:
      return when(1, Message::leaf);
    case Message::training:
      return field == 1 || field == 2 ? Message::graph : Message::leaf;
    case Message::function:
      return field == 7 ? Message::node : field == 9 ? Message::leaf : when(11, Message::attribute);
    case Message::annotation:
      return when(2, Message::leaf);
    case Message::leaf:
    case Message::none:
      return Message::none;
  }
  return Message::none;
}

/// Bytes of a field that unpack to as many numbers at most.
bool packed_varints(Message parent, std::uint64_t field) {
  return (parent == Message::tensor && (field == 1 || field == 5 || field == 7 || field == 11)) ||
         (parent == Message::attribute && field == 8) || (parent == Message::sparse_tensor && field == 3);
}
/// Bytes of a field that unpack to as many bytes.
bool plain_bytes(Message parent, std::uint64_t field) {
  return (parent == Message::tensor && (field == 4 || field == 9 || field == 10)) ||
         (parent == Message::attribute && field == 7);
}

class Scan {
 public:
  explicit Scan(std::string_view bytes)
      : bytes_(bytes), budget_(unpacked_ratio * bytes.size() + unpacked_floor) {}

  Status run() { return message(Message::model, bytes_.size(), 0); }

 private:
  Error broken(const char* what) const {
    return {Errc::corrupt, format("not a whole ONNX file: {} at byte {}", what, at_)};
  }

  bool varint(std::uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ >= bytes_.size()) return false;
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  bool spend(std::uint64_t bytes) {
    if (bytes > budget_) return false;
    budget_ -= bytes;
    return true;
  }

  Status message(Message kind, std::size_t end, int depth) {
    if (depth > depth_max)
      return Error{Errc::corrupt, format("the ONNX file is nested deeper than {} levels", depth_max)};
    while (at_ < end) {
      std::uint64_t tag = 0;
      if (!varint(tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX >> 3) return broken("a field without a tag");
      if (auto ok = field(kind, tag >> 3, static_cast<unsigned>(tag & 7), end, depth); !ok) return ok;
      if (at_ > end) return broken("a field that reaches out of its message");
    }
    return {};
  }

  Status field(Message kind, std::uint64_t number, unsigned wire_type, std::size_t end, int depth) {
    std::uint64_t value = 0;
    bool fits = true;
    switch (wire_type) {
      case 0:
        if (!varint(value)) return broken("a number without an end");
        fits = spend(number_bytes);
        break;
      case 1:
        at_ += 8;
        fits = spend(number_bytes);
        break;
      case 5:
        at_ += 4;
        fits = spend(number_bytes);
        break;
      case 2: {
        if (!varint(value)) return broken("a length without an end");
        if (at_ > end || value > end - at_) return broken("a field that reaches behind the end");
        const Message inner = child(kind, number);
        if (inner != Message::none) {
          if (!spend(message_bytes)) return swells();
          return message(inner, at_ + static_cast<std::size_t>(value), depth + 1);
        }
        at_ += static_cast<std::size_t>(value);
        fits = packed_varints(kind, number) ? spend(value * number_bytes)
               : plain_bytes(kind, number)  ? spend(value)
                                            : spend(value + string_bytes);
        break;
      }
      default:
        return broken("a field of no known type");
    }
    return fits ? Status{} : swells();
  }

  Error swells() const {
    return {Errc::corrupt,
            format("the ONNX file of {} would unpack to more than {}", size_text(bytes_.size()),
                   size_text(unpacked_ratio * bytes_.size() + unpacked_floor))};
  }

  const std::string_view bytes_;
  std::size_t at_ = 0;
  std::uint64_t budget_;
};

}  // namespace

Status check_wire(std::string_view bytes) { return Scan(bytes).run(); }

}  // namespace trainyard::graph::onnx_file
