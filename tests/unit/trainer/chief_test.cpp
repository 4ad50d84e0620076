#include "daemons/trainer/chief.hpp"

#include <catch2/catch.hpp>
#include <cmath>

using namespace trainyard;
using namespace trainyard::trainer;
using protocol::Ending;

namespace {

const Time start{};

std::vector<EpochRow> history(const std::string& metric, std::initializer_list<double> values) {
  std::vector<EpochRow> rows;
  for (const double value : values) {
    const std::uint64_t epoch = rows.size() + 1;
    rows.push_back({epoch, epoch * 10, {{metric, value}}});
  }
  return rows;
}

bool stops(const std::string& metric, std::uint32_t patience, std::initializer_list<double> values) {
  return should_stop_early({.metric = metric, .patience = patience}, history(metric, values));
}

}  // namespace

TEST_CASE("a checkpoint is due once so much time has passed since the one before was marked", "[trainer]") {
  Chief chief(10s, 1000, start);
  CHECK(chief.mark(1, start) == Marks{false, Ending::none});
  CHECK(chief.mark(2, start + 9999ms) == Marks{false, Ending::none});
  CHECK(chief.mark(3, start + 12s) == Marks{true, Ending::none});
  CHECK(chief.mark(4, start + 21s) == Marks{false, Ending::none});
  CHECK(chief.mark(5, start + 22s) == Marks{true, Ending::none});
}

TEST_CASE("the last step of the training is saved, whenever the last checkpoint was", "[trainer]") {
  Chief chief(10s, 3, start);
  CHECK(chief.mark(1, start) == Marks{false, Ending::none});
  CHECK(chief.mark(2, start + 10s) == Marks{true, Ending::none});
  CHECK(chief.mark(3, start + 10s) == Marks{true, Ending::done});
}

TEST_CASE("asked to stop, the chief ends with the next step and saves it", "[trainer]") {
  Chief chief(1h, 1000, start);
  CHECK(chief.mark(7, start + 1s) == Marks{false, Ending::none});
  CHECK_FALSE(chief.stopping());
  chief.stop(Ending::stopped);
  chief.stop(Ending::done);
  CHECK(chief.stopping());
  CHECK(chief.mark(8, start + 2s) == Marks{true, Ending::stopped});
}

TEST_CASE("a checkpoint is awaited until it is committed", "[trainer]") {
  Chief chief(1s, 100, start);
  CHECK(chief.awaited() == 0);
  chief.begin(10);
  CHECK(chief.awaited() == 10);
  REQUIRE(chief.may_commit(10));
  chief.committed(10);
  CHECK(chief.awaited() == 0);
  // The master asks again when it did not hear that the manifest is written; never of an older one.
  CHECK(chief.may_commit(10));
  CHECK_FALSE(chief.may_commit(9));
}

TEST_CASE("a newer checkpoint takes the place of one that is not committed yet", "[trainer]") {
  Chief chief(1s, 100, start);
  chief.begin(10);
  chief.begin(20);
  CHECK(chief.awaited() == 20);
  CHECK_FALSE(chief.may_commit(10));
  CHECK_FALSE(chief.give_up(10));
  CHECK(chief.may_commit(20));
}

TEST_CASE("a checkpoint of which a part is missing is given up once, and never committed", "[trainer]") {
  Chief chief(1s, 100, start);
  chief.begin(10);
  chief.committed(10);
  chief.begin(20);
  CHECK(chief.give_up(20));
  CHECK(chief.awaited() == 0);
  CHECK_FALSE(chief.give_up(20));  // the other shard's disk is as full
  CHECK_FALSE(chief.may_commit(20));
  // The next one is tried as if nothing had been.
  chief.begin(30);
  CHECK(chief.may_commit(30));
  chief.committed(30);
  CHECK(chief.awaited() == 0);
  CHECK_FALSE(chief.give_up(30));
}

TEST_CASE("giving up costs no time: the next checkpoint is due when it would have been", "[trainer]") {
  Chief chief(10s, 1000, start);
  REQUIRE(chief.mark(1, start + 10s).checkpoint);
  chief.begin(1);
  REQUIRE(chief.give_up(1));
  CHECK_FALSE(chief.mark(2, start + 19s).checkpoint);
  CHECK(chief.mark(3, start + 20s).checkpoint);
}

TEST_CASE("training stops early once a metric did not get better for so many epochs", "[trainer]") {
  CHECK_FALSE(stops("validation/accuracy", 2, {}));
  CHECK_FALSE(stops("validation/accuracy", 2, {0.5}));
  CHECK_FALSE(stops("validation/accuracy", 2, {0.5, 0.4}));
  CHECK(stops("validation/accuracy", 2, {0.5, 0.4, 0.5}));  // as good is not better
  CHECK_FALSE(stops("validation/accuracy", 2, {0.5, 0.4, 0.6}));
  CHECK(stops("validation/accuracy", 2, {0.5, 0.4, 0.6, 0.55, 0.59}));
}

TEST_CASE("of losses and times less is better, of anything else more", "[trainer]") {
  CHECK(stops("validation/loss", 1, {0.5, 0.6}));
  CHECK_FALSE(stops("validation/loss", 1, {0.6, 0.5}));
  CHECK(stops("train/accuracy", 1, {0.6, 0.5}));
  CHECK_FALSE(stops("train/accuracy", 1, {0.5, 0.6}));
  for (const char* metric : config::history_metrics) {
    INFO(metric);
    const std::string name = metric;
    const bool less = name.ends_with("loss") || name == "seconds" || name.starts_with("wait/");
    CHECK(stops(metric, 2, {1, 2, 3}) == less);
    CHECK(stops(metric, 2, {3, 2, 1}) != less);
  }
}

TEST_CASE("an epoch without the metric, or whose metric is no number, is neither better nor the best",
          "[trainer]") {
  const double none = std::nan("");
  CHECK(stops("validation/loss", 2, {0.5, none, none}));
  CHECK_FALSE(stops("validation/loss", 2, {none, 0.5, 0.4}));
  auto rows = history("validation/loss", {0.5, 0.6, 0.7});
  rows[1].metrics = {{"train/loss", 9}};
  CHECK_FALSE(should_stop_early({.metric = "validation/loss", .patience = 2}, rows));
  CHECK(should_stop_early({.metric = "validation/loss", .patience = 1}, rows));
}
