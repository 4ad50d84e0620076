#include "common/graph/draw/layout.hpp"

#include <algorithm>
#include <cstdint>

namespace trainyard::graph {
namespace {

constexpr double gap_between = 22, gap_below = 30, margin = 24, lane = 14;
constexpr int order_sweeps = 24, place_sweeps = 60;

/// A box, or a point at which a long arrow crosses a layer.
struct Spot {
  BoxSize size;
  std::size_t layer = 0;
  bool bend = false;
  std::vector<std::size_t> above, below;
  double x = 0;
};

class Layering {
 public:
  Layering(const std::vector<BoxSize>& boxes, const std::vector<Arrow>& arrows)
      : boxes_(boxes), arrows_(arrows), ways_(arrows.size()) {}

  Layout run() {
    assign_layers();
    add_bends();
    order();
    place();
    return drawn();
  }

 private:
  using Row = std::vector<std::size_t>;

  void assign_layers() {
    for (const BoxSize& size : boxes_) spots_.push_back({size, 0, false, {}, {}, 0});
    for (std::size_t to = 0; to < boxes_.size(); ++to)
      for (const Arrow& arrow : arrows_)
        if (arrow.to == to) spots_[to].layer = std::max(spots_[to].layer, spots_[arrow.from].layer + 1);
    // An input moves down to where it is needed first.
    for (std::size_t at = 0; at < boxes_.size(); ++at) {
      std::size_t need = SIZE_MAX;
      bool source = true;
      for (const Arrow& arrow : arrows_) {
        if (arrow.to == at) source = false;
        if (arrow.from == at) need = std::min(need, spots_[arrow.to].layer - 1);
      }
      if (source && need != SIZE_MAX) spots_[at].layer = need;
    }
  }

  void connect(std::size_t from, std::size_t to) {
    spots_[from].below.push_back(to);
    spots_[to].above.push_back(from);
  }

  void add_bends() {
    for (std::size_t a = 0; a < arrows_.size(); ++a) {
      std::size_t last = arrows_[a].from;
      ways_[a].push_back(last);
      for (std::size_t layer = spots_[last].layer + 1; layer < spots_[arrows_[a].to].layer; ++layer) {
        spots_.push_back({{lane, 0}, layer, true, {}, {}, 0});
        connect(last, spots_.size() - 1);
        last = spots_.size() - 1;
        ways_[a].push_back(last);
      }
      connect(last, arrows_[a].to);
      ways_[a].push_back(arrows_[a].to);
    }
    for (const Spot& spot : spots_)
      if (rows_.size() <= spot.layer) rows_.resize(spot.layer + 1);
    // Depth first, so that what belongs together begins together.
    std::vector<bool> seen(spots_.size(), false);
    std::vector<std::size_t> open;
    for (std::size_t at = boxes_.size(); at-- > 0;)
      if (spots_[at].above.empty()) open.push_back(at);
    while (!open.empty()) {
      const std::size_t at = open.back();
      open.pop_back();
      if (seen[at]) continue;
      seen[at] = true;
      rows_[spots_[at].layer].push_back(at);
      for (std::size_t i = spots_[at].below.size(); i-- > 0;) open.push_back(spots_[at].below[i]);
    }
  }

  std::vector<std::size_t> positions() const {
    std::vector<std::size_t> at(spots_.size(), 0);
    for (const Row& row : rows_)
      for (std::size_t i = 0; i < row.size(); ++i) at[row[i]] = i;
    return at;
  }

  /// Between a row and the one below it: pairs of arrows whose ends are in the other order.
  std::size_t crossings(const Row& row, const std::vector<std::size_t>& at) const {
    std::vector<std::size_t> ends;
    for (const std::size_t spot : row) {
      const std::size_t first = ends.size();
      for (const std::size_t below : spots_[spot].below) ends.push_back(at[below]);
      std::sort(ends.begin() + static_cast<std::ptrdiff_t>(first), ends.end());
    }
    std::size_t count = 0;
    for (std::size_t i = 0; i < ends.size(); ++i)
      for (std::size_t k = i + 1; k < ends.size(); ++k) count += ends[i] > ends[k] ? 1 : 0;
    return count;
  }

  std::size_t all_crossings() const {
    const auto at = positions();
    std::size_t count = 0;
    for (const Row& row : rows_) count += crossings(row, at);
    return count;
  }

  void order() {
    std::vector<Row> best = rows_;
    std::size_t fewest = all_crossings();
    for (int sweep = 0; sweep < order_sweeps && fewest > 0; ++sweep) {
      const bool down = sweep % 2 == 0;
      for (std::size_t i = 0; i < rows_.size(); ++i) sort_row(rows_[down ? i : rows_.size() - 1 - i], down);
      const std::size_t now = all_crossings();
      if (now >= fewest) continue;
      fewest = now;
      best = rows_;
    }
    rows_ = best;
  }

  void sort_row(Row& row, bool down) {
    const auto at = positions();
    std::vector<std::pair<double, std::size_t>> keyed;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const auto& near = down ? spots_[row[i]].above : spots_[row[i]].below;
      double sum = 0;
      for (const std::size_t other : near) sum += static_cast<double>(at[other]);
      keyed.emplace_back(near.empty() ? static_cast<double>(i) : sum / static_cast<double>(near.size()),
                         row[i]);
    }
    std::stable_sort(keyed.begin(), keyed.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (std::size_t i = 0; i < row.size(); ++i) row[i] = keyed[i].second;
  }

