// Rows of gradients: a table that hears of rows beside one that hears of zeros in the other places.
#include "common/optim/rows.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "common/base/random.hpp"
#include "common/optim/table.hpp"

using namespace trainyard;
using namespace trainyard::optim;
using config::OptimizerKind;

namespace {

constexpr std::uint64_t rows = 40, width = 37, other = 300, floats = rows * width + other;

std::vector<Slice> slices(std::uint64_t row) {
  return {{0, 0, other, 0}, {0, other, rows * width, 0, 0.5, 0, row}};
}

/// The same gradient as rows and with zeros.
struct Push {
  std::vector<float> dense;  // with zeros
  std::vector<std::int32_t> ids;
  std::vector<float> values;
  tensor::RowGradient view() const { return {other, width, ids, values}; }
};

Push push_of(Random& random, double share) {
  Push push;
  push.dense.resize(floats);
  for (std::uint64_t i = 0; i < other; ++i) push.dense[i] = static_cast<float>(random.normal());
  for (std::uint64_t id = 0; id < rows; ++id) {
    if (!random.chance(share)) continue;
    push.ids.push_back(static_cast<std::int32_t>(id));
    for (std::uint64_t k = 0; k < width; ++k) {
      push.values.push_back(static_cast<float>(random.normal()));
      push.dense[other + id * width + k] = push.values.back();
    }
  }
  return push;
}

struct Pair {
  Pair(const config::TrainSection& train, double decay = 0)
      : by_rows(make(train, width, decay)), whole(make(train, 0, decay)) {}
  static Table make(const config::TrainSection& train, std::uint64_t row, double decay) {
    Random random(1);
    std::vector<float> values;
    for (std::uint64_t i = 0; i < floats; ++i) values.push_back(static_cast<float>(random.normal()));
    auto list = slices(row);
    for (Slice& slice : list) slice.decay = decay;
    return Table::make(train, list, 10, values).value();
  }
  /// Several trainers push; the gradients of the rows' tensor are zeros in what the rows go with.
  void step(const std::vector<Push>& pushes) {
    std::vector<Contribution> with_rows, with_zeros;
    std::vector<tensor::RowGradient> views;
    views.reserve(pushes.size());
    std::vector<std::vector<float>> bare;
    for (const Push& push : pushes) {
      bare.push_back(push.dense);
      std::fill(bare.back().begin() + other, bare.back().end(), 0.0F);
      views.push_back(push.view());
    }
    for (std::size_t i = 0; i < pushes.size(); ++i) {
      with_rows.push_back({3, bare[i], {&views[i], 1}});
      with_zeros.push_back({3, pushes[i].dense, {}});
    }
    by_rows.apply(with_rows);
    whole.apply(with_zeros);
  }
  double apart() const {
    double worst = 0;
    for (std::uint64_t i = 0; i < floats; ++i)
      worst = std::max(worst, std::abs(static_cast<double>((*by_rows.values())[i]) - (*whole.values())[i]));
    return worst;
  }
  Table by_rows, whole;
};

config::TrainSection train_of(OptimizerKind kind) {
  config::TrainSection train;
  train.optimizer = config::optimizer_defaults(kind);
  return train;
}

}  // namespace

TEST_CASE("steps by rows are steps with zeros elsewhere where zeros change nothing", "[optim][rows]") {
  for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adagrad}) {
    for (const int clip : {0, 1, 2}) {
      auto train = train_of(kind);
      if (clip == 1) train.clip.norm = 1.5;
      if (clip == 2) train.clip.value = 0.2;
      Pair pair(train);
      REQUIRE(pair.by_rows.by_rows());
      Random random(2);
      for (int i = 0; i < 20; ++i)
        pair.step({push_of(random, 0.3), push_of(random, 0.2), push_of(random, 0)});
      INFO("clip " << clip);
      CHECK(pair.apart() < 1e-6);
    }
  }
}

TEST_CASE("where each row has a gradient in each step every rule takes the same steps by rows",
          "[optim][rows]") {
  for (const auto& [name, kind] : config::optimizer_names) {
    INFO(name);
    auto train = train_of(kind);
    if (kind == OptimizerKind::sgd) train.optimizer.momentum = 0.9;
    Pair pair(train, 0.01);
    Random random(3);
    for (int i = 0; i < 10; ++i) pair.step({push_of(random, 1.1)});
    CHECK(pair.apart() == 0);
  }
}

