// Our rungs: the real DataServer and DataClient, with an answer and no more, or with the real core of a
// shard, which sums and updates its table.
#include <omp.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "common/net/data_channel.hpp"
#include "common/optim/ordered_sum.hpp"
#include "common/optim/slices.hpp"
#include "daemons/ps/core.hpp"
#include "tests/bench/transport_gang.hpp"
#include "tests/bench/transport_pair.hpp"

namespace trainyard::bench {

using protocol::DataHeader;
using protocol::DataKind;

std::vector<protocol::SliceInfo> slices_of(std::size_t floats, std::size_t piece) {
  std::vector<protocol::SliceInfo> slices;
  for (std::size_t at = 0; at < floats; at += piece)
    slices.push_back({.offset = at, .length = std::min(piece, floats - at)});
  return slices;
}

DataHeader header_of(DataKind kind, std::uint64_t sequence) {
  return {.kind = kind, .job = 1, .incarnation = 1, .sequence = sequence, .samples = 1};
}

ps::Core core_of(std::uint32_t trainers, std::uint32_t shard, std::uint32_t shards) {
  config::TrainSection train;
  train.epochs = 1'000'000;
  train.optimizer = config::optimizer_defaults(config::OptimizerKind::sgd);
  train.optimizer.momentum = 0;
  return {{.job = 1, .incarnation = 1, .shard = shard, .trainers = trainers, .shards = shards}, train};
}

void serve_core(net::DataServer& server, ps::Core core, Answers answers) {
  omp_set_num_threads(1);  // as for a shard that asks for one processor
  while (true) {
    auto message = server.receive(1s);
    if (!message) continue;
    auto header = protocol::decode_data_header(message->header);
    if (!header)
      give_up("a header is unreadable: " + header.error().message + ", " +
              std::to_string(message->header.size()) + " and " +
              std::to_string(message->payload.bytes().size()) + " bytes");
    const bool first = header->kind != DataKind::push && header->kind != DataKind::pull;
    auto payload = std::make_shared<net::Payload>(std::move(message->payload));
    const auto bytes = payload->bytes();
    ps::Outcome outcome =
        core.on({std::move(message->peer), std::move(*header), {bytes, std::move(payload)}});
    for (const ps::Reply& reply : outcome.replies) {
      if (reply.header.kind == DataKind::refused) give_up(reply.header.reason);
      const bool whole = answers == Answers::values || first;
      server.send(reply.peer, protocol::encode(reply.header),
                  whole ? net::SharedBytes(reply.values) : net::SharedBytes(nullptr));
    }
  }
}

namespace {

constexpr std::size_t slices_most = 8192;  // that a header holds with ease

enum class Kind : std::uint8_t { null, sum, push, pull, push_pull };
enum class Way : std::uint8_t { tcp, shared };

std::unique_ptr<net::DataServer> bound(const Line& line) {
  auto server = net::DataServer::bind("127.0.0.1");
  if (!server) give_up(server.error().message);
  line.say((*server)->endpoint());
  return std::move(*server);
}

/// What a shard does with the push of a trainer that is not the last of its step.
void serve_sum(net::DataServer& server) {
  omp_set_num_threads(1);
  optim::OrderedSum sum;
  while (true) {
    auto message = server.receive(1s);
    if (!message) continue;
    const auto header = protocol::decode_data_header(message->header);
    if (!header) give_up(header.error().message);
    if (header->kind == DataKind::push) {
      auto payload = std::make_shared<net::Payload>(std::move(message->payload));
      const auto floats = payload->floats();
      if (!sum.add(header->samples, floats, std::move(payload))) sum.clear();
    }
    if (header->kind != DataKind::init) server.send(message->peer, protocol::encode(*header), nullptr);
  }
}

/// `piece`: floats of a slice of the table.
double own(const Load& load, Kind kind, Way way, std::size_t piece) {
  ::setenv("TRAINYARD_SHARED_MEMORY", way == Way::tcp ? "off" : "on", 1);
  const std::size_t floats = load.bytes / sizeof(float);
  return in_two_processes(
      [&](const Line& line) {
        net::keep_freed_memory();
        const auto server = bound(line);
        if (kind == Kind::sum) serve_sum(*server);
        if (kind != Kind::null)
          serve_core(*server, core_of(1, 0, 1), kind == Kind::push ? Answers::short_ones : Answers::values);
        while (true) {
          if (const auto message = server->receive(1s)) server->send(message->peer, message->header, nullptr);
        }
      },
      [&](const Line& line) {
        auto client = net::DataClient::connect(line.hear());
        if (!client) give_up(client.error().message);
        const auto gradients = std::make_shared<std::vector<float>>(floats, 0.5F);
        std::vector<float> values(floats);
        const auto answer = [&] {
          const auto message = (*client)->receive(10s);
          if (!message || !protocol::decode_data_header(message->header)) give_up("no answer");
          // Over TCP the bytes lie in memory of this process alone; a trainer takes them from a shared one.
          const auto bytes = message->payload.bytes();
          if (way == Way::shared && bytes.size() == load.bytes)
            std::memcpy(values.data(), bytes.data(), bytes.size());
        };
        if (kind != Kind::null) {
          DataHeader init = header_of(DataKind::init, 0);
          init.slices = slices_of(floats, std::max(piece, floats / slices_most));
          init.steps_per_epoch = 1;
          (*client)->send(protocol::encode(init), gradients);
          (*client)->send(protocol::encode(header_of(DataKind::pull, 0)), nullptr);
          answer();
        }
        std::uint64_t step = 0;
        return pace(
            load,
            [&] {
              const bool pulls = kind == Kind::pull;
              const DataHeader header =
                  header_of(pulls ? DataKind::pull : DataKind::push, pulls ? 0 : ++step);
              (*client)->send(protocol::encode(header),
                              pulls ? net::SharedBytes(nullptr) : net::SharedBytes(gradients));
            },
            answer);
      });
}

}  // namespace

std::vector<Rung> own_rungs() {
  const auto rung = [](const char* name, Kind kind, Way way, std::size_t piece = optim::slice_floats_usual) {
    return Rung{name, [=](const Load& load) { return own(load, kind, way, piece); }};
  };
  return {
      rung("TCP: answered only", Kind::null, Way::tcp),
      rung("TCP: push, summed", Kind::sum, Way::tcp),
      rung("TCP: push, summed and updated", Kind::push, Way::tcp),
      rung("TCP: the same in slices of 1 KiB", Kind::push, Way::tcp, 256),
      rung("TCP: pull", Kind::pull, Way::tcp),
      rung("TCP: push and pull", Kind::push_pull, Way::tcp),
      rung("shared: answered only", Kind::null, Way::shared),
      rung("shared: push, summed", Kind::sum, Way::shared),
      rung("shared: push, summed and updated", Kind::push, Way::shared),
      rung("shared: the same in slices of 1 KiB", Kind::push, Way::shared, 256),
      rung("shared: pull", Kind::pull, Way::shared),
      rung("shared: push and pull", Kind::push_pull, Way::shared),
  };
}

}  // namespace trainyard::bench
