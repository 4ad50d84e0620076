#include "common/optim/table.hpp"

#include <catch2/catch.hpp>

#include "common/base/random.hpp"

using namespace trainyard;
using namespace trainyard::optim;
using config::OptimizerKind;

namespace {

constexpr std::size_t floats = 3000;
constexpr std::uint8_t weight = 0, bias = 1, buffer = 2;

std::vector<Slice> slices() {
  return {{0, 0, 1700, weight, 1, 0.01},
          {0, 1700, 1000, weight, 0.5, 0},
          {0, 2700, 200, bias},
          {0, 2900, 100, buffer}};
}

config::TrainSection train_section(OptimizerKind kind) {
  config::TrainSection train;
  train.optimizer = config::optimizer_defaults(kind);
  if (kind == OptimizerKind::rmsprop) {
    train.optimizer.momentum = 0.9;
    train.optimizer.centered = true;
  }
  return train;
}

std::vector<float> normal(Random& random, std::size_t size) {
  std::vector<float> out(size);
  for (auto& value : out) value = static_cast<float>(random.normal());
  return out;
}

Table table_of(const config::TrainSection& train) {
  Random random(1);
  return Table::make(train, slices(), 10, normal(random, floats)).value();
}

void step(Table& table, Random& random, std::uint32_t samples = 4) {
  const auto gradients = normal(random, floats);
  const Contribution one{samples, gradients};
  table.apply(std::span(&one, 1));
}

std::string bytes_of(const Table& table) {
  std::string out;
  const auto saved = table.save();
  for (const auto piece : saved.pieces())
    out.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  return out;
}

double mean_norm(const Table& table, std::span<const Contribution> contributions) {
  return norm_of(table.square_sums(contributions));
}

}  // namespace

TEST_CASE("a table that was saved goes on with the same bits, whatever the optimizer", "[optim]") {
  for (const auto& [name, kind] : config::optimizer_names) {
    INFO(name);
    auto train = train_section(kind);
    train.ema.emplace();
    Table table = table_of(train);
    Random random(2);
    for (int i = 0; i < 5; ++i) step(table, random);
    step(table, random, 0);  // passes, and is no update
    auto again = Table::load(train, bytes_of(table));
    REQUIRE(again.has_value());
    CHECK(again->step() == 6);
    CHECK(again->slices() == table.slices());
    Random same = random;
    step(table, random);
    step(*again, same);
    CHECK(*again->values() == *table.values());
    CHECK(*again->averages() == *table.averages());
    CHECK(bytes_of(*again) == bytes_of(table));
  }
}

TEST_CASE("a checkpoint of another optimizer is refused, and says which", "[optim]") {
  Table table = table_of(train_section(OptimizerKind::adam));
  const std::string bytes = bytes_of(table);
  const auto refused = [&](const config::TrainSection& train) {
    const auto other = Table::load(train, bytes);
    REQUIRE_FALSE(other);
    CHECK(other.error().code == Errc::invalid);
    return other.error().message;
  };
  CHECK_THAT(refused(train_section(OptimizerKind::sgd)),
             Catch::Contains("saved by optimizer adam (first_moment, second_moment), the job has sgd;"));
  CHECK_THAT(refused(train_section(OptimizerKind::lamb)), Catch::Contains("the job has lamb (first_moment"));
  auto averaged = train_section(OptimizerKind::adam);
  averaged.ema.emplace();
  CHECK_THAT(refused(averaged), Catch::Contains("second_moment, average)"));
}

TEST_CASE("damaged tables never crash the reader", "[optim]") {
  const auto train = train_section(OptimizerKind::rmsprop);
  Table table = table_of(train);
  const std::string whole = bytes_of(table);
  for (std::size_t cut = 0; cut < whole.size(); cut += 97)
    CHECK_FALSE(Table::load(train, whole.substr(0, cut)));
  Random random(3);
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = whole;
    for (std::uint64_t i = 1 + random.below(3); i > 0; --i)
      bytes[random.below(400)] = static_cast<char>(random.below(256));
    (void)Table::load(train, bytes);
  }
}

TEST_CASE("a step without samples changes nothing and does not count for the moments", "[optim]") {
  auto train = train_section(OptimizerKind::adam);
  train.ema.emplace();
  Table with = table_of(train), without = table_of(train);
  Random random(4), same(4);
  const auto before = with.values();
  step(with, random, 0);
  CHECK(*with.values() == *before);
  CHECK(*with.averages() == *before);
  CHECK(with.step() == 1);
  (void)normal(same, floats);
  step(with, random);
  step(without, same);
  CHECK(*with.values() == *without.values());
}

