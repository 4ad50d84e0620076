#include "common/graph/plan.hpp"

#include <algorithm>
#include <numeric>

#include "common/tensor/buffer.hpp"

namespace trainyard::graph {

namespace {

bool meet(const Life& a, const Life& b) { return a.first <= b.last && b.first <= a.last; }

}  // namespace

Plan plan_memory(const std::vector<Life>& lives) {
  std::vector<std::size_t> order(lives.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return lives[a].bytes > lives[b].bytes; });
  Plan plan{std::vector<std::size_t>(lives.size(), 0), 0};
  std::vector<std::size_t> placed;
  for (const std::size_t i : order) {
    const std::size_t bytes = tensor::aligned(lives[i].bytes);
    std::vector<std::size_t> around;
    for (const std::size_t other : placed) {
      if (meet(lives[i], lives[other])) around.push_back(other);
    }
    std::sort(around.begin(), around.end(),
              [&](std::size_t a, std::size_t b) { return plan.offsets[a] < plan.offsets[b]; });
    // The smallest gap that holds it; else behind all.
    std::size_t end = 0, best = 0, best_gap = SIZE_MAX;
    for (const std::size_t other : around) {
      const std::size_t offset = plan.offsets[other];
      if (offset >= end + bytes && offset - end < best_gap) {
        best = end;
        best_gap = offset - end;
      }
      end = std::max(end, offset + tensor::aligned(lives[other].bytes));
    }
    plan.offsets[i] = best_gap == SIZE_MAX ? end : best;
    plan.bytes = std::max(plan.bytes, plan.offsets[i] + bytes);
    placed.push_back(i);
  }
  return plan;
}

std::size_t live_bytes_max(const std::vector<Life>& lives) {
  std::size_t most = 0;
  for (const Life& at : lives) {
    std::size_t sum = 0;
    for (const Life& life : lives) {
      if (life.first <= at.first && at.first <= life.last) sum += tensor::aligned(life.bytes);
    }
    most = std::max(most, sum);
  }
  return most;
}

}  // namespace trainyard::graph
