// Tables of rows beside the oracle, over random operations.
#include "common/rows/table.hpp"

#include <catch2/catch.hpp>

#include "tests/support/team.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/rows/draw.hpp"
#include "tests/unit/rows/naive.hpp"

using namespace trainyard;
using namespace trainyard::rows;
using namespace trainyard::rows::test;
using config::OptimizerKind;

namespace {

Settings small(OptimizerKind kind, std::uint32_t width = 5) {
  Settings settings{.table = 3, .seed = 11, .width = width, .first = {FirstKind::uniform, 0.5F}};
  settings.optimizer = config::optimizer_defaults(kind);
  settings.optimizer.learning_rate = 0.1;
  return settings;
}

/// All the ways in which a rule keeps something.
std::vector<config::OptimizerSection> rules() {
  std::vector<config::OptimizerSection> out;
  for (const auto kind : {OptimizerKind::sgd, OptimizerKind::adam, OptimizerKind::adamw,
                          OptimizerKind::adagrad, OptimizerKind::rmsprop, OptimizerKind::ftrl})
    out.push_back(config::optimizer_defaults(kind));
  config::OptimizerSection momentum = out[0], nesterov = out[0], centered = out[4];
  momentum.momentum = 0.9;
  nesterov.momentum = 0.5;
  nesterov.nesterov = true;
  centered.momentum = 0.9;
  centered.centered = true;
  out.insert(out.end(), {momentum, nesterov, centered});
  out[3].initial_accumulator = 0.1;
  return out;
}

/// 150 random pushes and pulls; the table is the oracle to the last bit all the while.
void compare(const Settings& settings, std::uint64_t seed) {
  Random random(seed);
  Table table = Table::make(settings).value();
  Naive naive(settings);
  for (int i = 0; i < 150; ++i) {
    std::vector<Push> pushes;
    for (std::uint64_t p = random.below(4); p > 0; --p)
      pushes.push_back(draw_push(random, random.below(30), settings.width, 60));
    std::vector<Part> parts;
    for (const Push& push : pushes) parts.push_back(push.part());
    const Update update{
        .rate = 0.1, .scale = 0.25F, .bound = random.chance(0.3) ? std::optional(0.2F) : std::nullopt};
    REQUIRE(table.push(parts, update).has_value());
    naive.push(parts, update);
    std::vector<std::uint64_t> ids;
    std::vector<float> expected;
    for (int k = 0; k < 20; ++k) {
      ids.push_back(draw_id(random, 60));
      const auto row = naive.pull(ids.back());
      expected.insert(expected.end(), row.begin(), row.end());
    }
    REQUIRE(pulled(table, ids) == expected);
    if (!random.chance(0.05)) continue;
    // Through a file, and on from there.
    Table next = Table::make(settings).value();
    REQUIRE(next.load(file_of(table)).has_value());
    REQUIRE(next.counts().rows == naive.rows());
    table = std::move(next);
  }
}

}  // namespace

TEST_CASE("a table is the map of rows that it stands for, to the last bit, with every rule", "[rows]") {
  std::uint64_t seed = 1;
  for (const auto& rule : rules()) {
    CAPTURE(static_cast<int>(rule.kind), rule.momentum);
    Settings settings = small(rule.kind);
    settings.optimizer = rule;
    settings.rule = {.kind = optim::ValueKind::weight, .rate = 0.5, .decay = 0.01};
    compare(settings, ++seed);
    settings.width = 1;
    compare(settings, ++seed);
    settings.width = 67;
    compare(settings, ++seed);
  }
}

TEST_CASE("admission, expiry and spilling in all their combinations change no bit that they should not",
          "[rows]") {
  const trainyard::test::TempDir directory;
  std::uint64_t seed = 100;
  for (const std::uint32_t admit : {1, 3}) {
    for (const std::uint64_t expire : {0, 4, 30}) {
      for (const std::uint64_t bytes : {0, 1}) {
        CAPTURE(admit, expire, bytes);
        Settings settings = small(OptimizerKind::adam);
        settings.admit_after = admit;
        settings.expire_after = expire;
        settings.memory_bytes_max = bytes;  // a row a stripe
        if (bytes > 0) settings.spill_directory = directory.path();
        compare(settings, ++seed);
      }
    }
  }
}

TEST_CASE("a pull makes no row, whatever it asks for", "[rows]") {
  const Table table = Table::make(small(OptimizerKind::sgd)).value();
  const std::vector<std::uint64_t> ids{5, 0, ~std::uint64_t{0}, 5};
  const auto once = pulled(table, ids);
  CHECK(table.counts().rows == 0);
  CHECK(pulled(table, ids) == once);
  CHECK(std::equal(once.begin(), once.begin() + 5, once.end() - 5));
  CHECK(pulled(table, {}).empty());
}

