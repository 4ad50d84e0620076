#include "common/graph/recompute.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>

namespace trainyard::graph {
namespace {

constexpr std::size_t kNobody = SIZE_MAX;
constexpr std::size_t kSegmentsMax = 32;
constexpr std::size_t kSmall = 1000;  // a value of less than this part of all is not worth making again

/// A graph whose nodes are others; the rest stays.
struct Rewritten {
  std::vector<Value> values;
  std::vector<Node> nodes;
};

/// What a sample takes. A workspace is counted as a fourth of the value beside it: what it takes is the
/// backend's affair.
std::vector<std::size_t> sizes_of(const std::vector<Value>& values, const std::vector<Node>& nodes) {
  const auto own = [&](ValueId id) {
    const Value& value = values[id];
    if (value.place != Place::arena || value.of.opaque) return std::size_t{0};
    return static_cast<std::size_t>(std::abs(value.of.shape.volume())) * tensor::size_of(value.of.type);
  };
  std::vector<std::size_t> sizes(values.size(), 0);
  for (const Node& node : nodes)
    for (const ValueId id : node.outputs)
      sizes[id] = values[id].of.opaque ? own(node.outputs[0]) / 4 : own(id);
  return sizes;
}

/// The most bytes that live at once.
std::size_t peak(const Rewritten& graph, const std::vector<ValueId>& results) {
  const std::vector<std::size_t> sizes = sizes_of(graph.values, graph.nodes);
  std::vector<std::size_t> last(graph.values.size(), 0);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    for (const ValueId id : graph.nodes[i].outputs) last[id] = i;
    for (const ValueId id : graph.nodes[i].inputs)
      if (id != kAbsent) last[id] = i;
  }
  for (const ValueId id : results) last[id] = graph.nodes.size();
  std::vector<std::size_t> freed(graph.nodes.size() + 1, 0);
  std::size_t live = 0, most = 0;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    for (const ValueId id : graph.nodes[i].outputs) {
      live += sizes[id];
      freed[last[id]] += sizes[id];
    }
    most = std::max(most, live);
    live -= freed[i];
  }
  return most;
}

