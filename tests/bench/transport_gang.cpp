#include "tests/bench/transport_gang.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>

#include "common/optim/slices.hpp"

namespace trainyard::bench {

using protocol::DataKind;

namespace {

constexpr std::uint32_t shards = 4;

/// Bytes a second that `trainers` push to four shards, load.bytes each to each, in steps that wait for all of
/// them; each is answered with values. One process drives all trainers, so that their number costs no more
/// processes.
double gang(const Load& load, std::uint32_t trainers, const char* shared) {
  ::setenv("TRAINYARD_SHARED_MEMORY", shared, 1);
  const std::size_t floats = load.bytes / sizeof(float);
  std::vector<pid_t> children;
  std::vector<std::string> endpoints;
  for (std::uint32_t shard = 0; shard < shards; ++shard) {
    int ends[2];
    if (::pipe(ends) != 0) std::abort();
    const pid_t child = ::fork();
    if (child == 0) {
      net::keep_freed_memory();
      auto server = net::DataServer::bind("127.0.0.1");
      if (!server) give_up(server.error().message);
      Line(ends[1]).say((*server)->endpoint());
      serve_core(**server, core_of(trainers, shard, shards), Answers::values);
    }
    children.push_back(child);
    endpoints.push_back(Line(ends[0]).hear());
    ::close(ends[0]);
    ::close(ends[1]);
  }
  const auto gradients = std::make_shared<std::vector<float>>(floats, 0.5F);
  std::vector<std::unique_ptr<net::DataClient>> clients;
  const auto header = [&](DataKind kind, std::size_t client, std::uint64_t sequence) {
    protocol::DataHeader out = header_of(kind, sequence);
    out.trainer = static_cast<std::uint32_t>(client / shards);
    out.shard = static_cast<std::uint32_t>(client % shards);
    return out;
  };
  const auto answer = [&](std::size_t client) {
    if (!clients[client]->receive(20s)) give_up("no answer");
  };
  for (std::size_t i = 0; i < std::size_t{trainers} * shards; ++i) {
    auto client = net::DataClient::connect(endpoints[i % shards]);
    if (!client) give_up(client.error().message);
    clients.push_back(std::move(*client));
    if (i < shards) {
      protocol::DataHeader init = header(DataKind::init, i, 0);
      init.slices = slices_of(floats, optim::slice_floats_usual);
      init.steps_per_epoch = 1;
      clients[i]->send(protocol::encode(init), gradients);
    }
    clients[i]->send(protocol::encode(header(DataKind::pull, i, 0)), nullptr);
  }
  for (std::size_t i = 0; i < clients.size(); ++i) answer(i);
  std::uint64_t step = 0;
  const auto round = [&] {
    ++step;
    for (std::size_t i = 0; i < clients.size(); ++i)
      clients[i]->send(protocol::encode(header(DataKind::push, i, step)), gradients);
    for (std::size_t i = 0; i < clients.size(); ++i) answer(i);
  };
  for (int i = 0; i < 3; ++i) round();
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  std::size_t count = 0;
  double took = 0;
  while (took < load.seconds) {
    round();
    ++count;
    took = std::chrono::duration<double>(Clock::now() - begin).count();
  }
  clients.clear();
  for (const pid_t child : children) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  return static_cast<double>(count * floats * sizeof(float) * trainers * shards) / took;
}

}  // namespace

int run_gang(const Load& load, int rounds) {
  std::map<std::pair<std::string, std::uint32_t>, std::vector<double>> measured;
  const std::vector<std::uint32_t> sizes{1, 8, 64};
  for (int i = 0; i < rounds; ++i)
    for (const char* const shared : {"off", "on"})
      for (const std::uint32_t trainers : sizes)
        measured[{shared, trainers}].push_back(gang(load, trainers, shared));
  std::printf("%zu bytes a push, %u shards, %d rounds\n", load.bytes, shards, rounds);
  for (auto& [what, rates] : measured) {
    const auto& one = measured.at({what.first, 1});
    std::vector<double> ratios;
    for (std::size_t i = 0; i < rates.size(); ++i) ratios.push_back(rates[i] / one[i]);
    auto sorted = rates;
    std::sort(sorted.begin(), sorted.end());
    std::sort(ratios.begin(), ratios.end());
    std::printf("shared memory %-3s  %2u trainers: %6.2f GB/s, %.2f of one trainer (%.2f to %.2f)\n",
                what.first.c_str(), what.second, sorted[sorted.size() / 2] * 1e-9, ratios[ratios.size() / 2],
                ratios.front(), ratios.back());
  }
  return 0;
}

}  // namespace trainyard::bench
