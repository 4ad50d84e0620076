// One graph bound to the batch sizes that occur. Private to this layer; belongs to the thread that runs them.
#pragma once

#include <algorithm>
#include <list>
#include <memory>

#include "common/graph/program.hpp"

namespace trainyard::graph {

/// Programs of the batch sizes that were used last: the usual one, and the odd one at the end of an epoch.
class Programs {
 public:
  Programs(Graph graph, const ops::Backend& backend) : graph_(std::move(graph)), backend_(backend) {}

  Result<Program*> of(std::uint32_t batch) {
    constexpr std::size_t kept = 4;
    const auto it = std::find_if(programs_.begin(), programs_.end(),
                                 [&](const auto& program) { return program->batch() == batch; });
    if (it != programs_.end()) {
      programs_.splice(programs_.begin(), programs_, it);
      return programs_.front().get();
    }
    auto program = Program::bind(graph_, batch, backend_);
    if (!program) return program.error();
    if (programs_.size() == kept) programs_.pop_back();
    ++bound_;
    programs_.push_front(std::move(*program));
    return programs_.front().get();
  }
  /// Lets all of them go.
  void forget() { programs_.clear(); }
  const Graph& graph() const { return graph_; }
  /// How many were bound so far: where it changes, another may be gone.
  std::size_t bound() const { return bound_; }

 private:
  const Graph graph_;
  const ops::Backend& backend_;
  std::list<std::unique_ptr<Program>> programs_;
  std::size_t bound_ = 0;
};

}  // namespace trainyard::graph