TEST_CASE("published values never change, however many steps follow", "[optim]") {
  Table table = table_of(train_section(OptimizerKind::sgd));
  Random random(5);
  std::vector<Table::Values> published;
  std::vector<std::vector<float>> copies;
  for (int i = 0; i < 20; ++i) {
    step(table, random);
    if (i % 3 != 0) published.push_back(table.values());
    if (i % 3 != 0) copies.push_back(*table.values());
    if (i == 10)
      published.erase(published.begin(), published.begin() + 4),
          copies.erase(copies.begin(), copies.begin() + 4);
  }
  for (std::size_t i = 0; i < published.size(); ++i) CHECK(*published[i] == copies[i]);
}

TEST_CASE("a gradient above the norm is scaled as a whole, one below stays", "[optim]") {
  auto train = train_section(OptimizerKind::sgd);
  train.optimizer.learning_rate = 1;
  Random random(6);
  const auto first = normal(random, floats), second = normal(random, floats);
  const std::vector<Contribution> contributions{{3, first}, {0, {}}, {5, second}};
  const Table untouched = table_of(train);
  const double norm = mean_norm(untouched, contributions);
  double expected = 0;
  for (std::size_t i = 0; i < 2900; ++i) {  // not the running statistics
    const double mean = (static_cast<double>(first[i]) + static_cast<double>(second[i])) / 8;
    expected += mean * mean;
  }
  CHECK(norm == Approx(std::sqrt(expected)));

  const auto moved = [&](double bound, std::optional<double> shared) {
    train.clip.norm = bound;
    // Decay would move the values as well.
    Table table = Table::make(train, {{0, 0, 2900, weight}, {0, 2900, 100, buffer}}, 10,
                              std::vector<float>(floats, 0.0f))
                      .value();
    table.apply(contributions, {.norm = shared});
    return *table.values();
  };
  const auto whole = moved(norm * 2, std::nullopt), half = moved(norm / 2, std::nullopt);
  double sum = 0;
  for (std::size_t i = 0; i < 2900; ++i) sum += static_cast<double>(half[i]) * static_cast<double>(half[i]);
  CHECK(std::sqrt(sum) == Approx(norm / 2).epsilon(1e-4));
  CHECK(static_cast<double>(half[7]) == Approx(static_cast<double>(whole[7]) / 2).epsilon(1e-4));
  CHECK(half[2950] == whole[2950]);
  // What other owners hold counts as well: twice the norm, half of what is left.
  CHECK(static_cast<double>(moved(norm / 2, norm * 2)[7]) ==
        Approx(static_cast<double>(half[7]) / 2).epsilon(1e-4));
}

TEST_CASE("the global norm has the same bits however the slices are shared out", "[optim]") {
  Random random(7);
  const auto gradients = normal(random, floats);
  const Contribution whole{3, gradients};
  const auto train = train_section(OptimizerKind::sgd);
  const auto sums = table_of(train).square_sums(std::span(&whole, 1));
  std::vector<double> parts;
  std::size_t at = 0;
  for (const Slice& slice : slices()) {
    const Table own = Table::make(train, {slice}, 10, std::vector<float>(slice.length)).value();
    const Contribution part{3, std::span(gradients).subspan(at, slice.length)};
    parts.push_back(own.square_sums(std::span(&part, 1)).at(0));
    at += slice.length;
  }
  CHECK(parts == sums);
}

TEST_CASE("the average of the values follows them by its decay", "[optim]") {
  auto train = train_section(OptimizerKind::sgd);
  train.ema = {.decay = 0.75};
  Table table = table_of(train);
  CHECK(*table.averages() == *table.values());
  Random random(8);
  std::vector<double> expected;
  for (int i = 0; i < 10; ++i) {
    step(table, random);
    const auto& values = *table.values();
    if (i == 0) expected.assign(values.begin(), values.end());
    for (std::size_t k = 0; k < floats; ++k)
      expected[k] = 0.75 * expected[k] + 0.25 * static_cast<double>(values[k]);
  }
  double worst = 0;
  for (std::size_t k = 0; k < floats; ++k)
    worst = std::max(worst, std::abs(expected[k] - static_cast<double>((*table.averages())[k])));
  CHECK(worst < 1e-5);
  CHECK(table_of(train_section(OptimizerKind::sgd)).averages() == nullptr);
}

TEST_CASE("slices that make no sense are refused", "[optim]") {
  const auto train = train_section(OptimizerKind::sgd);
  const auto refused = [&](std::vector<Slice> list) {
    return !Table::make(train, std::move(list), 10, std::vector<float>(10));
  };
  CHECK(refused({{0, 0, 11, weight}}));
  CHECK(refused({{0, 0, 9, weight}}));
  CHECK(refused({{0, 0, 10, 3}}));
  CHECK(refused({{0, 0, 10, weight, -1}}));
  CHECK(refused({{0, 0, 10, weight, 1, std::numeric_limits<double>::quiet_NaN()}}));
  CHECK_FALSE(refused({{0, 0, 10, weight}}));
}
