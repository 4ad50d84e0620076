#include "common/optim/ordered_sum.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>

#include "common/base/random.hpp"

namespace trainyard::optim {

namespace {

using Floats = std::shared_ptr<std::vector<float>>;

/// From tiny to huge, so that another order would round otherwise; some are denormal.
Floats some(std::size_t size, std::uint64_t seed) {
  auto out = std::make_shared<std::vector<float>>(size);
  Random random(seed);
  for (float& one : *out) {
    const float sign = random.chance(0.5) ? 1.0F : -1.0F;
    const float exponent = random.chance(0.1) ? -128.0F : static_cast<float>(random.below(40)) - 20.0F;
    one = sign * std::exp2(exponent) * (1.0F + static_cast<float>(random.below(1000)) / 1000.0F);
  }
  return out;
}

std::vector<float> after(config::OptimizerKind kind, std::size_t size, std::span<const Contribution> all) {
  config::TrainSection train;
  train.optimizer = config::optimizer_defaults(kind);
  auto table = Table::make(train, {{0, 0, size, 0}}, 10, std::vector<float>(size, 0.5F));
  REQUIRE(table.has_value());
  table->apply(all);
  return *table->values();
}

}  // namespace

TEST_CASE("an update by a sum that was made on the way has the bits of one made at once", "[optim]") {
  for (const std::size_t size : {std::size_t{1}, std::size_t{2049}, std::size_t{300'000}}) {
    for (const auto kind : {config::OptimizerKind::sgd, config::OptimizerKind::adam}) {
      std::vector<Floats> gradients;
      std::vector<Contribution> all;
      for (std::uint32_t rank = 0; rank < 7; ++rank) {
        gradients.push_back(some(size, rank + size));
        all.push_back({rank == 3 ? 0 : rank + 1, *gradients.back(), {}});
      }
      const auto expected = after(kind, size, all);
      for (std::size_t early = 0; early <= all.size(); ++early) {
        OrderedSum sum;
        for (std::size_t i = 0; i < early; ++i)
          REQUIRE(sum.add(all[i].samples, all[i].gradients, gradients[i]));
        std::vector<Contribution> rest{sum.sum()};
        rest.insert(rest.end(), all.begin() + static_cast<std::ptrdiff_t>(early), all.end());
        const auto got = after(kind, size, rest);
        CHECK(std::memcmp(got.data(), expected.data(), size * sizeof(float)) == 0);
      }
    }
  }
}

TEST_CASE("a contribution is held until there is a second one, and no longer", "[optim]") {
  OrderedSum sum;
  CHECK(sum.sum().samples == 0);
  const Floats first = some(100, 1), second = some(100, 2);
  REQUIRE(sum.add(2, *first, first));
  CHECK(first.use_count() == 2);
  CHECK(sum.sum().gradients.data() == first->data());
  REQUIRE(sum.add(3, *second, second));
  CHECK(first.use_count() == 1);
  CHECK(second.use_count() == 1);
  CHECK(sum.sum().samples == 5);
  CHECK(sum.sum().gradients[7] == (*first)[7] + (*second)[7]);
  sum.clear();
  CHECK(sum.sum().samples == 0);
  REQUIRE(sum.add(1, *second, second));
  CHECK(sum.sum().gradients[7] == (*second)[7]);
}

TEST_CASE("samples that no count holds are not added", "[optim]") {
  OrderedSum sum;
  const Floats one = some(10, 1);
  REQUIRE(sum.add(std::numeric_limits<std::uint32_t>::max(), *one, one));
  CHECK_FALSE(sum.add(1, *one, one));
  CHECK(sum.sum().samples == std::numeric_limits<std::uint32_t>::max());
}

}  // namespace trainyard::optim
