// A YAML text as a tree that knows where each node stands. yaml-cpp keeps duplicate keys and loses positions,
// so its events are turned into our own nodes here; what a config file never needs (aliases, anchors, tags,
// several documents) is refused. No meaning is given to any value: that is schema.hpp's. Values, no threads.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.hpp"

namespace trainyard::config {

inline constexpr std::size_t text_bytes_max = std::size_t{1} << 20;
inline constexpr int depth_max = 32;
inline constexpr std::size_t nodes_max = 100'000;

/// Where a node was written: in the file (origin -1, line and column from 1), or in the override with index
/// `origin`.
struct Place {
  int line = 1, column = 1;
  int origin = -1;
  friend bool operator==(const Place&, const Place&) = default;
};

struct Entry;

struct Node {
  enum class Kind { null, scalar, sequence, map };
  Kind kind = Kind::null;
  Place place;
  std::string text;            // scalar
  bool quoted = false;         // scalar: "7" in quotes is text, not a number
  std::vector<Node> items;     // sequence
  std::vector<Entry> entries;  // map, in the order of the file, keys unique

  /// The value under `key` of a map, or null.
  const Node* find(std::string_view key) const;
  Node* find(std::string_view key);
};

struct Entry {
  std::string key;
  Place place;  // of the key
  Node value;
};

/// The tree of `text`. Time and memory are bounded whatever the bytes are: at most 1 MiB, depth 32, 100 000
/// nodes. Errors: "file:line:column: message" with what was found first; `file` is only a name.
Result<Node> parse_document(std::string_view text, const std::string& file);

/// Puts the value of override number `origin` at `path` ("train.epochs", "model.layers.0.dense.units");
/// sections on the way are made. Errors name the part of the path that leads nowhere; the tree is then as it
/// was or has empty sections more.
Status put(Node& root, const std::string& path, Node value, int origin);

/// The node at `path`, or the deepest one on the way to it.
const Node& nearest_node(const Node& root, std::string_view path);

/// At most 60 bytes of foreign text for a message, never cutting a UTF-8 character.
std::string shortened(std::string_view text);

}  // namespace trainyard::config
