#include "common/graph/onnx/order.hpp"

#include <queue>
#include <unordered_set>

#include "common/base/text.hpp"
#include "common/graph/model.hpp"

namespace trainyard::graph::onnx_file {
namespace {

class Sorter {
 public:
  Sorter(const onnx::GraphProto& graph, const std::vector<std::string>& given)
      : graph_(graph),
        given_(given.begin(), given.end()),
        needed_(static_cast<std::size_t>(graph.node_size())) {}

  Result<Order> run(const std::vector<std::string>& results) {
    if (graph_.node_size() > static_cast<int>(kNodesMax))
      return Error{Errc::refused, format("the ONNX graph has {} nodes; at most {} are allowed",
                                         graph_.node_size(), kNodesMax)};
    if (auto ok = find_makers(); !ok) return ok.error();
    if (auto ok = reach(results); !ok) return ok.error();
    return sort();
  }

 private:
  Status find_makers() {
    for (int i = 0; i < graph_.node_size(); ++i)
      for (const std::string& name : graph_.node(i).output())
        if (!name.empty() && (given_.contains(name) || !maker_.emplace(name, i).second))
          return Error{Errc::invalid,
                       format("{}: its output '{}' exists already", node_place(graph_.node(i)), shown(name))};
    return {};
  }

  /// Marks what the results need, backwards.
  Status reach(const std::vector<std::string>& results) {
    std::vector<int> open;
    const auto want = [&](const std::string& name) {
      ++order_.uses[name];
      if (given_.contains(name)) return true;
      const auto it = maker_.find(name);
      if (it == maker_.end()) return false;
      if (!needed_[static_cast<std::size_t>(it->second)]) open.push_back(it->second);
      needed_[static_cast<std::size_t>(it->second)] = true;
      return true;
    };
    for (const std::string& name : results)
      if (!want(name))
        return Error{Errc::invalid, format("no node of the ONNX graph gives its output '{}'", shown(name))};
    while (!open.empty()) {
      const auto& node = graph_.node(open.back());
      open.pop_back();
      for (const std::string& name : node.input())
        if (!name.empty() && !want(name))
          return Error{Errc::invalid,
                       format("{}: its input '{}' is given by nobody", node_place(node), shown(name))};
    }
    return {};
  }

  /// In the order of the file as far as that goes (Kahn, 1962).
  Result<Order> sort() {
    std::vector<std::uint32_t> waits(needed_.size(), 0);
    std::vector<std::vector<int>> users(needed_.size());
    std::size_t count = 0;
    std::priority_queue<int, std::vector<int>, std::greater<>> ready;
    for (int i = 0; i < graph_.node_size(); ++i) {
      if (!needed_[static_cast<std::size_t>(i)]) continue;
      ++count;
      for (const std::string& name : graph_.node(i).input()) {
        const auto it = maker_.find(name);
        if (name.empty() || it == maker_.end()) continue;
        ++waits[static_cast<std::size_t>(i)];
        users[static_cast<std::size_t>(it->second)].push_back(i);
      }
      if (waits[static_cast<std::size_t>(i)] == 0) ready.push(i);
    }
    while (!ready.empty()) {
      const int i = ready.top();
      ready.pop();
      order_.nodes.push_back(i);
      for (const int user : users[static_cast<std::size_t>(i)])
        if (--waits[static_cast<std::size_t>(user)] == 0) ready.push(user);
    }
    if (order_.nodes.size() == count) return std::move(order_);
    for (int i = 0; i < graph_.node_size(); ++i)
      if (needed_[static_cast<std::size_t>(i)] && waits[static_cast<std::size_t>(i)] > 0)
        return Error{Errc::invalid, format("{} waits for its own output: the graph has a cycle",
                                           node_place(graph_.node(i)))};
    return Error{Errc::invalid, "the ONNX graph has a cycle"};
  }

  const onnx::GraphProto& graph_;
  const std::unordered_set<std::string> given_;
  std::unordered_map<std::string, int> maker_;
  std::vector<bool> needed_;
  Order order_;
};

}  // namespace

Result<Order> order_of(const onnx::GraphProto& graph, const std::vector<std::string>& given,
                       const std::vector<std::string>& results) {
  return Sorter(graph, given).run(results);
}

}  // namespace trainyard::graph::onnx_file
