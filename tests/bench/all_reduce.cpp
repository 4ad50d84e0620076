// An all-reduce between processes of this machine, ours over TCP and over shared memory and, where it was
// found, Gloo's over TCP, in the same rounds: all_reduce [PROCESSES] [ROUNDS] [KIB...]. Each round runs every
// contender once for each size, in turns that rotate. Prints medians of the time that rank 0 waits, the bus
// bandwidth 2 (N - 1) / N S / t, and the median of each round's ratio to Gloo. Checks every sum.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/collective/group.hpp"

#ifdef TRAINYARD_BENCH_GLOO
#include <gloo/allreduce.h>
#include <gloo/math.h>
#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/file_store.h>
#include <gloo/transport/tcp/device.h>
#endif

using namespace trainyard;

namespace {

struct Contender {
  std::string name;
  std::function<bool(std::span<float>)> sum;
};

struct Settings {
  std::uint32_t ranks = 2;
  int rounds = 11;
  std::vector<std::size_t> sizes{4 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 64 << 20};  // bytes
};

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

using Listeners = std::vector<std::unique_ptr<collective::Listener>>;

Listeners listeners(std::uint32_t ranks) {
  Listeners all;
  for (std::uint32_t i = 0; i < ranks; ++i)
    all.push_back(std::move(collective::Listener::bind("127.0.0.1").value()));
  return all;
}

std::unique_ptr<collective::Group> ring(std::uint32_t rank, const Listeners& all, bool shared) {
  collective::RingSettings settings{.rank = rank, .endpoints = {}, .shared_memory = shared};
  for (const auto& listener : all) settings.endpoints.push_back(listener->endpoint());
  return std::move(collective::connect_ring(settings, *all[rank]).value());
}

#ifdef TRAINYARD_BENCH_GLOO
Contender gloo_ring(std::uint32_t rank, std::uint32_t ranks, const std::string& directory) {
  gloo::transport::tcp::attr where;
  where.hostname = "127.0.0.1";
  auto device = gloo::transport::tcp::CreateDevice(where);
  auto context = std::make_shared<gloo::rendezvous::Context>(static_cast<int>(rank), static_cast<int>(ranks));
  gloo::rendezvous::FileStore store(directory);
  context->connectFullMesh(store, device);
  return {"gloo, TCP", [context](std::span<float> values) {
            gloo::AllreduceOptions options(context);
            options.setOutput(values.data(), values.size());
            options.setReduceFunction(
                static_cast<void (*)(void*, const void*, const void*, std::size_t)>(&gloo::sum<float>));
            gloo::allreduce(options);
            return true;
          }};
}
#endif

struct Taken {
  std::vector<double> seconds, ratios;  // by round; ratio: of the reference to this
};

void print(const Settings& settings, const std::vector<Contender>& all, std::size_t bytes,
           const std::vector<Taken>& taken) {
  for (std::size_t i = 0; i < all.size(); ++i) {
    const double seconds = median(taken[i].seconds);
    const auto [least, most] = std::minmax_element(taken[i].seconds.begin(), taken[i].seconds.end());
    const double bus =
        2.0 * (settings.ranks - 1) / settings.ranks * static_cast<double>(bytes) / seconds / 1e9;
    std::printf("%9zu KiB  %-22s %10.1f us [%.1f..%.1f] %7.2f GB/s  %5.2f times the last's speed\n",
                bytes >> 10, all[i].name.c_str(), seconds * 1e6, *least * 1e6, *most * 1e6, bus,
                median(taken[i].ratios));
  }
  std::fflush(stdout);
}

/// The same on all ranks; rank 0 prints.
bool run(std::uint32_t rank, const Settings& settings, const Listeners& tcp, const Listeners& shared,
         const std::string& directory) {
  const auto over_tcp = ring(rank, tcp, false);
  const auto over_memory = ring(rank, shared, true);
  std::vector<Contender> all{
      {"ours, shared memory",
       [&](std::span<float> values) { return over_memory->all_reduce(values).has_value(); }},
      {"ours, TCP", [&](std::span<float> values) { return over_tcp->all_reduce(values).has_value(); }}};
#ifdef TRAINYARD_BENCH_GLOO
  all.push_back(gloo_ring(rank, settings.ranks, directory));
#else
  static_cast<void>(directory);
#endif
  for (const std::size_t bytes : settings.sizes) {
    std::vector<float> values(bytes / sizeof(float));
    // As many in a row as take some milliseconds.
    const int runs = static_cast<int>(std::clamp<std::size_t>((4 << 20) / bytes, 1, 100));
    std::vector<Taken> taken(all.size());
    for (int round = -1; round < settings.rounds; ++round) {  // the first touches everything and is not kept
      std::vector<double> seconds(all.size());
      for (std::size_t turn = 0; turn < all.size(); ++turn) {
        const std::size_t which = (turn + static_cast<std::size_t>(round + 1)) % all.size();
        std::fill(values.begin(), values.end(), 1.0f);
        float ready = 0;
        if (!over_memory->all_reduce({&ready, 1})) return false;
        const auto began = std::chrono::steady_clock::now();
        for (int i = 0; i < runs; ++i)
          if (!all[which].sum(values)) return false;
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
        seconds[which] = took.count() / runs;
        float wanted = 1;
        for (int i = 0; i < runs; ++i) wanted *= static_cast<float>(settings.ranks);
        if (values.front() != wanted || values.back() != wanted) return false;
      }
      for (std::size_t i = 0; i < all.size() && round >= 0; ++i) {
        taken[i].seconds.push_back(seconds[i]);
        taken[i].ratios.push_back(seconds.back() / seconds[i]);
      }
    }
    if (rank == 0) print(settings, all, bytes, taken);
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  if (argc > 1) settings.ranks = static_cast<std::uint32_t>(std::max(1, std::atoi(argv[1])));
  if (argc > 2) settings.rounds = std::max(1, std::atoi(argv[2]));
  if (argc > 3) settings.sizes.clear();
  for (int i = 3; i < argc; ++i) settings.sizes.push_back(std::strtoull(argv[i], nullptr, 10) << 10);
  const Listeners tcp = listeners(settings.ranks), shared = listeners(settings.ranks);
  char directory[] = "/tmp/all-reduce-XXXXXX";
  if (mkdtemp(directory) == nullptr) return 1;
  std::vector<pid_t> children;
  for (std::uint32_t rank = 1; rank < settings.ranks; ++rank) {
    const pid_t child = fork();
    if (child == 0) _exit(run(rank, settings, tcp, shared, directory) ? 0 : 1);
    children.push_back(child);
  }
  bool good = run(0, settings, tcp, shared, directory);
  for (const pid_t child : children) {
    int status = 0;
    good = waitpid(child, &status, 0) == child && status == 0 && good;
  }
  const std::string remove = std::string("rm -rf ") + directory;
  if (std::system(remove.c_str()) != 0 || !good) std::fprintf(stderr, "a rank failed or a sum is wrong\n");
  return good ? 0 : 1;
}
