// Which layer takes what: each name that `from` uses must be that of a layer in front, in the same list or in
// one around it.
#include <algorithm>

#include "common/base/text.hpp"
#include "common/config/layer_kinds.hpp"

namespace trainyard::config {
namespace {

std::string place_of(const Layer& layer) { return format("{}:{}", layer.line, layer.column); }

class Wiring {
 public:
  Wiring(const std::vector<Layer>& layers, std::string path, const Wiring* outer, const Layer* block,
         Problems& problems)
      : layers_(layers), path_(std::move(path)), outer_(outer), block_(block), problems_(problems) {}

  void check() {
    for (at_ = 0; at_ < layers_.size(); ++at_) {
      const Layer& layer = layers_[at_];
      const std::string path = format("{}[{}].{}", path_, at_, layer_name(layer.kind));
      check_name(layer, path);
      check_count(layer, path);
      for (const std::string& name : layer.from) check_source(layer, path, name);
      check_inside(layer, path);
    }
  }

 private:
  void add(const Layer& layer, const std::string& path, const std::string& message) {
    problems_.add({layer.line, layer.column, layer.origin}, path, message);
  }

  /// The layer of that name in this list or in one around it, in front of here or behind.
  const Layer* find(const std::string& name, bool in_front) const {
    for (const Wiring* scope = this; scope != nullptr; scope = scope->outer_) {
      for (std::size_t i = 0; i < scope->layers_.size(); ++i)
        if (scope->layers_[i].name == name && (i < scope->at_) == in_front) return &scope->layers_[i];
    }
    return nullptr;
  }

  bool is_around(const Layer* layer) const {
    for (const Wiring* scope = this; scope != nullptr; scope = scope->outer_)
      if (scope->block_ == layer) return true;
    return false;
  }

  void check_name(const Layer& layer, const std::string& path) {
    if (layer.name.empty()) return;
    if (const Layer* other = find(layer.name, true); other != nullptr)
      add(layer, path, format("the name '{}' is taken by the layer at {}", layer.name, place_of(*other)));
  }

  void check_count(const Layer& layer, const std::string& path) {
    const LayerInfo& info = layer_info(layer.kind);
    const std::size_t count = std::max<std::size_t>(layer.from.size(), 1);
    if (count < info.inputs_min) {
      add(layer, path,
          format("takes {}; name them, for example from: [a, b]",
                 info.inputs_min == info.inputs_max ? "two inputs" : "two inputs or more"));
    } else if (count > info.inputs_max) {
      add(layer, path,
          info.inputs_max == 1
              ? format("takes one input, and `from` names {}; merge them first, with concat or add", count)
              : format("takes at most {} inputs, and `from` names {}", info.inputs_max, count));
    }
  }

  void check_source(const Layer& layer, const std::string& path, const std::string& name) {
    if (name == kInputName || find(name, true) != nullptr) return;
    if (const Layer* later = find(name, false); later != nullptr) {
      if (later == &layer) return add(layer, path, format("takes from itself ('{}'): a cycle", name));
      if (is_around(later))
        return add(
            layer, path,
            format("takes from the block '{}' ({}) that it is a part of: a cycle", name, place_of(*later)));
      if (depends(*later, layer))
        return add(layer, path,
                   format("takes from '{}' ({}), which is made from it: a cycle", name, place_of(*later)));
      return add(layer, path,
                 format("takes from '{}', which comes later ({}); a layer takes from those in "
                        "front of it",
                        name, place_of(*later)));
    }
    std::vector<std::string> names{kInputName};
    for (const Wiring* scope = this; scope != nullptr; scope = scope->outer_)
      for (std::size_t i = 0; i < scope->at_; ++i)
        if (!scope->layers_[i].name.empty()) names.push_back(scope->layers_[i].name);
    const auto hint = nearest(name, names);
    add(layer, path,
        format("there is no layer '{}' in front of it; {}", shortened(name),
               hint ? format("did you mean '{}'?", *hint) : "known here: " + join(names, ", ")));
  }

  /// Whether `later`, of this list, is made from `layer`, also of this list.
  bool depends(const Layer& later, const Layer& layer) const {
    std::vector<const Layer*> open{&later};
    std::vector<const Layer*> seen;
    while (!open.empty()) {
      const Layer* at = open.back();
      open.pop_back();
      if (at == &layer) return true;
      if (std::find(seen.begin(), seen.end(), at) != seen.end()) continue;
      seen.push_back(at);
      const bool here = at >= layers_.data() && at < layers_.data() + layers_.size();
      if (!here) continue;
      if (at->from.empty() && at != layers_.data()) open.push_back(at - 1);
      for (const std::string& name : at->from)
        for (const Layer& other : layers_)
          if (other.name == name) open.push_back(&other);
    }
    return false;
  }

  void check_inside(const Layer& layer, const std::string& path) {
    const auto inside = [&](const std::vector<Layer>& layers, const std::string& key) {
      Wiring(layers, path + "." + key, this, &layer, problems_).check();
    };
    if (layer.kind == LayerKind::branches) {
      if (layer.branches.empty())
        return add(layer, path, "needs one of concat, add, multiply, average, maximum with its branches");
      const char* const names[] = {"concat", "add", "multiply", "average", "maximum"};
      for (std::size_t i = 0; i < layer.branches.size(); ++i)
        inside(layer.branches[i], format("{}[{}]", names[static_cast<std::size_t>(layer.join)], i));
    }
    if ((layer.kind == LayerKind::residual || layer.kind == LayerKind::repeat) && layer.layers.empty())
      return add(layer, path, "needs at least one layer inside");
    inside(layer.layers, "layers");
    inside(layer.shortcut, "shortcut");
  }

  const std::vector<Layer>& layers_;
  const std::string path_;
  const Wiring* const outer_;
  const Layer* const block_;  // whose list this is
  Problems& problems_;
  std::size_t at_ = 0;
};

}  // namespace

void check_wiring(const std::vector<Layer>& layers, const std::string& path, Problems& problems) {
  Wiring(layers, path, nullptr, nullptr, problems).check();
}

}  // namespace trainyard::config
