// Figures of tables of rows in this process: rows_bench [ROWS] [WIDTH] [ROUNDS] [THREADS]. One table of so
// many rows with Adagrad, random ids; medians of the rounds.
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>

#include "common/base/random.hpp"
#include "common/rows/ids.hpp"
#include "common/rows/table.hpp"
#include "daemons/ps/data_plane.hpp"
#include "daemons/trainer/row_client.hpp"

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

void stop_unless(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "%s\n", status.error().message.c_str());
  std::exit(1);
}

/// Of ids alone, as they would travel among so many rows (0: 64 bits at random).
void measure_ids(std::uint64_t rows, Random& random) {
  std::vector<std::uint64_t> ids = drawn(random, rows == 0 ? ~std::uint64_t{0} : rows, 10'000);
  std::vector<double> packs, unpacks;
  std::size_t bytes = 0;
  for (int round = 0; round < 101; ++round) {
    std::vector<std::byte> packed;
    packs.push_back(seconds([&] { rows::pack_ids(ids, packed); }));
    unpacks.push_back(
        seconds([&] { stop_unless(rows::unpack_ids(packed, ids.size()) ? Status{} : Error{}); }));
    bytes = packed.size();
  }
  const auto count = static_cast<double>(ids.size());
  std::printf("  of %20llu: %5.2f bytes an id, %5.2f ns to pack, %5.2f ns to unpack\n",
              static_cast<unsigned long long>(rows), static_cast<double>(bytes) / count,
              median(packs) / count * 1e9, median(unpacks) / count * 1e9);
}

/// What one trainer of a shard waits for.
void measure_channel(std::uint64_t rows, std::uint32_t width, int rounds, Random& random) {
  config::TrainSection train;
  train.optimizer = config::optimizer_defaults(config::OptimizerKind::adagrad);
  const ps::Identity identity{.job = 1, .incarnation = 1};
  auto server = net::DataServer::bind("127.0.0.1").value();
  const std::string endpoint = server->endpoint();
  const ps::DataPlane plane(std::move(server), ps::Core(identity, train), {identity, "/nonexistent", train},
                            [](const ps::Written&) {});
  const std::atomic<bool> never{false};
  const auto client =
      trainer::RowClient::connect({.job = 1, .incarnation = 1, .shards = {endpoint}}, never).value();
  const protocol::RowTable spec{.width = width, .first = 1, .scale = 0.05F, .on_arrival = true};
  stop_unless(client->create(1, spec) ? Status{} : Error{});
  std::vector<std::uint64_t> order(rows);
  for (std::uint64_t i = 0; i < rows; ++i) order[i] = i;
  random.shuffle(order);
  constexpr std::size_t batch = 10'000;
  std::vector<float> gradients(batch * width, 0.01F), out(batch * width);
  for (std::size_t at = 0; at < rows; at += batch) {
    const std::size_t count = std::min<std::size_t>(batch, rows - at);
    stop_unless(client->push(1, 0, 1, {order.data() + at, count}, {gradients.data(), count * width}));
  }
  std::vector<double> pushes, pulls;
  for (int i = 0; i < 20 * rounds; ++i) {
    std::vector<std::uint64_t> ids = drawn(random, rows, batch);
    random.shuffle(ids);  // as a batch names them
    pulls.push_back(seconds([&] { stop_unless(client->pull(1, ids, out)); }));
    pushes.push_back(seconds([&] { stop_unless(client->push(1, 0, 1, ids, gradients)); }));
  }
  std::printf(
      "over the channel, %zu ids of a batch: pull %.3f ms, push until it is applied %.3f ms (%.2f M "
      "rows/s)\n",
      batch, median(pulls) * 1e3, median(pushes) * 1e3, batch / median(pushes) / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  net::keep_freed_memory();
  const auto argument = [&](int index, std::uint64_t otherwise) {
    return argc > index ? std::strtoull(argv[index], nullptr, 10) : otherwise;
  };
  const std::uint64_t rows = argument(1, 3'000'000);
  const auto width = static_cast<std::uint32_t>(argument(2, 64));
  const int rounds = static_cast<int>(argument(3, 7));
  omp_set_num_threads(static_cast<int>(argument(4, 1)));
  Random random(3);
  std::optional<rows::Table> table = filled(rows, width, random);
  std::printf("%llu rows of %u floats, Adagrad, %.0f MB, %llu threads\n",
              static_cast<unsigned long long>(table->counts().rows), width,
              static_cast<double>(table->memory_bytes()) / 1e6,
              static_cast<unsigned long long>(argument(4, 1)));
  for (const std::size_t batch : {1'000, 10'000, 100'000})
    if (2 * batch <= rows) measure(*table, rows, batch, rounds, random);
  table.reset();
  if (rows >= 20'000) measure_channel(rows, width, rounds, random);
  std::printf("10,000 ids on the wire\n");
  for (const std::uint64_t of :
       {std::uint64_t{100'000}, std::uint64_t{4'000'000}, std::uint64_t{1} << 32, std::uint64_t{0}})
    measure_ids(of, random);
  return 0;
}
