#include "common/data/split.hpp"

#include <catch2/catch.hpp>
#include <numeric>
#include <set>

#include "tests/unit/data/pictures.hpp"

using namespace trainyard;
using data::Geometry;

TEST_CASE("each record is used exactly once an epoch, whatever the gang", "[data]") {
  const std::uint32_t records = GENERATE(1u, 7u, 64u, 100u, 101u, 880u);
  const std::uint32_t trainers = GENERATE(1u, 2u, 3u, 7u);
  const std::uint32_t batch = GENERATE(1u, 8u, 32u);
  std::vector<std::uint32_t> train(records);
  std::iota(train.begin(), train.end(), 0);
  const auto order = data::epoch_order(train, 7, 3);
  const Geometry geometry{records, trainers, batch};
  std::vector<std::uint32_t> used;
  for (std::uint64_t step = 0; step < geometry.steps_per_epoch(); ++step) {
    for (std::uint32_t rank = 0; rank < trainers; ++rank) {
      const auto part = data::records_of(geometry, order, step, rank);
      CHECK(part.size() <= batch);
      used.insert(used.end(), part.begin(), part.end());
    }
  }
  CHECK(used == order);
  std::sort(used.begin(), used.end());
  CHECK(used == train);
  CHECK(geometry.partitions_per_epoch() <= 8);
  CHECK(geometry.partitions_per_epoch() * geometry.steps_per_partition() >= geometry.steps_per_epoch());
}

TEST_CASE("two trainers with batch 32 see the global batches of one with 64", "[data]") {
  std::vector<std::uint32_t> order(640);
  std::iota(order.begin(), order.end(), 0);
  const Geometry two{640, 2, 32}, one{640, 1, 64};
  for (std::uint64_t step = 0; step < one.steps_per_epoch(); ++step) {
    const auto whole = data::records_of(one, order, step, 0);
    const auto left = data::records_of(two, order, step, 0), right = data::records_of(two, order, step, 1);
    std::vector<std::uint32_t> both(left.begin(), left.end());
    both.insert(both.end(), right.begin(), right.end());
    CHECK(std::equal(whole.begin(), whole.end(), both.begin(), both.end()));
  }
}

TEST_CASE("an epoch's order depends on seed and epoch alone", "[data]") {
  std::vector<std::uint32_t> train(100);
  std::iota(train.begin(), train.end(), 0);
  CHECK(data::epoch_order(train, 7, 1) == data::epoch_order(train, 7, 1));
  CHECK(data::epoch_order(train, 7, 1) != data::epoch_order(train, 7, 2));
  CHECK(data::epoch_order(train, 7, 1) != data::epoch_order(train, 8, 1));
}

TEST_CASE("a split keeps the classes' shares and does not depend on where the folder is", "[data]") {
  test::TempDir here, there;
  for (const auto* root : {&here, &there}) {
    for (int i = 0; i < 40; ++i) {
      test::write(root->path / "rose" / ("r" + std::to_string(i) + ".jpg"), "x");
      if (i < 20) test::write(root->path / "tulip" / ("t" + std::to_string(i) + ".jpg"), "x");
    }
  }
  config::DataSection section;
  section.path = here.path.string();
  const auto first = data::open_dataset(section);
  section.path = there.path.string();
  const auto second = data::open_dataset(section);
  REQUIRE(first.has_value());
  REQUIRE(second.has_value());
  const auto a = data::split(**first, section), b = data::split(**second, section);
  CHECK(a.train.size() == 48);
  CHECK(a.validation.size() == 6);
  CHECK(a.test.size() == 6);
  CHECK(a.train == b.train);
  CHECK(a.test == b.test);
  std::set<std::uint32_t> all(a.train.begin(), a.train.end());
  all.insert(a.validation.begin(), a.validation.end());
  all.insert(a.test.begin(), a.test.end());
  CHECK(all.size() == 60);
  section.split_seed = 8;
  CHECK(data::split(**first, section).test != a.test);
}
