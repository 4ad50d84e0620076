// Tables of rows between real trainers and real shards: an embedding bag over several of both learns what the
// dense rule makes of the whole table, bit for bit; lines that lose messages change nothing.
#include <catch2/catch.hpp>
#include <future>
#include <thread>

#include "common/base/random.hpp"
#include "common/optim/table.hpp"
#include "daemons/ps/data_plane.hpp"
#include "daemons/trainer/row_client.hpp"
#include "tests/support/temp_dir.hpp"

namespace trainyard {

namespace {

constexpr std::uint64_t vocabulary = 97, steps = 25, table = 4;
constexpr std::uint32_t width = 19, bag = 5, samples = 6;  // a trainer and step
constexpr std::uint64_t seed = 21;

protocol::RowTable spec(bool on_arrival = false) {
  return {.width = width,
          .seed = seed,
          .first = 1,
          .scale = 0.5F,
          .on_arrival = on_arrival,
          .steps_per_epoch = steps};
}

config::TrainSection train_of(config::OptimizerKind kind, bool clips) {
  config::TrainSection train;
  train.optimizer = config::optimizer_defaults(kind);
  train.optimizer.learning_rate = 0.3;
  train.schedule.kind = config::ScheduleKind::cosine;
  if (clips) train.clip.value = 0.05;
  return train;
}

/// The words of the batches of one trainer and step; some come twice in a bag.
std::vector<std::uint64_t> words(std::uint32_t rank, std::uint64_t step) {
  Random random(mix(seed, rank, step));
  std::vector<std::uint64_t> out;
  for (std::uint32_t i = 0; i < samples * bag; ++i)
    out.push_back(random.below(random.chance(0.3) ? 5 : vocabulary));
  return out;
}

/// Loss: half the squared distance of the mean of a bag's rows from a target. Gradients [words, width].
std::vector<float> gradients_of(std::uint32_t rank, std::uint64_t step, std::span<const float> rows) {
  Random random(mix(seed + 1, rank, step));
  std::vector<float> out(rows.size());
  for (std::uint32_t sample = 0; sample < samples; ++sample) {
    for (std::uint32_t k = 0; k < width; ++k) {
      float mean = 0;
      for (std::uint32_t word = 0; word < bag; ++word) mean += rows[(sample * bag + word) * width + k];
      const auto target = static_cast<float>(random.normal());
      const float slope = (mean / bag - target) / bag;
      for (std::uint32_t word = 0; word < bag; ++word) out[(sample * bag + word) * width + k] = slope;
    }
  }
  return out;
}

using Trace = std::vector<std::vector<float>>;  // the whole table after each step

/// The whole table as one dense tensor on one owner.
Trace dense(const config::TrainSection& train, std::uint32_t trainers) {
  std::vector<float> values(vocabulary * width);
  for (std::uint64_t id = 0; id < vocabulary; ++id)
    rows::first_values({rows::FirstKind::uniform, 0.5F}, seed, table, id,
                       std::span(values).subspan(id * width, width));
  auto owner = optim::Table::make(train, {{0, 0, vocabulary * width, 0}}, steps, values).value();
  Trace trace;
  for (std::uint64_t step = 1; step <= steps; ++step) {
    std::vector<std::vector<float>> gradients(trainers, std::vector<float>(vocabulary * width, 0.0F));
    std::vector<optim::Contribution> contributions;
    for (std::uint32_t rank = 0; rank < trainers; ++rank) {
      const auto ids = words(rank, step);
      std::vector<float> rows;
      for (const std::uint64_t id : ids) {
        const auto* const row = owner.values()->data() + id * width;
        rows.insert(rows.end(), row, row + width);
      }
      const auto each = gradients_of(rank, step, rows);
      for (std::size_t i = 0; i < ids.size(); ++i)
        for (std::size_t k = 0; k < width; ++k) gradients[rank][ids[i] * width + k] += each[i * width + k];
      contributions.push_back({samples, gradients[rank], {}});
    }
    owner.apply(contributions);
    trace.push_back(*owner.values());
  }
  return trace;
}

struct Shards {
  Shards(const config::TrainSection& train, std::uint32_t count, std::uint32_t trainers) {
    for (std::uint32_t i = 0; i < count; ++i) {
      auto server = net::DataServer::bind("127.0.0.1");
      REQUIRE(server.has_value());
      endpoints.push_back((*server)->endpoint());
      const ps::Identity identity{
          .job = 1, .incarnation = 1, .shard = i, .trainers = trainers, .shards = count};
      planes.push_back(std::make_unique<ps::DataPlane>(
          std::move(*server), ps::Core(identity, train),
          ps::DataPlane::Settings{identity, directory.path(), train}, [](const ps::Written&) {}));
    }
  }
  test::TempDir directory;
  std::vector<std::string> endpoints;
  std::vector<std::unique_ptr<ps::DataPlane>> planes;
};

/// On a thread of its own, where Catch may not be called: what goes wrong is its result.
Status run_trainer(const std::vector<std::string>& endpoints, std::uint32_t rank, Trace* trace) {
  const std::atomic<bool> never{false};
  const auto client =
      trainer::RowClient::connect({.job = 1, .incarnation = 1, .rank = rank, .shards = endpoints}, never);
  if (!client) return client.error();
  if (const auto step = (*client)->create(table, spec()); !step) return step.error();
  std::vector<std::uint64_t> all;
  for (std::uint64_t id = 0; id < vocabulary; ++id) all.push_back(id);
  for (std::uint64_t step = 1; step <= steps; ++step) {
    const auto ids = words(rank, step);
    std::vector<float> rows(ids.size() * width);
    if (Status pulled = (*client)->pull(table, ids, rows); !pulled) return pulled;
    const auto gradients = gradients_of(rank, step, rows);
    if (Status pushed = (*client)->push(table, step, samples, ids, gradients); !pushed) return pushed;
    if (trace == nullptr) continue;
    trace->emplace_back(vocabulary * width);
    if (Status pulled = (*client)->pull(table, all, trace->back()); !pulled) return pulled;
  }
  return {};
}

void require(const Status& status) {
  INFO((status ? "" : status.error().message));
  REQUIRE(status.has_value());
}

Trace sparse(const config::TrainSection& train, std::uint32_t shards, std::uint32_t trainers) {
  const Shards gang(train, shards, trainers);
  Trace trace;
  std::vector<std::future<Status>> running;
  for (std::uint32_t rank = 0; rank < trainers; ++rank) {
    running.push_back(std::async(std::launch::async, [&, rank] {
      return run_trainer(gang.endpoints, rank, rank == 0 ? &trace : nullptr);
    }));
  }
  for (auto& one : running) require(one.get());
  return trace;
}

}  // namespace

TEST_CASE("an embedding bag over shards and trainers is the dense one, bit for bit", "[component][rows]") {
  for (const auto kind : {config::OptimizerKind::sgd, config::OptimizerKind::adagrad}) {
    for (const bool clips : {false, true}) {
      const config::TrainSection train = train_of(kind, clips);
      for (const std::uint32_t trainers : {1, 2, 3}) {
        const Trace expected = dense(train, trainers);
        for (const std::uint32_t shards : {1, 2, 3}) {
          CAPTURE(static_cast<int>(kind), clips, trainers, shards);
          CHECK((sparse(train, shards, trainers) == expected));
        }
      }
    }
  }
}

TEST_CASE("a trainer that says nonsense is told so by the shard's name", "[component][rows]") {
  const Shards gang(train_of(config::OptimizerKind::sgd, false), 2, 1);
  const std::atomic<bool> never{false};
  const auto connected = [&](std::uint32_t incarnation) {
    auto client = trainer::RowClient::connect(
        {.job = 1, .incarnation = incarnation, .rank = 0, .shards = gang.endpoints}, never);
    REQUIRE(client.has_value());
    return std::move(*client);
  };
  const auto client = connected(1);
  std::vector<float> row(width);
  const std::vector<std::uint64_t> ids{1};
  CHECK(client->pull(table, ids, row).error().message == "table 4 was not created");
  REQUIRE(client->create(table, spec()).has_value());
  row.resize(3);
  CHECK(client->pull(table, ids, row).error().message ==
        "1 ids of table 4, whose rows have 19 floats, go with 3");
  protocol::RowTable other = spec();
  other.width = 20;
  const auto refused = client->create(table, other);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == Errc::refused);
  CHECK(refused.error().message.find("ps-0 at ") != std::string::npos);
  CHECK(refused.error().message.find("other settings") != std::string::npos);
}

