// What a table is made of: partition, first values, index, filter, spilled rows.
#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <set>

#include "common/rows/filter.hpp"
#include "common/rows/index.hpp"
#include "common/rows/table.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/rows/draw.hpp"

using namespace trainyard;
using namespace trainyard::rows;
using namespace trainyard::rows::test;

TEST_CASE("every id has one owner, and shards have about as many", "[rows]") {
  for (const std::uint32_t shards : {1, 2, 3, 16}) {
    for (const Spread spread : {Spread::hash, Spread::range}) {
      const Partition partition{spread, shards, spread == Spread::range ? std::uint64_t{100'000} : 0};
      std::vector<std::uint64_t> counts(shards);
      for (std::uint64_t id = 0; id < 100'000; ++id) ++counts.at(owner_of(partition, id));
      for (const std::uint64_t count : counts) {
        CHECK(static_cast<double>(count) < 1.08 * 100'000 / shards);
        CHECK(static_cast<double>(count) > 0.92 * 100'000 / shards);
      }
      CHECK(owner_of(partition, ~std::uint64_t{0}) < shards);
    }
    const Partition whole{Spread::range, shards, 0};
    CHECK(owner_of(whole, 0) == 0);
    CHECK(owner_of(whole, ~std::uint64_t{0}) == shards - 1);
  }
  CHECK(owner_of({Spread::range, 4, 10}, 10) == 3);  // beyond the last one
}

TEST_CASE("first values depend on seed, table and id alone, and have the spread that was asked for",
          "[rows]") {
  const auto drawn = [](First first, std::uint64_t seed, std::uint64_t table, std::uint64_t id) {
    std::vector<float> out(64);
    first_values(first, seed, table, id, out);
    return out;
  };
  for (const FirstKind kind : {FirstKind::uniform, FirstKind::bell}) {
    const First first{kind, 0.5F};
    CHECK(drawn(first, 1, 2, 3) == drawn(first, 1, 2, 3));
    CHECK(drawn(first, 1, 2, 3) != drawn(first, 2, 2, 3));
    CHECK(drawn(first, 1, 2, 3) != drawn(first, 1, 3, 3));
    CHECK(drawn(first, 1, 2, 3) != drawn(first, 1, 2, 4));
    double sum = 0, squares = 0, most = 0;
    constexpr int ids = 4000;
    for (std::uint64_t id = 0; id < ids; ++id) {
      for (const float value : drawn(first, 1, 2, id)) {
        sum += value;
        squares += static_cast<double>(value) * value;
        most = std::max(most, std::abs(static_cast<double>(value)));
      }
    }
    const double count = ids * 64.0, deviation = std::sqrt(squares / count);
    CHECK(std::abs(sum / count) < 4 * deviation / std::sqrt(count));
    if (kind == FirstKind::uniform) {
      CHECK(deviation == Approx(0.5 / std::sqrt(3.0)).epsilon(0.01));
      CHECK(most <= 0.5);
    } else {
      CHECK(deviation == Approx(0.5).epsilon(0.01));
      CHECK(most <= 0.5 * 3.47);
    }
  }
  CHECK(drawn({}, 1, 2, 3) == std::vector<float>(64, 0.0F));
}

TEST_CASE("an index is right up to its last free place, grows then, and forgets what it is told to",
          "[rows]") {
  Chunks chunks;
  Index index(chunks);
  Random random(3);
  std::vector<std::uint64_t> ids;
  std::uint64_t size_before = index.bytes();
  int grown = 0;
  for (std::uint32_t i = 0; i < 100'000; ++i) {
    ids.push_back(i < 1000 ? i : random.next());
    index.insert(ids.back(), hash_of(ids.back())).where = i;
    REQUIRE(4 * index.size() * sizeof(Entry) <= 3 * index.bytes());
    if (index.bytes() == size_before) continue;
    // It was three quarters full before it grew.
    REQUIRE(4 * index.size() * sizeof(Entry) > 3 * size_before);
    size_before = index.bytes();
    ++grown;
  }
  CHECK(grown > 10);
  for (std::uint32_t i = 0; i < ids.size(); ++i) REQUIRE(index.find(ids[i], hash_of(ids[i]))->where == i);
  CHECK(index.find(ids.back() + 1, hash_of(ids.back() + 1)) == nullptr);
  index.keep([](const Entry& entry) { return entry.where % 3 == 0; });
  CHECK(index.size() == 33'334);
  for (std::uint32_t i = 0; i < ids.size(); ++i)
    REQUIRE((index.find(ids[i], hash_of(ids[i])) != nullptr) == (i % 3 == 0));
  index.keep([](const Entry&) { return false; });
  CHECK(index.size() == 0);
  CHECK(index.bytes() == 16 * sizeof(Entry));
}

TEST_CASE("a filter never counts too few, and forgets by halves", "[rows]") {
  CountingFilter filter(1024);
  Random random(5);
  std::map<std::uint64_t, int> seen;
  int high = 0, all = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::uint64_t hash = hash_of(random.below(200));
    const int count = filter.add(hash);
    CHECK(count >= ++seen[hash]);
    high += count > seen[hash] ? 1 : 0;
    ++all;
  }
  CHECK(high < all / 10);
  const std::uint64_t one = hash_of(12345);
  for (int i = 0; i < 300; ++i) (void)filter.add(one);
  CHECK(filter.add(one) == 255);
  for (std::uint64_t i = 0; i < 8 * 1024; ++i) (void)filter.add(hash_of(i % 7));
  CHECK(filter.add(one) < 200);
}

TEST_CASE("memory stays within its bound while rows are spilled, and all of them are there", "[rows]") {
  const trainyard::test::TempDir directory;
  Settings settings{.width = 60, .first = {FirstKind::uniform, 1}};
  settings.optimizer = config::optimizer_defaults(config::OptimizerKind::adagrad);
  settings.memory_bytes_max = std::uint64_t{256} * 16 * 512;  // sixteen rows a stripe
  settings.spill_directory = directory / "spill";
  Table table = Table::make(settings).value();
  Settings free = settings;
  free.memory_bytes_max = 0;
  free.spill_directory.clear();
  Table unbound = Table::make(free).value();
  Random random(6);
  for (int i = 0; i < 20; ++i) {
    const Push push = draw_push(random, 2000, 60, 20'000);
    const Part part = push.part();
    REQUIRE(table.push({&part, 1}, {.rate = 0.1}).has_value());
    REQUIRE(unbound.push({&part, 1}, {.rate = 0.1}).has_value());
    const Counts counts = table.counts();
    CHECK((counts.rows - counts.spilled) * 512 <= settings.memory_bytes_max);
  }
  CHECK(table.counts().spilled > 5000);
  CHECK(table.counts().rows == unbound.counts().rows);
  CHECK((file_of(table) == file_of(unbound)));
  CHECK(std::filesystem::is_empty(settings.spill_directory));  // no name, so that a crash leaves nothing
}

TEST_CASE("a spilled row that changed on disk is an error, not a number", "[rows]") {
  const trainyard::test::TempDir directory;
  Settings settings{.width = 8};
  settings.memory_bytes_max = 1;
  settings.spill_directory = directory.path();
  Table table = Table::make(settings).value();
  Push push;
  for (std::uint64_t id = 0; id < 2000; ++id) push.ids.push_back(id);
  push.rows.assign(2000 * 8, 1.0F);
  const Part part = push.part();
  REQUIRE(table.push({&part, 1}, {.rate = 1}).has_value());
  CHECK(pulled(table, push.ids) == std::vector<float>(2000 * 8, -1.0F));
  int changed = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
    if (gone || target.find(directory.path() + "/rows-") == std::string::npos) continue;
    const int descriptor = ::open(entry.path().c_str(), O_RDWR | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    const char wrong = 9;
    REQUIRE(::pwrite(descriptor, &wrong, 1, 30) == 1);
    ::close(descriptor);
    ++changed;
  }
  REQUIRE(changed == 1);
  std::vector<float> out(2000 * 8);
  CHECK(table.pull(push.ids, out).error().code == Errc::corrupt);
  CHECK(table.push({&part, 1}, {.rate = 1}).error().code == Errc::corrupt);
}