TEST_CASE("a row without a gradient stands still, and so does what its rule keeps", "[optim][rows]") {
  for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adam, OptimizerKind::adamw,
                                   OptimizerKind::rmsprop, OptimizerKind::ftrl}) {
    auto train = train_of(kind);
    if (kind == OptimizerKind::sgd) train.optimizer.momentum = 0.9;
    Pair pair(train, 0.01);
    Random random(4);
    const Push first = push_of(random, 1.1);
    pair.step({first});
    const std::vector<float> before = *pair.by_rows.values();
    const auto saved = pair.by_rows.save();
    Push one = push_of(random, 0);
    one.ids = {7};
    one.values.assign(width, 0.5F);
    std::fill_n(one.dense.begin() + other + 7 * width, width, 0.5F);
    pair.step({one});
    const auto after = pair.by_rows.save();
    for (std::uint64_t i = other; i < floats; ++i) {
      const bool moved = (i - other) / width == 7;
      CHECK(((*pair.by_rows.values())[i] != before[i]) == moved);
      for (std::size_t k = 0; k < saved.arrays.size(); ++k)
        if (!moved) CHECK(after.arrays[k][i] == saved.arrays[k][i]);
      // The row itself is where a step of the whole tensor brings it.
      if (moved) CHECK((*pair.by_rows.values())[i] == (*pair.whole.values())[i]);
    }
  }
}

TEST_CASE("rules of whole tensors see zeros where there are no rows", "[optim][rows]") {
  for (const OptimizerKind kind : {OptimizerKind::lars, OptimizerKind::lamb}) {
    Pair pair(train_of(kind), 0.01);
    CHECK_FALSE(pair.by_rows.by_rows());
    Random random(5);
    for (int i = 0; i < 5; ++i) pair.step({push_of(random, 0.4), push_of(random, 0.4)});
    CHECK(*pair.by_rows.values() == *pair.whole.values());
  }
}

TEST_CASE("published values stay as they are when rows change, and averages follow them", "[optim][rows]") {
  auto train = train_of(OptimizerKind::adagrad);
  train.ema.emplace();
  Pair pair(train);
  Random random(6);
  for (int i = 0; i < 3; ++i) pair.step({push_of(random, 0.3)});
  const Table::Values published = pair.by_rows.values();
  const std::vector<float> copy = *published;
  pair.step({push_of(random, 0.3)});
  pair.step({push_of(random, 0.3)});
  CHECK(*published == copy);
  CHECK(*pair.by_rows.values() != copy);
  CHECK(pair.apart() < 1e-6);
  for (std::uint64_t i = 0; i < floats; ++i)
    CHECK((*pair.by_rows.averages())[i] == Approx((*pair.whole.averages())[i]).margin(1e-6));
}

TEST_CASE("a table with rows that was saved goes on with the same bits", "[optim][rows]") {
  const auto train = train_of(OptimizerKind::adam);
  Pair pair(train);
  Random random(7);
  for (int i = 0; i < 3; ++i) pair.step({push_of(random, 0.3)});
  std::string bytes;
  const auto saved = pair.by_rows.save();
  for (const auto piece : saved.pieces())
    bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  auto again = Table::load(train, bytes);
  REQUIRE(again.has_value());
  CHECK(again->slices() == pair.by_rows.slices());
  const Push push = push_of(random, 0.3);
  const tensor::RowGradient view = push.view();
  const Contribution one{2, push.dense, {&view, 1}};
  again->apply({&one, 1});
  pair.by_rows.apply({&one, 1});
  CHECK(*again->values() == *pair.by_rows.values());
}

TEST_CASE("sums of rows have each id once, in order, and the sums of all", "[optim][rows]") {
  RowSum sum;
  for (int round = 0; round < 2; ++round) {
    sum.clear();
    Random random(8);
    std::vector<float> whole(floats);
    for (int i = 0; i < 5; ++i) {
      const Push push = push_of(random, 0.3);
      sum.add(push.view());
      add_rows(push.view(), whole.data() + other);
    }
    std::vector<float> made(floats);
    add_rows(sum.view(), made.data() + other);
    CHECK(made == whole);
    for (std::size_t i = 1; i < sum.view().ids.size(); ++i) CHECK(sum.view().ids[i - 1] < sum.view().ids[i]);
  }
}

TEST_CASE("a tensor with rows is not cut", "[optim][rows]") {
  const std::vector<TensorSize> sizes{{.length = 100}, {.length = 1000, .row = 10}};
  const auto made = slice_over(sizes, 2, 64);
  REQUIRE(made.size() == 3);
  CHECK(made[2] == Slice{0, 100, 1000, 0, 1, 0, 10});
}