  double apart(std::size_t left, std::size_t right) const {
    const Spot &a = spots_[left], &b = spots_[right];
    const double gap = a.bend && b.bend ? lane / 2 : gap_between;
    return (a.size.width + b.size.width) / 2 + gap;
  }

  void place() {
    for (const Row& row : rows_) {
      double x = 0;
      for (std::size_t i = 0; i < row.size(); ++i) {
        if (i > 0) x += apart(row[i - 1], row[i]);
        spots_[row[i]].x = x;
      }
      for (const std::size_t spot : row) spots_[spot].x -= x / 2;
    }
    for (int sweep = 0; sweep < place_sweeps; ++sweep) {
      const bool down = sweep % 2 == 0;
      for (std::size_t i = 0; i < rows_.size(); ++i)
        settle(rows_[down ? i : rows_.size() - 1 - i], down, 2 * sweep >= place_sweeps);
    }
  }

  /// How much the ends of an arrow want to be above each other: most where it is the only one of both and so
  /// a part of a chain, least where it only passes by.
  double pull(std::size_t from, std::size_t to) const {
    const Spot &a = spots_[from], &b = spots_[to];
    if (a.below.size() == 1 && b.above.size() == 1) return 8;
    return a.bend || b.bend ? 0.02 : 0.3;
  }

  /// Moves a row as near to where its neighbours are as its order allows: least squares with distances kept,
  /// by pooling of adjacent violators (Ayer and others, 1955). What stands alone is the trunk, at 0.
  void settle(const Row& row, bool down, bool both) {
    if (row.size() == 1) {
      spots_[row[0]].x = 0;
      return;
    }
    struct Pool {
      double weight, sum;
      std::size_t count;
      double mean() const { return sum / weight; }
    };
    std::vector<Pool> pools;
    std::vector<double> offset(row.size(), 0);
    for (std::size_t i = 0; i < row.size(); ++i) {
      const Spot& spot = spots_[row[i]];
      if (i > 0) offset[i] = offset[i - 1] + apart(row[i - 1], row[i]);
      double sum = 0, all = 0;
      const auto look = [&](std::size_t other, double weight) {
        sum += weight * spots_[other].x;
        all += weight;
      };
      if (down || both)
        for (const std::size_t other : spot.above) look(other, pull(other, row[i]));
      if (!down || both)
        for (const std::size_t other : spot.below) look(other, pull(row[i], other));
      const double wish = all > 0 ? sum / all : spot.x;
      const double weight = spot.bend ? 0.02 : 3;  // boxes go where they want to, arrows find a way
      pools.push_back({weight, weight * (wish - offset[i]), 1});
      while (pools.size() > 1 && pools[pools.size() - 2].mean() > pools.back().mean()) {
        const Pool last = pools.back();
        pools.pop_back();
        pools.back() = {pools.back().weight + last.weight, pools.back().sum + last.sum,
                        pools.back().count + last.count};
      }
    }
    std::size_t i = 0;
    for (const Pool& pool : pools)
      for (std::size_t k = 0; k < pool.count; ++k, ++i) spots_[row[i]].x = pool.mean() + offset[i];
  }

  Layout drawn() const {
    Layout out;
    double left = 0, right = 0;
    for (const Spot& spot : spots_) {
      left = std::min(left, spot.x - spot.size.width / 2);
      right = std::max(right, spot.x + spot.size.width / 2);
    }
    std::vector<double> middle(rows_.size(), 0), height(rows_.size(), 0);
    double y = margin;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      for (const std::size_t spot : rows_[i]) height[i] = std::max(height[i], spots_[spot].size.height);
      middle[i] = y + height[i] / 2;
      y += height[i] + gap_below;
    }
    const auto x_of = [&](std::size_t spot) { return spots_[spot].x - left + margin; };
    for (std::size_t i = 0; i < boxes_.size(); ++i) out.centers.push_back({x_of(i), middle[spots_[i].layer]});
    for (const auto& way : ways_) {
      std::vector<Point> route;
      route.push_back({x_of(way.front()), out.centers[way.front()].y + boxes_[way.front()].height / 2});
      for (std::size_t k = 1; k + 1 < way.size(); ++k) {
        const std::size_t layer = spots_[way[k]].layer;
        route.push_back({x_of(way[k]), middle[layer] - height[layer] / 2});
        route.push_back({x_of(way[k]), middle[layer] + height[layer] / 2});
      }
      route.push_back({x_of(way.back()), out.centers[way.back()].y - boxes_[way.back()].height / 2});
      out.routes.push_back(std::move(route));
    }
    out.width = right - left + 2 * margin;
    out.height = y - gap_below + margin;
    return out;
  }

  const std::vector<BoxSize>& boxes_;
  const std::vector<Arrow>& arrows_;
  std::vector<Spot> spots_;                     // boxes first
  std::vector<std::vector<std::size_t>> ways_;  // of arrows: the spots that they pass
  std::vector<Row> rows_;
};

}  // namespace

Layout layered_layout(const std::vector<BoxSize>& boxes, const std::vector<Arrow>& arrows) {
  return Layering(boxes, arrows).run();
}

}  // namespace trainyard::graph
