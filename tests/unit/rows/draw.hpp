// Random pushes, and files of tables, for the tests of rows.
#pragma once

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "common/base/random.hpp"
#include "common/rows/table.hpp"

namespace trainyard::rows::test {

/// Small ones, and those where a sign, a shift or a sum could go wrong.
inline std::uint64_t draw_id(Random& random, std::uint64_t small) {
  constexpr std::uint64_t top = std::uint64_t{1} << 63;
  constexpr std::uint64_t edges[] = {0, 1, top - 1, top, top + 1, ~std::uint64_t{0}, ~std::uint64_t{0} - 1};
  if (random.chance(0.1)) return edges[random.below(std::size(edges))];
  return random.below(small) * (random.chance(0.5) ? 1 : 0x9e3779b97f4a7c15ull);
}

struct Push {
  std::vector<std::uint64_t> ids;
  std::vector<float> rows;
  Part part() const { return {ids, rows}; }
};

inline Push draw_push(Random& random, std::size_t count, std::size_t width, std::uint64_t small) {
  Push push;
  for (std::size_t i = 0; i < count; ++i) push.ids.push_back(draw_id(random, small));
  for (std::size_t i = 0; i < count * width; ++i) push.rows.push_back(static_cast<float>(random.normal()));
  return push;
}

inline std::string file_of(const Table& table) {
  std::string out;
  const Status saved = table.save([&](std::vector<std::byte> piece) -> Status {
    out.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    return {};
  });
  REQUIRE(saved.has_value());
  return out;
}

inline std::vector<float> pulled(const Table& table, const std::vector<std::uint64_t>& ids) {
  std::vector<float> out(ids.size() * table.settings().width);
  REQUIRE(table.pull(ids, out).has_value());
  return out;
}

/// Several shards of one table, of which each has its own ids.
struct Shards {
  Shards(const Settings& settings, Partition how) : partition(how) {
    for (std::uint32_t i = 0; i < how.shards; ++i) tables.push_back(Table::make(settings, how, i).value());
  }
  void push(const std::vector<Push>& parts, const Update& update) {
    for (std::uint32_t shard = 0; shard < tables.size(); ++shard) {
      const std::size_t width = tables[shard].settings().width;
      std::vector<Push> own(parts.size());
      std::vector<Part> views;
      for (std::size_t p = 0; p < parts.size(); ++p) {
        for (std::size_t i = 0; i < parts[p].ids.size(); ++i) {
          if (owner_of(partition, parts[p].ids[i]) != shard) continue;
          own[p].ids.push_back(parts[p].ids[i]);
          const auto row = parts[p].rows.begin() + static_cast<std::ptrdiff_t>(i * width);
          own[p].rows.insert(own[p].rows.end(), row, row + static_cast<std::ptrdiff_t>(width));
        }
        views.push_back(own[p].part());
      }
      REQUIRE(tables[shard].push(views, update).has_value());
    }
  }
  std::vector<float> pull(const std::vector<std::uint64_t>& ids) const {
    std::vector<float> out;
    for (const std::uint64_t id : ids) {
      const auto row = pulled(tables[owner_of(partition, id)], {id});
      out.insert(out.end(), row.begin(), row.end());
    }
    return out;
  }
  Partition partition;
  std::vector<Table> tables;
};

}  // namespace trainyard::rows::test