class Recomputation {
 public:
  Recomputation(const Graph& graph, std::size_t forward)
      : graph_(graph),
        forward_(forward),
        sizes_(sizes_of(graph.values, graph.nodes)),
        maker_(graph.values.size(), kNobody),
        last_(graph.values.size(), 0),
        read_(graph.values.size(), false) {
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
      for (const ValueId id : graph.nodes[i].inputs) {
        if (id == kAbsent) continue;
        if (i <= forward)  // the loss comes right behind
          last_[id] = i;
        else
          read_[id] = true;
      }
      if (i >= forward) continue;
      for (const ValueId id : graph.nodes[i].outputs) maker_[id] = i;
    }
    for (const ValueId id : graph.results) last_[id] = forward;
    std::vector<std::size_t> crossing(forward + 1, 0), ends(forward + 1, 0);
    for (std::size_t i = 0, live = 0; i < forward; ++i) {
      std::size_t kept = 0;
      for (const ValueId id : graph.nodes[i].outputs) {
        if (read_[id]) kept += sizes_[id];
        if (last_[id] <= i) continue;
        live += sizes_[id];
        ends[last_[id]] += sizes_[id];
      }
      total_ += kept;
      kept_.push_back(total_);
      live -= ends[i];
      crossing_.push_back(live);
    }
  }

  /// The first nodes of `count` segments that keep about as much each, cut where little crosses.
  std::vector<std::size_t> begins(std::size_t count) const {
    std::vector<std::size_t> out{0};
    for (std::size_t k = 1; k < count; ++k) {
      const std::size_t low = total_ / count * k - total_ / count / 2,
                        high = total_ / count * k + total_ / count / 2;
      std::size_t best = kNobody;
      for (std::size_t i = out.back(); i + 1 < forward_; ++i)
        if (kept_[i] >= low && kept_[i] <= high && (best == kNobody || crossing_[i] < crossing_[best]))
          best = i;
      if (best != kNobody && best + 1 > out.back()) out.push_back(best + 1);
    }
    return out;
  }

  Rewritten run(const std::vector<std::size_t>& begins) {
    out_ = {graph_.values,
            {graph_.nodes.begin(), graph_.nodes.begin() + static_cast<std::ptrdiff_t>(forward_)}};
    begins_ = begins;
    again_.clear();
    std::vector<bool> done(begins.size(), false);
    for (std::size_t i = forward_; i < graph_.nodes.size(); ++i) {
      Node node = graph_.nodes[i];
      for (ValueId& id : node.inputs) {
        if (id == kAbsent || i == forward_ || kept(id)) continue;
        const std::size_t segment = segment_of(maker_[id]);
        if (!done[segment]) make_again(segment);
        done[segment] = true;
        id = again_.at(id);
      }
      out_.nodes.push_back(std::move(node));
    }
    return std::move(out_);
  }

 private:
  std::size_t segment_of(std::size_t node) const {
    return static_cast<std::size_t>(std::upper_bound(begins_.begin(), begins_.end(), node) -
                                    begins_.begin()) -
           1;
  }
  /// Does the value stay from the forward pass? Those of the last segment are needed at once.
  bool kept(ValueId id) const {
    if (maker_[id] == kNobody || graph_.values[id].place != Place::arena) return true;
    const std::size_t segment = segment_of(maker_[id]);
    if (segment + 1 == begins_.size() || last_[id] >= begins_[segment + 1]) return true;
    return !graph_.values[id].of.opaque && sizes_[id] < total_ / kSmall;
  }

  void make_again(std::size_t segment) {
    const std::size_t begin = begins_[segment], end = begins_[segment + 1];
    std::vector<bool> wanted(graph_.values.size(), false), nodes(end - begin, false);
    for (std::size_t i = end; i-- > begin;) {
      const Node& node = graph_.nodes[i];
      nodes[i - begin] = std::any_of(node.outputs.begin(), node.outputs.end(),
                                     [&](ValueId id) { return wanted[id] || (read_[id] && !kept(id)); });
      if (!nodes[i - begin]) continue;
      for (const ValueId id : node.inputs)
        if (id != kAbsent && !kept(id)) wanted[id] = true;
    }
    for (std::size_t i = begin; i < end; ++i) {
      if (!nodes[i - begin]) continue;
      Node node = graph_.nodes[i];
      for (ValueId& id : node.inputs)
        if (id != kAbsent && !kept(id)) id = again_.at(id);
      for (ValueId& id : node.outputs) {  // statistics that were handed on are not handed on twice
        out_.values.push_back({graph_.values[id].of});
        again_[id] = static_cast<ValueId>(out_.values.size() - 1);
        id = again_[id];
      }
      out_.nodes.push_back(std::move(node));
    }
  }

  const Graph& graph_;
  const std::size_t forward_;
  const std::vector<std::size_t> sizes_;
  std::vector<std::size_t> maker_, last_;  // forward nodes: who makes a value, who reads it last
  std::vector<bool> read_;                 // by the backward pass
  std::vector<std::size_t> kept_,
      crossing_;  // up to a node: bytes that the backward pass reads; behind it: alive
  std::size_t total_ = 0;
  std::vector<std::size_t> begins_;
  std::map<ValueId, ValueId> again_;
  Rewritten out_;
};

}  // namespace

void recompute(Graph& graph, std::size_t forward) {
  Recomputation recomputation(graph, forward);
  Rewritten best{graph.values, graph.nodes};
  std::size_t least = peak(best, graph.results), cuts = 1;
  for (std::size_t count = 2; count <= std::min(kSegmentsMax, forward); ++count) {
    const auto begins = recomputation.begins(count);
    if (begins.size() == cuts) continue;
    cuts = begins.size();
    Rewritten candidate = recomputation.run(begins);
    const std::size_t bytes = peak(candidate, graph.results);
    if (bytes >= least) continue;
    least = bytes;
    best = std::move(candidate);
  }
  graph.values = std::move(best.values);
  graph.nodes = std::move(best.nodes);
}

}  // namespace trainyard::graph
