// trainyard-master: wiring.
#include <signal.h>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/runtime/daemon.hpp"
#include "common/store/file.hpp"
#include "daemons/master/replay.hpp"
#include "daemons/master/shell.hpp"

namespace {

using namespace trainyard;

Result<std::string> read_token(const config::SecuritySection& security) {
  if (security.token_file.empty()) return std::string{};
  constexpr std::uint64_t token_bytes_max = 4096;
  auto token = store::read_file(security.token_file, token_bytes_max);
  if (!token) return Error{Errc::invalid, "security.token_file: " + token.error().message};
  token->erase(token->find_last_not_of(" \r\n\t") + 1);
  if (token->empty())
    return Error{Errc::invalid, format("security.token_file: {} is empty", security.token_file)};
  return token;
}

}  // namespace

int main(int argc, char** argv) {
  auto loaded = runtime::load_cluster_config(master::program,
                                             "Accepts jobs, places them on executors and keeps their state.",
                                             argc, argv, runtime::Replays::yes);
  if (!loaded.config) return loaded.exit_code;
  if (loaded.replay) {
    master::Replay core;
    return runtime::replay(*loaded.replay, master::program, core, stdout);
  }
  const config::ClusterConfig& config = *loaded.config;
  const auto at = net::parse_endpoint(config.master.listen);
  if (!at) return runtime::fail(at.error().with("master.listen"));
  if (const Status ok = runtime::check_listen_allowed(*at, config.security); !ok) {
    return runtime::fail(ok.error().with("master.listen"));
  }
  auto token = read_token(config.security);
  if (!token) return runtime::fail(token.error());

  ::signal(SIGPIPE, SIG_IGN);
  net::Reactor reactor;
  master::Shell shell(reactor, config, std::move(*token));
  if (const Status recovered = shell.recover(); !recovered) return runtime::fail(recovered.error());
  if (const Status listening = shell.listen(*at); !listening) return runtime::fail(listening.error());
  log::info("listens on {}; state in {}", net::name(shell.endpoint()), config.master.state_dir);
  reactor.on_signal({SIGTERM, SIGINT}, [&](int number) {
    runtime::notify_systemd("STOPPING=1");
    log::info("stopped by {}; jobs run on", number == SIGTERM ? "SIGTERM" : "SIGINT");
    reactor.stop();
  });
  reactor.on_signal({SIGHUP}, [&](int) { runtime::reload(loaded); });
  runtime::notify_systemd("READY=1");
  reactor.run();
  return shell.failure() ? runtime::exit_failed : runtime::exit_ok;
}
