#include "common/graph/draw/picture.hpp"

#include <algorithm>
#include <map>

#include "common/base/text.hpp"

namespace trainyard::graph {
namespace {

using Family = Box::Family;

Family family_of(const Graph& graph, const Node& node) {
  switch (node.kind) {
    case Kind::conv2d:
    case Kind::conv2d_grad_data:
    case Kind::dense:
    case Kind::matmul:
      return Family::linear;
    case Kind::batch_norm:
    case Kind::layer_norm:
    case Kind::group_norm:
    case Kind::lrn:
      return Family::norm;
    case Kind::max_pool:
    case Kind::avg_pool:
    case Kind::reduce:
      return Family::pool;
    case Kind::concat:
      return Family::merge;
    case Kind::binary:
    case Kind::where: {
      const auto made = [&](ValueId id) { return graph.values[id].place == Place::arena; };
      return std::count_if(node.inputs.begin(), node.inputs.end(), made) > 1 ? Family::merge
                                                                             : Family::activation;
    }
    case Kind::recurrent:
    case Kind::attention:
    case Kind::embedding_bag:
    case Kind::gather:
      return Family::sequence;
    case Kind::unary:
    case Kind::softmax:
    case Kind::log_softmax:
    case Kind::dropout:
      return Family::activation;
    default:
      return Family::movement;
  }
}

/// How much a node says about its layer.
int weight_of(Family family) {
  switch (family) {
    case Family::sequence:
      return 5;
    case Family::linear:
      return 4;
    case Family::merge:
      return 3;
    case Family::pool:
    case Family::norm:
      return 2;
    case Family::activation:
      return 1;
    default:
      return 0;
  }
}

std::string shape_text(const Signature& of) {
  std::string out;
  for (std::size_t axis = 1; axis < of.shape.rank(); ++axis)
    out += (out.empty() ? "" : " x ") + std::to_string(of.shape[axis]);
  return out.empty() ? of.shape.text() : out;
}

std::string window_text(std::int64_t height, std::int64_t width, std::int64_t down, std::int64_t right) {
  std::string out = format(" {}x{}", height, width);
  if (down != 1 || right != 1) out += down == right ? format(" /{}", down) : format(" /{}x{}", down, right);
  return out;
}

std::string simple_name(const Node& node) {
  if (node.kind == Kind::unary) return ops::name_of(node.attributes.function);
  if (node.kind == Kind::binary) return ops::name_of(node.attributes.arithmetic);
  return ops::name_of(node.kind);
}

std::string title_of(const Graph& graph, const Node& node, const std::string& kind) {
  const Attributes& a = node.attributes;
  std::string out = kind.empty() ? simple_name(node) : kind;
  switch (node.kind) {
    case Kind::conv2d:
    case Kind::conv2d_grad_data:
      out += window_text(a.kernel_height, a.kernel_width, a.stride_height, a.stride_width);
      out += format(", {}", graph.shape(node.outputs[0])[1]);
      if (a.groups > 1) out += format(", {} groups", a.groups);
      return out;
    case Kind::max_pool:
    case Kind::avg_pool:
      if (kind.starts_with("global")) return out;
      return out + window_text(a.kernel_height, a.kernel_width, a.stride_height, a.stride_width);
    case Kind::dense: {
      const Shape& y = graph.shape(node.outputs[0]);
      return out + format(" {}", y[y.rank() - 1]);
    }
    case Kind::recurrent:
      return out + format(" {}", graph.shape(node.inputs[2])[2]);
    default:
      return out;
  }
}

/// A layer: nodes of one origin that stand together.
struct Part {
  std::vector<const Node*> nodes;
  std::uint32_t origin = 0;
  std::vector<std::size_t> from;
  std::size_t uses = 0;
};

class Drawing {
 public:
  explicit Drawing(const Model& model) : graph_(model.graph), maker_(graph_.values.size(), kNobody) {}

  Picture run() {
    std::vector<bool> used(graph_.values.size(), false);
    for (const Node& node : graph_.nodes)
      for (const ValueId id : node.inputs)
        if (id != kAbsent) used[id] = true;
    for (ValueId id = 0; id < graph_.values.size(); ++id) {
      if (graph_.values[id].place != Place::external || !used[id]) continue;
      maker_[id] = boxes_.size();
      boxes_.push_back({Family::input, graph_.externals[graph_.values[id].offset].name, "", "",
                        shape_text(graph_.signature(id)), ""});
      sources_.emplace_back();
    }
    const std::size_t inputs = boxes_.size();
    for (const Node& node : graph_.nodes) add(node);
    for (std::size_t i = 0; i < parts_.size(); ++i) describe(inputs + i, parts_[i]);
    if (!graph_.results.empty()) result(graph_.results[0]);
    group();
    return folded();
  }

