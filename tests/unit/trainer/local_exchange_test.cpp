// The exchange of a trainer without shards, with gradients that come as rows.
#include <catch2/catch.hpp>

#include "common/base/random.hpp"
#include "daemons/trainer/exchange.hpp"

namespace trainyard::trainer {
namespace {

constexpr std::uint64_t kDense = 50, kFrozen = 20, kRows = 30, kWidth = 8;
constexpr std::uint64_t kTable = kDense + kFrozen, kFloats = kTable + kRows * kWidth;

std::vector<optim::TensorSize> tensors(std::uint64_t row, bool frozen) {
  return {{.length = kDense}, {.length = kFrozen, .frozen = frozen}, {.length = kRows * kWidth, .row = row}};
}

std::vector<float> normal(Random& random, std::size_t count) {
  std::vector<float> out(count);
  for (float& value : out) value = static_cast<float>(random.normal());
  return out;
}

}  // namespace

TEST_CASE("a trainer alone takes the same steps by rows as with zeros around them", "[exchange][rows]") {
  for (const bool frozen : {false, true}) {
    config::TrainSection train;
    train.optimizer = config::optimizer_defaults(config::OptimizerKind::adagrad);
    train.clip.norm = 2.0;
    LocalExchange by_rows(train, tensors(kWidth, frozen), 10), whole(train, tensors(0, frozen), 10);
    Random random(1);
    std::vector<float> values = normal(random, kFloats), same = values;
    const std::vector<float> before = values;
    REQUIRE(by_rows.begin(values).has_value());
    REQUIRE(whole.begin(same).has_value());
    for (std::uint64_t step = 1; step <= 8; ++step) {
      std::vector<float> dense = normal(random, kFloats), bare = dense;
      std::vector<std::int32_t> ids;
      std::vector<float> rows;
      for (std::uint64_t id = 0; id < kRows; ++id)
        for (std::uint64_t k = 0, taken = id % 3 == step % 3; k < kWidth; ++k) {
          const std::uint64_t at = kTable + id * kWidth + k;
          if (taken != 0 && k == 0) ids.push_back(static_cast<std::int32_t>(id));
          if (taken != 0) rows.push_back(dense[at]);
          if (taken == 0) dense[at] = 0;
          bare[at] = 0;
        }
      const tensor::RowGradient part{kTable, kWidth, ids, rows};
      const std::uint32_t samples = step == 4 ? 0 : 3;  // a step without samples passes
      REQUIRE(by_rows.step({.step = step, .samples = samples, .gradients = bare, .rows = {&part, 1}}, values)
                  .has_value());
      REQUIRE(whole.step({.step = step, .samples = samples, .gradients = dense}, same).has_value());
    }
    for (std::uint64_t i = 0; i < kFloats; ++i) {
      INFO("value " << i);
      CHECK(values[i] == Approx(same[i]).margin(1e-6));
      const bool stands = frozen && i >= kDense && i < kTable;
      CHECK((values[i] == before[i]) == stands);
    }
  }
}

}  // namespace trainyard::trainer
