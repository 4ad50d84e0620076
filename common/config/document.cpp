#include "common/config/document.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "common/base/text.hpp"
#include "common/config/scan.hpp"

namespace trainyard::config {

namespace {

Place place_of(const YAML::Mark& mark) {
  return {std::max(mark.line, 0) + 1, std::max(mark.column, 0) + 1, -1};
}

/// Leaves yaml-cpp's parser, which a callback can stop in no other way; caught in parse_document.
struct Refusal {
  Place place;
  std::string message;
};

class Builder final : public YAML::EventHandler {
 public:
  Node take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0) throw Refusal{place_of(mark), "a second document; one file holds one"};
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    leaf(mark, "", anchor, Node::Kind::null, "");
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refusal{place_of(mark), "aliases are not supported; write the value out"};
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    leaf(mark, tag, anchor, Node::Kind::scalar, value);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::sequence);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::map);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    Node node;
    bool has_key = false;
    std::string key;
    Place key_place;
    std::set<std::string> keys;
  };

  void admit(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != 0) throw Refusal{place_of(mark), "anchors are not supported; write the value out"};
    if (!tag.empty() && tag != "?" && tag != "!") {
      throw Refusal{place_of(mark), format("tags are not supported; leave '{}' out", shortened(tag))};
    }
    if (++nodes_ > nodes_max) throw Refusal{place_of(mark), format("more than {} values", nodes_max)};
  }

  bool wants_key() const {
    return !frames_.empty() && frames_.back().node.kind == Node::Kind::map && !frames_.back().has_key;
  }

  void leaf(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Node::Kind kind,
            const std::string& value) {
    admit(mark, tag, anchor);
    Place place = place_of(mark);
    if (!wants_key()) {
      // yaml-cpp reports an absent value at whatever comes next.
      if (kind == Node::Kind::null && !frames_.empty() && frames_.back().has_key)
        place = frames_.back().key_place;
      Node node;
      node.kind = kind;
      node.place = place;
      node.text = value;
      node.quoted = tag == "!";
      return add(std::move(node));
    }
    Frame& frame = frames_.back();
    if (kind == Node::Kind::null) throw Refusal{place, "a key is missing before ':'"};
    if (!frame.keys.insert(value).second)
      throw Refusal{place, format("duplicate key '{}'", shortened(value))};
    frame.has_key = true;
    frame.key = value;
    frame.key_place = place;
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Node::Kind kind) {
    admit(mark, tag, anchor);
    if (wants_key()) throw Refusal{place_of(mark), "a key must be plain text"};
    if (static_cast<int>(frames_.size()) >= depth_max) {
      throw Refusal{place_of(mark), format("nested deeper than {} levels", depth_max)};
    }
    Frame frame;
    frame.node.kind = kind;
    frame.node.place = place_of(mark);
    frames_.push_back(std::move(frame));
  }

  void close() {
    Node node = std::move(frames_.back().node);
    frames_.pop_back();
    add(std::move(node));
  }

  void add(Node node) {
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = frames_.back();
    if (frame.node.kind == Node::Kind::sequence) {
      frame.node.items.push_back(std::move(node));
    } else {
      frame.node.entries.push_back({std::move(frame.key), frame.key_place, std::move(node)});
      frame.has_key = false;
    }
  }

  Node root_;
  std::vector<Frame> frames_;
  std::size_t nodes_ = 0;
  int documents_ = 0;
};

}  // namespace

const Node* Node::find(std::string_view key) const {
  const auto entry =
      std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.key == key; });
  return entry == entries.end() ? nullptr : &entry->value;
}
Node* Node::find(std::string_view key) { return const_cast<Node*>(std::as_const(*this).find(key)); }

Result<Node> parse_document(std::string_view text, const std::string& file) {
  const auto fail = [&](const Place& place, const std::string& message) {
    return Error{Errc::invalid, format("{}:{}:{}: {}", file, place.line, place.column, message)};
  };
  if (const auto scanned = scan_text(text); !scanned) {
    return Error{Errc::invalid, format("{}:{}", file, scanned.error().message)};
  }
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    Builder builder;
    while (parser.HandleNextDocument(builder)) {
    }
    return builder.take();
  } catch (const Refusal& refusal) {
    return fail(refusal.place, refusal.message);
  } catch (const YAML::Exception& e) {
    return fail(e.mark.is_null() ? Place{} : place_of(e.mark), format("not valid YAML: {}", e.msg));
  } catch (const std::exception& e) {
    return fail({}, format("not valid YAML: {}", e.what()));
  }
}

Status put(Node& root, const std::string& path, Node value, int origin) {
  Node* node = &root;
  std::string walked;
  for (const std::string& part : split(path, '.')) {
    if (part.empty()) return Error{Errc::invalid, format("'{}' is not a path of keys", shortened(path))};
    if (node->kind == Node::Kind::null) {
      node->kind = Node::Kind::map;
      node->place.origin = origin;
    }
    if (node->kind == Node::Kind::sequence) {
      const auto index = parse_uint(part);
      if (!index || *index >= node->items.size()) {
        return Error{Errc::invalid, format("'{}' has no entry '{}'; it has {}, counted from 0", walked,
                                           shortened(part), node->items.size())};
      }
      node = &node->items[*index];
    } else if (node->kind == Node::Kind::map) {
      if (node->find(part) == nullptr) {
        if (node->entries.size() >= nodes_max) return Error{Errc::invalid, "too many values"};
        node->entries.push_back({part, Place{1, 1, origin}, {}});
        node->entries.back().value.place.origin = origin;
      }
      node = node->find(part);
    } else {
      return Error{Errc::invalid, format("'{}' is a single value and has no '{}'", walked, shortened(part))};
    }
    walked += (walked.empty() ? "" : ".") + shortened(part);
  }
  *node = std::move(value);
  return {};
}

const Node& nearest_node(const Node& root, std::string_view path) {
  const Node* node = &root;
  for (const std::string& part : split(path, '.')) {
    const Node* next = nullptr;
    if (node->kind == Node::Kind::map) {
      next = node->find(part);
    } else if (const auto index = parse_uint(part); index && *index < node->items.size()) {
      next = &node->items[*index];
    }
    if (next == nullptr) break;
    node = next;
  }
  return *node;
}

std::string shortened(std::string_view text) {
  constexpr std::size_t bytes_max = 60;
  std::string out;
  for (const char c : text.substr(0, bytes_max)) out += c == '\n' || c == '\r' || c == '\t' ? ' ' : c;
  if (text.size() <= bytes_max) return out;
  while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xc0) == 0x80) out.pop_back();
  if (!out.empty() && static_cast<unsigned char>(out.back()) >= 0xc0) out.pop_back();
  return out + "...";
}

}  // namespace trainyard::config