 private:
  static constexpr std::size_t kNobody = SIZE_MAX;

  void add(const Node& node) {
    const std::size_t inputs = boxes_.size() - parts_.size();
    if (parts_.empty() || parts_.back().origin != node.origin || node.origin == 0) {
      parts_.push_back({{}, node.origin, {}, 0});
      boxes_.emplace_back();
      sources_.emplace_back();
    }
    const std::size_t at = inputs + parts_.size() - 1;
    parts_.back().nodes.push_back(&node);
    for (const ValueId id : node.inputs) link(id, at);
    for (const ValueId id : node.outputs) maker_[id] = at;
  }

  void link(ValueId id, std::size_t to) {
    if (id == kAbsent || maker_[id] == kNobody || maker_[id] == to) return;
    auto& sources = sources_[to];
    if (std::find(sources.begin(), sources.end(), maker_[id]) == sources.end()) sources.push_back(maker_[id]);
  }

  void result(ValueId id) {
    if (maker_[id] == kNobody) return;
    boxes_.push_back({Family::output, "output", "", "", shape_text(graph_.signature(id)), ""});
    sources_.emplace_back();
    link(id, boxes_.size() - 1);
  }

  void describe(std::size_t at, const Part& part) {
    Box& box = boxes_[at];
    const Node* main = part.nodes.front();
    for (const Node* node : part.nodes)
      if (weight_of(family_of(graph_, *node)) > weight_of(family_of(graph_, *main))) main = node;
    const Origin& origin = graph_.origins[part.origin];
    box.family = family_of(graph_, *main);
    box.title = title_of(graph_, *main, origin.kind);
    box.name = origin.name;
    box.result = shape_text(graph_.signature(part.nodes.back()->outputs[0]));
    bool behind = false;
    for (const Node* node : part.nodes) {
      const Family family = family_of(graph_, *node);
      if (behind && (family == Family::activation || family == Family::norm))
        box.more += (box.more.empty() ? "" : ", ") + simple_name(*node);
      behind = behind || node == main;
    }
  }

  /// A block is named after what joins its ends: layers with its name in front belong to it, those of a block
  /// inside too.
  void group() {
    std::vector<std::string> blocks;
    for (const Box& box : boxes_)
      if (box.family == Family::merge && !box.name.empty()) blocks.push_back(box.name);
    for (Box& box : boxes_) {
      for (const std::string& block : blocks) {
        const bool inside = box.name == block || box.name.starts_with(block + ".");
        if (inside && (box.group.empty() || block.size() < box.group.size())) box.group = block;
      }
    }
  }

  /// Norms and activations behind a box that nothing else takes become a part of it.
  Picture folded() {
    std::vector<std::size_t> uses(boxes_.size(), 0), home(boxes_.size());
    for (const auto& sources : sources_)
      for (const std::size_t from : sources) ++uses[from];
    Picture picture;
    for (std::size_t i = 0; i < boxes_.size(); ++i) {
      const Box& box = boxes_[i];
      const bool light = box.family == Family::norm || box.family == Family::activation;
      if (light && sources_[i].size() == 1 && uses[sources_[i][0]] == 1 &&
          boxes_[sources_[i][0]].family != Family::input) {
        home[i] = home[sources_[i][0]];
        Box& into = picture.boxes[home[i]];
        into.more += (into.more.empty() ? "" : ", ") + box.title + (box.more.empty() ? "" : ", " + box.more);
        into.result = box.result;
        continue;
      }
      home[i] = picture.boxes.size();
      picture.boxes.push_back(box);
      for (const std::size_t from : sources_[i]) picture.arrows.push_back({home[from], home[i]});
    }
    return picture;
  }

  const Graph& graph_;
  std::vector<std::size_t> maker_;  // box that makes a value
  std::vector<Box> boxes_;
  std::vector<std::vector<std::size_t>> sources_;  // of boxes
  std::vector<Part> parts_;
};

}  // namespace

Picture picture_of(const Model& model) { return Drawing(model).run(); }

}  // namespace trainyard::graph