TEST_CASE("an empty push is an update, and a row of zeros makes a row that is its first values", "[rows]") {
  Table table = Table::make(small(OptimizerKind::adagrad)).value();
  REQUIRE(table.push({}, {.rate = 1}).has_value());
  CHECK(table.clock() == 1);
  const auto before = pulled(table, {7});
  const std::vector<std::uint64_t> ids{7};
  const std::vector<float> zeros(5, 0.0F);
  const Part part{ids, zeros};
  REQUIRE(table.push({&part, 1}, {.rate = 1}).has_value());
  CHECK(table.counts().rows == 1);
  CHECK(pulled(table, {7}) == before);
}

TEST_CASE("a push or pull of the wrong size is refused and changes nothing", "[rows]") {
  Table table = Table::make(small(OptimizerKind::sgd)).value();
  const std::vector<std::uint64_t> ids{1, 2};
  std::vector<float> floats(9);
  const Part part{ids, floats};
  CHECK(table.push({&part, 1}, {.rate = 1}).error().code == Errc::invalid);
  CHECK(table.pull(ids, floats).error().code == Errc::invalid);
  CHECK(table.clock() == 0);
  CHECK(table.counts().rows == 0);
}

TEST_CASE("integers pushed add up to the last one, in any order and as doubles", "[rows]") {
  Settings settings = small(OptimizerKind::sgd, 3);
  settings.first = {};
  Table table = Table::make(settings).value();
  Random random(4);
  std::map<std::uint64_t, float> sums;
  for (int i = 0; i < 100; ++i) {
    Push push = draw_push(random, 50, 3, 20);
    for (std::size_t k = 0; k < push.ids.size(); ++k) {
      const auto value = static_cast<float>(random.below(100));
      std::fill_n(push.rows.begin() + static_cast<std::ptrdiff_t>(3 * k), 3, value);
      sums[push.ids[k]] -= value;
    }
    const Part part = push.part();
    REQUIRE(table.push({&part, 1}, {.rate = 1}).has_value());
  }
  for (const auto& [id, sum] : sums) CHECK(pulled(table, {id}) == std::vector<float>(3, sum));
}

TEST_CASE("no number of a table depends on how many threads share its work", "[rows][threads]") {
  const trainyard::test::TempDir directory;
  Settings settings = small(OptimizerKind::adam, 8);
  settings.admit_after = 2;
  settings.expire_after = 6;
  settings.memory_bytes_max = 256 * 1024;
  settings.spill_directory = directory.path();
  std::string first;
  for (const int threads : {1, 2, 3}) {
    const trainyard::test::Team team(threads);
    Table table = Table::make(settings).value();
    Random random(9);
    for (int i = 0; i < 12; ++i) {
      const Push one = draw_push(random, 6000, 8, 9000), two = draw_push(random, 3000, 8, 9000);
      const Part parts[] = {one.part(), two.part()};
      REQUIRE(table.push(parts, {.rate = 0.1, .scale = 0.5F}).has_value());
      const auto values = pulled(table, two.ids);
      CHECK(values.size() == 3000 * 8);
    }
    CHECK(table.counts().spilled > 0);
    const std::string file = file_of(table);
    if (first.empty()) first = file;
    CHECK((file == first));
  }
}

TEST_CASE("settings that make no sense are refused with their names", "[rows]") {
  const auto refused = [](auto change) {
    Settings settings = small(OptimizerKind::sgd);
    change(settings);
    const auto made = Table::make(settings);
    REQUIRE_FALSE(made.has_value());
    CHECK(made.error().code == Errc::invalid);
    return made.error().message;
  };
  CHECK(refused([](Settings& s) { s.width = 0; }).find("width") != std::string::npos);
  CHECK(refused([](Settings& s) { s.width = width_max + 1; }).find("width") != std::string::npos);
  CHECK(refused([](Settings& s) { s.optimizer.kind = OptimizerKind::lamb; }).find("lamb") !=
        std::string::npos);
  CHECK(refused([](Settings& s) { s.first.scale = -1; }).find("scale") != std::string::npos);
  CHECK(refused([](Settings& s) { s.admit_after = 0; }).find("admit_after") != std::string::npos);
  CHECK(refused([](Settings& s) { s.filter_cells = 1000; }).find("filter_cells") != std::string::npos);
  CHECK(refused([](Settings& s) { s.expire_after = ~std::uint64_t{0}; }).find("expire") != std::string::npos);
  CHECK(refused([](Settings& s) { s.memory_bytes_max = 1; }).find("directory") != std::string::npos);
  CHECK_FALSE(Table::make(small(OptimizerKind::sgd), {Spread::hash, 257}, 0).has_value());
  CHECK_FALSE(Table::make(small(OptimizerKind::sgd), {Spread::hash, 2}, 2).has_value());
}
