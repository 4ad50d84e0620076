// What every main shares: command line (--config, --set, --log-level, --log-format, --help, --version), the
// cluster file, logging, readiness for systemd, exit codes of SPEC section 3.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/base/result.hpp"
#include "common/config/read.hpp"
#include "common/net/endpoint.hpp"

namespace trainyard::runtime {

inline constexpr int exit_ok = 0, exit_failed = 1, exit_usage = 2, exit_unreachable = 3, exit_not_found = 4,
                     exit_refused = 5;

/// Either the config, or the exit code with which main returns at once (--help: 0, a bad file: 2).
struct Loaded {
  std::optional<config::ClusterConfig> config;
  int exit_code = exit_ok;
  std::optional<std::string> replay;  // this recording is wanted, and no daemon; no config file was read
  std::string file;                   // as it was given; empty: looked for
  std::vector<std::string> settings;  // --set, and what other options stand for
};
/// Whether the program takes --replay FILE.
enum class Replays : std::uint8_t { no, yes };
Loaded load_cluster_config(const std::string& program, const std::string& summary, int argc, char** argv,
                           Replays replays = Replays::no);

/// For SIGHUP: reads the file again, with the same --set. log.level and log.format hold from now on; a
/// warning says when more has changed, which the next start will heed. A bad file is reported and changes
/// nothing.
void reload(Loaded& loaded);

/// Logs the error and gives the exit code that fits it.
int fail(const Error& error);

/// READY=1, STOPPING=1, STATUS=...; nothing without NOTIFY_SOCKET.
void notify_systemd(const std::string& state);

/// SPEC section 8: an address beyond loopback needs TLS and a token. The message says what is missing.
Status check_listen_allowed(const net::Endpoint& at, const config::SecuritySection& security);

/// The directory of the running binary; its siblings are found there.
std::string binary_directory();

}  // namespace trainyard::runtime
