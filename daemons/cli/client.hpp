// The master as the CLI sees it: where it is, and its HTTP API (docs/http_api.md) as calls that give JSON or
// an Error. Blocking; one thread.
#pragma once

#include <map>
#include <string>

#include "common/base/json.hpp"
#include "common/base/time.hpp"
#include "common/net/endpoint.hpp"
#include "daemons/cli/context.hpp"

namespace trainyard::cli {

/// Where the master is and how that was learnt.
struct Target {
  net::Endpoint endpoint;
  std::string
      origin;  // "--master", "TRAINYARD_MASTER", a file's name, "the local cluster in DIR", "the default"
  bool configured = false;  // false: nothing said where, so it is the default 127.0.0.1:7077
  std::string token;        // sent with every request; empty: none
};

/// In this order: --master, TRAINYARD_MASTER, the config file (--config, TRAINYARD_CONFIG, ./trainyard.yaml,
/// $XDG_CONFIG_HOME/trainyard/config.yaml, /etc/trainyard/config.yaml), the live cluster that `trainyard up`
/// started in its default directory, 127.0.0.1:7077.
Result<Target> find_master(const Context& context);

class Client {
 public:
  using Query = std::map<std::string, std::string>;

  explicit Client(Target target) : target_(std::move(target)) {}

  /// Paths are those below /api/v1. An answer that is not 2xx becomes an Error with the master's own message.
  /// Errc::unavailable: the master cannot be reached (the message says where it was looked for).
  Result<Json> get(const std::string& path, const Query& query = {}) const;
  Result<Json> post(const std::string& path, const Query& query = {}, const std::string& body = "") const;
  /// GET of a path outside /api/v1; the status alone.
  Result<int> status_of(const std::string& path) const;

  const Target& target() const { return target_; }

 private:
  Result<Json> call(const std::string& method, const std::string& path, const Query& query,
                    const std::string& body) const;
  Target target_;
};

/// Client of the master that find_master finds.
Result<Client> connect(const Context& context);

/// "17" as the id of a job; anything else is Errc::invalid.
Result<std::int64_t> parse_job_id(const std::string& text);

/// The error that an answer of the API stands for.
Error error_of(int status, const std::string& body);

}  // namespace trainyard::cli
