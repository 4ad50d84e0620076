#include "common/graph/plan.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

#include "common/tensor/buffer.hpp"

namespace trainyard::graph {

namespace {

using Order = std::vector<std::size_t>;  // of lives

constexpr std::size_t pairs_max = 20'000'000;  // that all placements of a plan look at, roughly
constexpr std::size_t promotions_max = 100;

bool meet(const Life& a, const Life& b) { return a.first <= b.last && b.first <= a.last; }

/// Each life in turn goes into the smallest gap that holds it, else behind all that it meets.
Plan place(const std::vector<Life>& lives, const Order& order) {
  Plan plan{std::vector<std::size_t>(lives.size(), 0), 0};
  Order placed, around;
  for (const std::size_t i : order) {
    const std::size_t bytes = tensor::aligned(lives[i].bytes);
    around.clear();
    for (const std::size_t other : placed) {
      if (meet(lives[i], lives[other])) around.push_back(other);
    }
    std::sort(around.begin(), around.end(),
              [&](std::size_t a, std::size_t b) { return plan.offsets[a] < plan.offsets[b]; });
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

/// The place in `order` of a life that reaches the end of the arena.
Order::iterator topmost(const std::vector<Life>& lives, const Plan& plan, Order& order) {
  return std::find_if(order.begin(), order.end(), [&](std::size_t i) {
    return plan.offsets[i] + tensor::aligned(lives[i].bytes) == plan.bytes;
  });
}

}  // namespace

Plan plan_memory(const std::vector<Life>& lives) {
  if (lives.empty()) return {};
  const std::size_t least = live_bytes_max(lives);
  const std::size_t promotions =
      std::min(promotions_max, pairs_max / (lives.size() * lives.size()) / 3);  // 3 first orders
  const auto area = [](const Life& life) { return life.bytes * (life.last - life.first + 1); };
  const std::function<bool(const Life&, const Life&)> firsts[] = {
      [](const Life& a, const Life& b) { return a.bytes > b.bytes; },
      [&](const Life& a, const Life& b) { return area(a) > area(b); },
      [](const Life& a, const Life& b) { return a.last - a.first > b.last - b.first; }};
  Plan best;
  for (const auto& before : firsts) {
    Order order(lives.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return before(lives[a], lives[b]); });
    for (std::size_t i = 0; i <= promotions; ++i) {
      Plan plan = place(lives, order);
      const auto top = topmost(lives, plan, order);
      if (best.offsets.empty() || plan.bytes < best.bytes) best = std::move(plan);
      if (best.bytes <= least) return best;
      std::rotate(order.begin(), top, top + 1);
    }
  }
  return best;
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
