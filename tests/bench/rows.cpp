// Figures of tables of rows in this process: rows_bench [ROWS] [WIDTH] [ROUNDS] [THREADS]. One table of so
// many rows with Adagrad, random ids; medians of the rounds.
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "common/base/random.hpp"
#include "common/rows/table.hpp"

namespace {

using namespace trainyard;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double seconds(const std::function<void()>& work) {
  const auto began = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

/// Ascending, none twice, of `rows`.
std::vector<std::uint64_t> drawn(Random& random, std::uint64_t rows, std::size_t count) {
  std::vector<std::uint64_t> ids;
  while (ids.size() < count) {
    while (ids.size() < count) ids.push_back(random.below(rows));
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  }
  return ids;
}

rows::Table filled(std::uint64_t rows, std::uint32_t width, Random& random) {
  rows::Settings settings{.table = 1, .seed = 7, .width = width, .first = {rows::FirstKind::uniform, 0.05F}};
  settings.optimizer = config::optimizer_defaults(config::OptimizerKind::adagrad);
  rows::Table table = rows::Table::make(settings).value();
  std::vector<std::uint64_t> order(rows);
  for (std::uint64_t i = 0; i < rows; ++i) order[i] = i;
  random.shuffle(order);  // so that neighbours by id are none in memory
  constexpr std::size_t batch = 65536;
  std::vector<float> gradients(batch * width, 0.01F);
  for (std::size_t at = 0; at < rows; at += batch) {
    const std::size_t count = std::min<std::size_t>(batch, rows - at);
    const rows::Part part{{order.data() + at, count}, {gradients.data(), count * width}};
    if (!table.push({&part, 1}, {.rate = 0.01})) std::exit(1);
  }
  return table;
}

void measure(rows::Table& table, std::uint64_t rows, std::size_t batch, int rounds, Random& random) {
  const std::size_t width = table.settings().width;
  std::vector<float> gradients(batch * width), out(batch * width);
  for (float& value : gradients) value = static_cast<float>(random.normal());
  std::vector<double> pushes, pulls;
  for (int round = 0; round < rounds; ++round) {
    double push = 0, pull = 0;
    const std::size_t repeats = std::max<std::size_t>(1, 400'000 / batch);
    for (std::size_t i = 0; i < repeats; ++i) {
      const auto ids = drawn(random, rows, batch);
      const rows::Part part{ids, gradients};
      push += seconds([&] {
        if (!table.push({&part, 1}, {.rate = 0.01})) std::exit(1);
      });
      const auto others = drawn(random, rows, batch);
      pull += seconds([&] {
        if (!table.pull(others, out)) std::exit(1);
      });
    }
    pushes.push_back(static_cast<double>(repeats * batch) / push / 1e6);
    pulls.push_back(pull / static_cast<double>(repeats) * 1e3);
  }
  std::printf("%8zu ids: %6.2f M row updates/s, pull %7.3f ms (%6.2f M rows/s)\n", batch, median(pushes),
              median(pulls), static_cast<double>(batch) / median(pulls) / 1e3);
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int index, std::uint64_t otherwise) {
    return argc > index ? std::strtoull(argv[index], nullptr, 10) : otherwise;
  };
  const std::uint64_t rows = argument(1, 3'000'000);
  const auto width = static_cast<std::uint32_t>(argument(2, 64));
  const int rounds = static_cast<int>(argument(3, 7));
  omp_set_num_threads(static_cast<int>(argument(4, 1)));
  Random random(3);
  rows::Table table = filled(rows, width, random);
  std::printf("%llu rows of %u floats, Adagrad, %.0f MB, %llu threads\n",
              static_cast<unsigned long long>(table.counts().rows), width,
              static_cast<double>(table.memory_bytes()) / 1e6,
              static_cast<unsigned long long>(argument(4, 1)));
  for (const std::size_t batch : {1'000, 10'000, 100'000})
    if (2 * batch <= rows) measure(table, rows, batch, rounds, random);
  return 0;
}
