#include "common/runtime/daemon.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/protocol/messages.hpp"

namespace trainyard::runtime {

namespace fs = std::filesystem;

namespace {

/// SPEC section 3: the order in which a config file is looked for; nothing means the defaults.
std::optional<std::string> config_file(const std::string& given) {
  if (!given.empty()) return given;
  if (const char* path = std::getenv("TRAINYARD_CONFIG"); path != nullptr && *path != '\0') return path;
  std::vector<fs::path> places{"trainyard.yaml"};
  const char* xdg = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  if (xdg != nullptr && *xdg != '\0')
    places.push_back(fs::path(xdg) / "trainyard/config.yaml");
  else if (home != nullptr && *home != '\0')
    places.push_back(fs::path(home) / ".config/trainyard/config.yaml");
  places.push_back("/etc/trainyard/config.yaml");
  std::error_code ignored;
  for (const fs::path& place : places) {
    if (fs::exists(place, ignored)) return place.string();
  }
  return std::nullopt;
}

Result<config::ClusterConfig> read_config(const std::optional<std::string>& file,
                                          const std::vector<std::string>& settings) {
  std::vector<config::Override> overrides;
  for (const std::string& setting : settings) {
    auto parsed = config::parse_override(setting);
    if (!parsed) return parsed.error();
    overrides.push_back(std::move(*parsed));
  }
  std::string text;
  if (file) {
    auto loaded = config::load_text(*file);
    if (!loaded) return Error{Errc::invalid, loaded.error().message};
    text = std::move(*loaded);
  }
  return config::read_cluster(text, file.value_or("defaults"), overrides);
}

log::Level level_of(const config::ClusterConfig& config) {
  const auto level = log::parse_level(config.log.level);
  return level ? *level : log::Level::info;
}

}  // namespace

Loaded load_cluster_config(const std::string& program, const std::string& summary, int argc, char** argv,
                           Replays replays) {
  CLI::App app{summary, program};
  std::string file, level, format_name, recording;
  std::vector<std::string> settings;
  app.add_option(
      "--config", file,
      "Cluster file (else TRAINYARD_CONFIG, ./trainyard.yaml, ~/.config/trainyard, /etc/trainyard)");
  app.add_option("--set", settings, "One value of the file, as master.listen=127.0.0.1:0; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--log-level", level, "debug, info, warn or error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}));
  app.add_option("--log-format", format_name, "text or json")->check(CLI::IsMember({"text", "json"}));
  if (replays == Replays::yes)
    app.add_option(
        "--replay", recording,
        "Feed a recording to this program's decisions, print a line an event, and say where they differ");
  app.set_version_flag("--version",
                       format("{} {} (protocol {})", program, TRAINYARD_VERSION, protocol::version));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return {.config = std::nullopt, .exit_code = app.exit(error) == 0 ? exit_ok : exit_usage};
  }
  if (!level.empty()) settings.push_back("log.level=" + level);
  if (!format_name.empty()) settings.push_back("log.format=" + format_name);
  auto config = read_config(recording.empty() ? config_file(file) : std::nullopt, settings);
  if (!config) {
    std::fprintf(stderr, "%s\n", config.error().message.c_str());
    return {.config = std::nullopt, .exit_code = exit_usage};
  }
  log::configure({program, level_of(*config), config->log.format == "json"});
  return {.config = std::move(*config),
          .replay = recording.empty() ? std::nullopt : std::optional(recording),
          .file = std::move(file),
          .settings = std::move(settings)};
}

void reload(Loaded& loaded) {
  notify_systemd(format(
      "RELOADING=1\nMONOTONIC_USEC={}",
      std::chrono::duration_cast<std::chrono::microseconds>(SystemClock{}.now().monotonic.time_since_epoch())
          .count()));
  const auto fresh = read_config(config_file(loaded.file), loaded.settings);
  if (!fresh) {
    log::error("SIGHUP: the cluster file is not taken over: {}", fresh.error().message);
  } else {
    loaded.config->log = fresh->log;
    log::adjust(level_of(*fresh), fresh->log.format == "json");
    log::info("SIGHUP: the cluster file was read again; log.level is {}, log.format {}", fresh->log.level,
              fresh->log.format);
    if (config::print_cluster(*fresh) != config::print_cluster(*loaded.config))
      log::warn("SIGHUP: more than the log settings has changed; the rest takes effect at the next start");
  }
  notify_systemd("READY=1");
}

int fail(const Error& error) {
  log::error("{}", error.message);
  switch (error.code) {
    case Errc::invalid:
      return exit_usage;
    case Errc::unavailable:
      return exit_unreachable;
    case Errc::refused:
      return exit_refused;
    case Errc::not_found:  // a file that a daemon needs; exit code 4 is for what users name: jobs, nodes,
                           // bundles
    case Errc::conflict:
    case Errc::io:
    case Errc::corrupt:
      return exit_failed;
  }
  return exit_failed;
}

void notify_systemd(const std::string& state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t length = std::strlen(path);
  if (length >= sizeof(address.sun_path)) return;
  std::memcpy(address.sun_path, path, length);
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';  // an abstract socket
  const int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  if (sendto(descriptor, state.data(), state.size(), MSG_NOSIGNAL,
             reinterpret_cast<const sockaddr*>(&address), size) < 0)
    log::warn("systemd could not be told '{}': {}", state, std::strerror(errno));
  close(descriptor);
}

Status check_listen_allowed(const net::Endpoint& at, const config::SecuritySection& security) {
  if (net::is_loopback(at)) return {};
  std::vector<std::string> missing;
  if (security.token_file.empty()) missing.emplace_back("security.token_file");
  if (security.tls_certificate.empty()) missing.emplace_back("security.tls_certificate");
  if (security.tls_key.empty()) missing.emplace_back("security.tls_key");
  const std::string why =
      missing.empty()
          ? ""
          : format(
                "it needs a token and TLS, and the cluster file does not set {} (token_file: a file with a "
                "secret, as 'openssl rand -hex 32' makes one; tls_certificate and tls_key: PEM files); ",
                join(missing, ", "));
  return Error{
      Errc::refused,
      format("refused to listen on {}, which other machines can reach: {}this release has no TLS yet, "
             "so listen on 127.0.0.1 and reach the cluster through an SSH tunnel",
             net::name(at), why)};
}

std::string binary_directory() {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  return error ? std::string(".") : self.parent_path().string();
}

}  // namespace trainyard::runtime