TEST_CASE("a shard that loses what it hears and says applies each push once", "[component][rows]") {
  auto bound = net::DataServer::bind("127.0.0.1");
  REQUIRE(bound.has_value());
  auto& server = **bound;
  constexpr std::uint32_t trainers = 2;
  config::TrainSection train = train_of(config::OptimizerKind::sgd, false);
  train.optimizer.learning_rate = 1;
  train.schedule = {};
  ps::RowService service({.job = 1, .incarnation = 1, .trainers = trainers}, train, "");
  std::atomic<bool> done{false};
  std::thread shard([&] {
    Random random(8);
    while (!done) {
      auto message = server.receive(20ms);
      if (!message || random.chance(0.2)) continue;
      auto header = protocol::decode_rows_header(message->header);
      const auto payload = std::make_shared<net::Payload>(std::move(message->payload));
      for (int times = random.chance(0.2) ? 2 : 1; times > 0; --times) {
        for (const ps::RowReply& reply : service.on({message->peer, *header, {payload->bytes(), payload}}))
          if (!random.chance(0.2)) server.send(reply.peer, protocol::encode(reply.header), reply.rows);
      }
    }
  });
  protocol::RowTable integers = spec(true);
  integers.first = 0;
  std::vector<std::future<Result<float>>> running;
  for (std::uint32_t rank = 0; rank < trainers; ++rank) {
    running.push_back(std::async(std::launch::async, [&, rank]() -> Result<float> {
      const std::atomic<bool> never{false};
      auto client = trainer::RowClient::connect(
          {.job = 1, .incarnation = 1, .rank = rank, .shards = {server.endpoint()}, .retry = 20ms}, never);
      if (!client) return client.error();
      if (const auto created = (*client)->create(table, integers); !created) return created.error();
      Random random(rank);
      float sum = 0;
      for (int i = 0; i < 60; ++i) {
        const auto value = static_cast<float>(random.below(100));
        const std::vector<std::uint64_t> ids{8, 5, 8};
        std::vector<float> rows(3 * width, value);
        if (const Status pushed = (*client)->push(table, 0, 1, ids, rows); !pushed) return pushed.error();
        sum += value;
        if (const Status pulled = (*client)->pull(table, ids, rows); !pulled) return pulled.error();
        if (rows[0] != rows[2 * width] || rows[0] != 2 * rows[width]) return Error{Errc::corrupt, "torn"};
      }
      return sum;
    }));
  }
  float sum = 0;
  for (auto& one : running) {
    const auto own = one.get();
    INFO((own ? "" : own.error().message));
    CHECK(own.has_value());
    sum += own ? *own : 0;
  }
  done = true;
  server.wake();
  shard.join();
  std::vector<float> row(width);
  const std::uint64_t id = 5;
  REQUIRE(service.table(table) != nullptr);
  REQUIRE(service.table(table)->pull({&id, 1}, row).has_value());
  CHECK(row == std::vector<float>(width, -sum));
}

}  // namespace trainyard
