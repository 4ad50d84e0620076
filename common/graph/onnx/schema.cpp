#include "common/graph/onnx/schema.hpp"

#include "common/base/text.hpp"

namespace trainyard::graph::onnx_file {

std::string shown(const std::string& name) {
  constexpr std::size_t length_max = 100;
  std::string out = name.substr(0, length_max);
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
  return name.size() > length_max ? out + "..." : out;
}

std::string node_place(const onnx::NodeProto& node) {
  const std::string kind = shown(node.op_type());
  if (!node.name().empty()) return format("ONNX node '{}' ({})", shown(node.name()), kind);
  return format("ONNX node of '{}' ({})", node.output_size() > 0 ? shown(node.output(0)) : "", kind);
}

}  // namespace trainyard::graph::onnx_file
