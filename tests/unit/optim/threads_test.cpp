// Tables that are large enough for a team of threads.
#include <catch2/catch.hpp>

#include "common/base/random.hpp"
#include "common/optim/table.hpp"
#include "tests/support/team.hpp"

using namespace trainyard;
using namespace trainyard::optim;
using config::OptimizerKind;

namespace {

constexpr std::uint64_t dense = 40'000, width = 8, rows = 20'000, floats = 5 * dense + rows * width;

/// Five dense slices around a tensor of rows.
std::vector<Slice> slices(std::uint64_t row) {
  std::vector<Slice> out;
  for (std::uint64_t i = 0; i < 3; ++i) out.push_back({0, i * dense, dense, 0});
  out.push_back({0, 3 * dense, rows * width, 0, 0.5, 0, row});
  for (std::uint64_t i = 3; i < 5; ++i) out.push_back({0, i * dense + rows * width, dense, 0});
  return out;
}

std::vector<float> drawn(Random& random) {
  std::vector<float> out(floats);
  for (float& value : out) value = static_cast<float>(random.normal());
  return out;
}

/// The values after five steps of two contributions, on so many threads.
std::vector<float> trained(const config::TrainSection& train, std::uint64_t row, int threads) {
  const test::Team team(threads);
  Random random(1);
  Table table = Table::make(train, slices(row), 10, drawn(random)).value();
  std::vector<std::int32_t> ids;
  for (std::int32_t id = 0; id < static_cast<std::int32_t>(rows); id += 3) ids.push_back(id);
  for (int step = 0; step < 5; ++step) {
    std::vector<float> gradients[] = {drawn(random), drawn(random)};
    std::vector<tensor::RowGradient> parts;
    std::vector<float> of_rows(ids.size() * width);
    for (float& value : of_rows) value = static_cast<float>(random.normal());
    if (row > 0) {
      for (auto& all : gradients) std::fill_n(all.begin() + 3 * dense, rows * width, 0.0F);
      parts.push_back({3 * dense, width, ids, of_rows});
    }
    const Contribution contributions[] = {{3, gradients[0], parts}, {5, gradients[1], parts}};
    table.apply(contributions);
  }
  return *table.values();
}

}  // namespace

TEST_CASE("steps of a table have the same bits for any number of threads", "[optim][threads]") {
  for (const OptimizerKind kind :
       {OptimizerKind::sgd, OptimizerKind::adam, OptimizerKind::adagrad, OptimizerKind::lamb}) {
    for (const std::uint64_t row : {std::uint64_t{0}, width}) {
      CAPTURE(static_cast<int>(kind), row);
      config::TrainSection train;
      train.optimizer = config::optimizer_defaults(kind);
      train.clip.norm = 20;
      train.ema.emplace();
      const auto alone = trained(train, row, 1);
      CHECK(trained(train, row, 2) == alone);
      CHECK(trained(train, row, 3) == alone);
    }
  }
}
