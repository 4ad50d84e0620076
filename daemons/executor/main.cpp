// trainyard-executor: wiring.
#include <signal.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/runtime/daemon.hpp"
#include "daemons/executor/replay.hpp"
#include "daemons/executor/resources.hpp"
#include "daemons/executor/shell.hpp"

namespace {

using namespace trainyard;

std::string node_name(const config::ExecutorSection& config) {
  if (!config.name.empty()) return config.name;
  std::array<char, 256> host{};
  return ::gethostname(host.data(), host.size() - 1) == 0 && host[0] != '\0' ? host.data() : "node";
}

std::uint64_t random_session() {
  std::uint64_t session = 0;
  while (session == 0) check(::getrandom(&session, sizeof session, 0) == sizeof session, "no random numbers");
  return session;
}

executor::NodeFacts node_facts(const config::ExecutorSection& config) {
  executor::Machine machine = executor::detect_machine(config);
  return {.node = node_name(config),
          .session = random_session(),
          .address = config.address,
          .capacity = machine.capacity,
          .labels = config.labels,
          .gpu_models = std::move(machine.gpu_models),
          .orphan_after = config.orphan_after,
          .stop_grace = config.stop_grace};
}

}  // namespace

int main(int argc, char** argv) {
  auto loaded = runtime::load_cluster_config(
      executor::program, "Offers this machine to a Trainyard cluster and runs tasks on it.", argc, argv,
      runtime::Replays::yes);
  if (!loaded.config) return loaded.exit_code;
  if (loaded.replay) {
    executor::Replay core;
    return runtime::replay(*loaded.replay, executor::program, core, stdout);
  }
  const config::ExecutorSection& config = loaded.config->executor;
  const auto master = net::parse_endpoint(config.master);
  if (!master) return runtime::fail(master.error().with("executor.master"));
  if (const Status ok = runtime::check_listen_allowed({config.address, 0}, loaded.config->security); !ok) {
    return runtime::fail(ok.error().with("executor.address"));
  }
  const executor::NodeFacts facts = node_facts(config);
  log::info("{}: {} CPUs, {}, {} GPUs; master at {}", facts.node,
            static_cast<double>(facts.capacity.cpu_millis) / 1000, size_text(facts.capacity.memory),
            facts.capacity.gpus, config.master);

  ::signal(SIGPIPE, SIG_IGN);  // a log that nobody reads any more ends no daemon
  net::Reactor reactor;
  auto shell = executor::Shell::open(reactor, facts,
                                     {.work_dir = config.work_dir,
                                      .binaries = runtime::binary_directory(),
                                      .master = config.master,
                                      .address = config.address,
                                      .log_bytes_max = config.log_bytes_max,
                                      .stop_grace = config.stop_grace},
                                     {config.record, config.record_bytes_max});
  if (!shell) return runtime::fail(shell.error());
  reactor.on_signal({SIGTERM, SIGINT}, [&](int number) {
    runtime::notify_systemd("STOPPING=1");
    (*shell)->leave(format("stopped by {}", number == SIGTERM ? "SIGTERM" : "SIGINT"));
    reactor.stop();
  });
  reactor.on_signal({SIGHUP}, [&](int) { runtime::reload(loaded); });
  (*shell)->start(*master);
  runtime::notify_systemd("READY=1");
  reactor.run();
  if (const auto& reason = (*shell)->quit_reason()) {
    return runtime::fail(
        {Errc::refused, format("the master at {} refuses this node: {}", config.master, *reason)});
  }
  return runtime::exit_ok;
}
