// The oracle of tables of rows: a map from ids to rows, one after the other, by the whole-tensor rule.
#pragma once

#include <array>
#include <map>
#include <vector>

#include "common/rows/table.hpp"

namespace trainyard::rows::test {

class Naive {
 public:
  explicit Naive(Settings settings) : settings_(std::move(settings)) {}

  std::vector<float> first(std::uint64_t id) const {
    std::vector<float> values(settings_.width);
    first_values(settings_.first, settings_.seed, settings_.table, id, values);
    return values;
  }
  std::vector<float> pull(std::uint64_t id) const {
    const auto it = rows_.find(id);
    return it == rows_.end() || old(it->second, clock_ + 1) ? first(id) : it->second.values;
  }
  void push(const std::vector<Part>& parts, const Update& update) {
    ++clock_;
    std::map<std::uint64_t, std::vector<float>> sums;
    for (const Part& part : parts) {
      for (std::size_t i = 0; i < part.ids.size(); ++i) {
        const auto row = part.rows.subspan(i * settings_.width, settings_.width);
        auto [it, fresh] = sums.try_emplace(part.ids[i], row.begin(), row.end());
        for (std::size_t k = 0; !fresh && k < row.size(); ++k) it->second[k] += row[k];
      }
    }
    for (const auto& [id, sum] : sums) step(id, sum, update);
    std::erase_if(rows_, [&](const auto& one) { return old(one.second, clock_); });
  }
  /// What a push will work on.
  std::size_t rows() const {
    std::size_t count = 0;
    for (const auto& [id, row] : rows_) count += old(row, clock_ + 1) ? 0 : 1;
    return count;
  }

 private:
  struct Row {
    std::vector<float> values;
    std::array<std::vector<float>, optim::rule_arrays_max> arrays;
    std::uint64_t updates = 0, touched = 0;
  };
  bool old(const Row& row, std::uint64_t clock) const {
    return settings_.expire_after > 0 && clock - row.touched > settings_.expire_after;
  }
  void step(std::uint64_t id, const std::vector<float>& sum, const Update& update) {
    auto it = rows_.find(id);
    if (it != rows_.end() && old(it->second, clock_)) {
      rows_.erase(it);
      it = rows_.end();
    }
    if (it == rows_.end()) {
      if (++seen_[id] < settings_.admit_after) return;
      Row made{.values = first(id)};
      for (const optim::RuleArray& array : optim::rule_arrays(settings_.optimizer))
        made.arrays[array.place].assign(settings_.width, array.first);
      it = rows_.emplace(id, std::move(made)).first;
    }
    Row& row = it->second;
    row.touched = clock_;
    std::vector<float> next(settings_.width);
    optim::Target target{row.values, next, {}};
    for (std::size_t k = 0; k < row.arrays.size(); ++k)
      target.arrays[k] = row.arrays[k].empty() ? nullptr : row.arrays[k].data();
    const std::span<const float> part = sum;
    optim::update(settings_.optimizer, update.rate, ++row.updates, settings_.rule, target,
                  {{&part, 1}, update.scale, update.bound});
    row.values = next;
  }

  const Settings settings_;
  std::map<std::uint64_t, Row> rows_;
  std::map<std::uint64_t, std::uint32_t> seen_;
  std::uint64_t clock_ = 0;
};

}  // namespace trainyard::rows::test
