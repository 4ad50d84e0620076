// "- relu" or "- relu: {...}": a name with its options, as layers and transforms are written. Private to
// common/config.
#pragma once

#include <optional>

#include "common/base/text.hpp"
#include "common/config/schema.hpp"

namespace trainyard::config {

/// The name, its place, and the node of the options.
struct Named {
  std::string name;
  Place place;
  const Node* options = nullptr;
};

inline std::optional<Named> one_key(const Node& node, const std::string& path, const std::string& example,
                                    Problems& problems) {
  if (node.kind == Node::Kind::scalar) return Named{node.text, node.place, nullptr};
  if (node.kind == Node::Kind::map && node.entries.size() == 1)
    return Named{node.entries[0].key, node.entries[0].place, &node.entries[0].value};
  problems.add(
      node.place, path,
      format("expected one key with its options, for example {}; got {}", example,
             node.kind == Node::Kind::map ? format("{} keys", node.entries.size()) : description(node)));
  return std::nullopt;
}

}  // namespace trainyard::config
