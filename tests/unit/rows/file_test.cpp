// Files of tables: from any number of shards to any other, and what is broken is found.
#include <catch2/catch.hpp>

#include "tests/support/temp_dir.hpp"
#include "tests/unit/rows/draw.hpp"

using namespace trainyard;
using namespace trainyard::rows;
using namespace trainyard::rows::test;

namespace {

Settings settings_of(config::OptimizerKind kind) {
  Settings settings{.table = 1, .seed = 5, .width = 6, .first = {FirstKind::bell, 0.1F}};
  settings.optimizer = config::optimizer_defaults(kind);
  return settings;
}

std::vector<Push> drawn(Random& random) {
  std::vector<Push> parts;
  for (int p = 0; p < 3; ++p) parts.push_back(draw_push(random, 40, 6, 120));
  return parts;
}

std::vector<std::uint64_t> asked(Random& random) {
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 300; ++i) ids.push_back(draw_id(random, 130));
  return ids;
}

}  // namespace

TEST_CASE("the number of shards changes no bit, also when it changes on the way", "[rows]") {
  Settings settings = settings_of(config::OptimizerKind::adam);
  for (const std::uint32_t admit : {1, 2}) {
    settings.admit_after = admit;
    settings.expire_after = 9;
    Shards alone(settings, {});
    Random random(1);
    std::vector<std::unique_ptr<Shards>> others;
    for (const Partition how : {Partition{Spread::hash, 2}, {Spread::hash, 7}, {Spread::range, 3, 130}})
      others.push_back(std::make_unique<Shards>(settings, how));
    for (int i = 0; i < 30; ++i) {
      const auto parts = drawn(random);
      alone.push(parts, {.rate = 0.1, .scale = 0.1F});
      const auto ids = asked(random);
      for (auto& shards : others) {
        shards->push(parts, {.rate = 0.1, .scale = 0.1F});
        REQUIRE(shards->pull(ids) == alone.pull(ids));
      }
      if (i % 10 != 9) continue;
      for (std::size_t k = 0; k < others.size(); ++k) {
        const auto count = 1 + (others[k]->partition.shards + static_cast<std::uint32_t>(k)) % 5;
        const Partition how{k == 2 ? Spread::range : Spread::hash, count, 0};
        auto next = std::make_unique<Shards>(settings, how);
        for (Table& to : next->tables)
          for (const Table& from : others[k]->tables) REQUIRE(to.load(file_of(from)).has_value());
        others[k] = std::move(next);
        REQUIRE(others[k]->pull(ids) == alone.pull(ids));
      }
    }
  }
}

TEST_CASE("a file is the same bytes whatever order its rows were made in", "[rows]") {
  Table forward = Table::make(settings_of(config::OptimizerKind::sgd)).value();
  Table backward = Table::make(settings_of(config::OptimizerKind::sgd)).value();
  const std::vector<float> ones(6, 1.0F);
  for (std::uint64_t i = 0; i < 500; ++i) {
    for (auto* const table : {&forward, &backward}) {
      const std::vector<std::uint64_t> id{table == &forward ? i : 499 - i};
      const Part part{id, ones};
      REQUIRE(table->push({&part, 1}, {.rate = 1}).has_value());
    }
  }
  // Ages differ, the rest is the same.
  CHECK(file_of(forward).size() == file_of(backward).size());
  std::vector<std::uint64_t> all;
  for (std::uint64_t i = 0; i < 500; ++i) all.push_back(i);
  const std::vector<float> zeros(500 * 6, 0.0F);
  const Part part{all, zeros};
  for (auto* const table : {&forward, &backward}) REQUIRE(table->push({&part, 1}, {.rate = 1}).has_value());
  CHECK((file_of(forward) == file_of(backward)));
}

TEST_CASE("a file with any byte changed, cut or added is refused", "[rows]") {
  Settings settings = settings_of(config::OptimizerKind::adagrad);
  settings.admit_after = 2;
  settings.filter_cells = 512;
  Table table = Table::make(settings).value();
  Random random(2);
  for (int i = 0; i < 3; ++i) {
    const Push push = draw_push(random, 12, 6, 10);
    const Part part = push.part();
    REQUIRE(table.push({&part, 1}, {.rate = 0.1}).has_value());
  }
  const std::string file = file_of(table);
  const auto refused = [&](const std::string& bytes) {
    return !Table::make(settings).value().load(bytes).has_value();
  };
  CHECK_FALSE(refused(file));
  for (std::size_t i = 0; i < file.size(); ++i) {
    std::string changed = file;
    changed[i] = static_cast<char>(changed[i] ^ (1 << random.below(8)));
    if (!refused(changed)) FAIL_CHECK("byte " << i);
    if (!refused(file.substr(0, i))) FAIL_CHECK("cut to " << i);
  }
  CHECK(refused(file + file));
  CHECK(refused(file + "x"));
}

TEST_CASE("a file of another table, width, rule or admission is refused in words", "[rows]") {
  const Settings settings = settings_of(config::OptimizerKind::adam);
  const std::string file = file_of(Table::make(settings).value());
  const auto refused = [&](auto change) {
    Settings other = settings;
    change(other);
    const Status loaded = Table::make(other).value().load(file);
    return !loaded && loaded.error().code == Errc::invalid;
  };
  CHECK_FALSE(refused([](Settings&) {}));
  CHECK(refused([](Settings& s) { s.table = 2; }));
  CHECK(refused([](Settings& s) { s.seed = 6; }));
  CHECK(refused([](Settings& s) { s.width = 7; }));
  CHECK(refused([](Settings& s) { s.first.scale = 0.2F; }));
  CHECK(refused([](Settings& s) { s.optimizer.kind = config::OptimizerKind::adamw; }));
  CHECK(refused([](Settings& s) { s.admit_after = 2; }));
}

TEST_CASE("the same rows twice are found", "[rows]") {
  const Settings settings = settings_of(config::OptimizerKind::sgd);
  Table table = Table::make(settings).value();
  const std::vector<std::uint64_t> ids{1, 2};
  const std::vector<float> rows(12, 1.0F);
  const Part part{ids, rows};
  REQUIRE(table.push({&part, 1}, {.rate = 1}).has_value());
  const std::string file = file_of(table);
  CHECK(table.load(file).error().code == Errc::conflict);
}
