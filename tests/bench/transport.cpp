// The ladder of transports: what a message costs from memcpy up to a shard that applies it, in interleaved
// rounds in one run, so that the ratios hold though the machine's speed wanders.
//   transport BYTES [--rounds N] [--seconds S] [--window N] [--only WORD] [--gang]
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include "tests/bench/transport_gang.hpp"
#include "tests/bench/transport_pair.hpp"

namespace trainyard::bench {

void Line::say(const std::string& text) const {
  const std::string line = text + "\n";
  if (::write(descriptor_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) std::abort();
}

std::string Line::hear() const {
  std::string line;
  char one = 0;
  while (::read(descriptor_, &one, 1) == 1 && one != '\n') line.push_back(one);
  return line;
}

void give_up(const std::string& reason) {
  std::fprintf(stderr, "transport: %s\n", reason.c_str());
  ::_exit(1);
}

double in_two_processes(const std::function<void(const Line&)>& serve,
                        const std::function<double(const Line&)>& drive) {
  int ends[2], told[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0 || ::pipe(told) != 0) std::abort();
  const pid_t server = ::fork();
  if (server == 0) {
    ::close(ends[0]);
    serve(Line(ends[1]));
    ::_exit(0);
  }
  const pid_t driver = ::fork();
  if (driver == 0) {
    ::close(ends[1]);
    const double result = drive(Line(ends[0]));
    ::_exit(::write(told[1], &result, sizeof(result)) == sizeof(result) ? 0 : 1);
  }
  ::close(told[1]);
  double result = 0;
  if (::read(told[0], &result, sizeof(result)) != sizeof(result)) {
    ::kill(server, SIGKILL);
    give_up("a side of the rung failed");
  }
  ::waitpid(driver, nullptr, 0);
  ::kill(server, SIGKILL);
  ::waitpid(server, nullptr, 0);
  for (const int one : {ends[0], ends[1], told[0]}) ::close(one);
  return result;
}

double pace(const Load& load, const std::function<void()>& send, const std::function<void()>& await) {
  using Clock = std::chrono::steady_clock;
  std::size_t flying = 0;
  const auto step = [&] {
    if (flying == load.window) {
      await();
      --flying;
    }
    send();
    ++flying;
  };
  for (std::size_t i = 0; i < load.warm_up; ++i) step();
  while (flying > 0) {
    await();
    --flying;
  }
  const auto begin = Clock::now();
  const auto end =
      begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(load.seconds));
  std::size_t count = 0;
  const std::size_t between = std::max<std::size_t>(1, 65536 / std::max<std::size_t>(1, load.bytes));
  do {
    for (std::size_t i = 0; i < between; ++i) step();
    count += between;
  } while (Clock::now() < end);
  while (flying > 0) {
    await();
    --flying;
  }
  return static_cast<double>(count) / std::chrono::duration<double>(Clock::now() - begin).count();
}

namespace {

double median(std::vector<double> all) {
  std::sort(all.begin(), all.end());
  const std::size_t half = all.size() / 2;
  return all.size() % 2 == 1 ? all[half] : (all[half - 1] + all[half]) / 2;
}

void print(const std::vector<Rung>& rungs, std::map<std::string, std::vector<double>>& measured,
           const Load& load) {
  std::printf("%zu bytes a message, %zu in flight, %zu rounds\n", load.bytes, load.window,
              measured.at("raw TCP").size());
  std::printf("%-46s %12s %8s %9s %24s\n", "", "messages/s", "GB/s", "us", "of raw TCP (spread)");
  const auto& tcp = measured.at("raw TCP");
  for (const Rung& rung : rungs) {
    const auto& rates = measured.at(rung.name);
    std::vector<double> ratios;
    for (std::size_t i = 0; i < rates.size(); ++i) ratios.push_back(rates[i] / tcp[i]);
    const double rate = median(rates);
    std::printf("%-46s %12.0f %8.2f %9.1f %8.2f (%.2f to %.2f)\n", rung.name.c_str(), rate,
                rate * static_cast<double>(load.bytes) * 1e-9, 1e6 / rate, median(ratios),
                *std::min_element(ratios.begin(), ratios.end()),
                *std::max_element(ratios.begin(), ratios.end()));
  }
}

int ladder(const Load& load, int rounds, const std::string& only) {
  std::vector<Rung> rungs = raw_rungs();
  for (Rung& rung : own_rungs()) rungs.push_back(std::move(rung));
  std::erase_if(rungs, [&](const Rung& rung) {
    return rung.name != "raw TCP" && rung.name.find(only) == std::string::npos;
  });
  std::map<std::string, std::vector<double>> measured;
  for (int round = 0; round < rounds; ++round)
    for (const Rung& rung : rungs) measured[rung.name].push_back(rung.run(load));
  print(rungs, measured, load);
  return 0;
}

}  // namespace

}  // namespace trainyard::bench

int main(int argc, char** argv) {
  using namespace trainyard::bench;
  Load load;
  int rounds = 7;
  std::string only;
  bool gang = false;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const char* const next = i + 1 < argc ? argv[i + 1] : "";
    if (word == "--gang")
      gang = true;
    else if (word == "--rounds")
      rounds = std::atoi(next), ++i;
    else if (word == "--seconds")
      load.seconds = std::atof(next), ++i;
    else if (word == "--window")
      load.window = static_cast<std::size_t>(std::atoll(next)), ++i;
    else if (word == "--only")
      only = next, ++i;
    else
      load.bytes = static_cast<std::size_t>(std::atoll(word.c_str()));
  }
  if (load.bytes < sizeof(float) || load.bytes % sizeof(float) != 0 || rounds < 1) {
    std::fprintf(stderr, "transport BYTES [--rounds N] [--seconds S] [--window N] [--only WORD] [--gang]\n");
    return 2;
  }
  load.warm_up = std::clamp<std::size_t>((std::size_t{64} << 20) / load.bytes, 3, 64);
  if (std::find(argv, argv + argc, std::string("--window")) == argv + argc)
    load.window = std::clamp<std::size_t>((std::size_t{8} << 20) / load.bytes, 2, 64);
  return gang ? run_gang(load, rounds) : ladder(load, rounds, only);
}
