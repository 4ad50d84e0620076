#include "daemons/cli/client.hpp"

#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <vector>

#include "common/base/text.hpp"
#include "common/config/read.hpp"
#include "common/net/http.hpp"
#include "common/store/file.hpp"
#include "daemons/cli/local_cluster.hpp"
#include "daemons/cli/table.hpp"

namespace trainyard::cli {

namespace {

constexpr std::uint64_t token_bytes_max = 4096;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// The config file that is to be read, if any; one that was named must be there.
std::optional<std::string> config_file(const Context& context) {
  if (!context.config_file.empty()) return context.config_file;
  if (const std::string named = variable("TRAINYARD_CONFIG"); !named.empty()) return named;
  std::vector<std::string> places = {"trainyard.yaml"};
  std::string home = variable("XDG_CONFIG_HOME");
  if (home.empty() && !variable("HOME").empty()) home = variable("HOME") + "/.config";
  if (!home.empty()) places.push_back(home + "/trainyard/config.yaml");
  places.push_back("/etc/trainyard/config.yaml");
  for (const std::string& place : places) {
    if (access(place.c_str(), R_OK) == 0) return place;
  }
  return std::nullopt;
}

Result<net::Endpoint> endpoint_from(const std::string& text, const std::string& origin) {
  auto endpoint = net::parse_endpoint(text);
  if (!endpoint) return endpoint.error().with(origin);
  if (endpoint->port == 0) return Error{Errc::invalid, format("{}: '{}' names no port", origin, text)};
  return endpoint;
}

Result<config::ClusterConfig> read_config(const std::string& file) {
  auto text = config::load_text(file);
  if (!text) return Error{Errc::invalid, text.error().message};
  return config::read_cluster(*text, file);
}

Result<std::string> read_token(const std::string& file) {
  auto text = store::read_file(file, token_bytes_max);
  if (!text) return text.error().with("security.token_file");
  text->erase(text->find_last_not_of(" \r\n\t") + 1);
  return text;
}

}  // namespace

Result<Target> find_master(const Context& context) {
  Target target;
  std::optional<config::ClusterConfig> config;
  const auto file = config_file(context);
  if (file) {
    auto read = read_config(*file);
    if (!read) return read.error();
    config = std::move(*read);
    if (!config->security.token_file.empty()) {
      auto token = read_token(config->security.token_file);
      if (!token) return token.error();
      target.token = std::move(*token);
    }
  }

  std::string address;
  const std::string from_environment = variable("TRAINYARD_MASTER");
  const config::ClusterConfig defaults;
  if (!context.master.empty()) {
    address = context.master;
    target.origin = "--master";
  } else if (!from_environment.empty()) {
    address = from_environment;
    target.origin = "TRAINYARD_MASTER";
  } else if (config) {
    // A file for the master's own machine may name only where the master listens.
    const bool only_listen = config->executor.master == defaults.executor.master;
    address = only_listen ? config->master.listen : config->executor.master;
    target.origin = *file;
  } else if (const auto local = read_cluster(default_cluster_directory()); local && is_up(*local)) {
    address = local->endpoint;
    target.origin = "the local cluster in " + local->directory;
  }
  target.configured = !address.empty();
  if (address.empty()) {
    address = defaults.executor.master;
    target.origin = "the default";
  }
  auto endpoint = endpoint_from(address, target.origin);
  if (!endpoint) return endpoint.error();
  target.endpoint = *endpoint;
  return target;
}

Error error_of(int status, const std::string& body) {
  std::string message = format("the master answered with HTTP status {}", status);
  if (const auto json = parse_json(body)) {
    const Json& error = object_at(*json, "error");
    if (const std::string text = text_at(error, "message"); !text.empty()) message = text;
  }
  switch (status) {
    case 400:
      return {Errc::invalid, message};
    case 404:
      return {Errc::not_found, message};
    case 401:
    case 403:
    case 422:
      return {Errc::refused, message};
    case 409:
      return {Errc::conflict, message};
    case 502:
    case 503:
    case 504:
      return {Errc::unavailable, message};
    default:
      return {Errc::io, message};
  }
}

Result<Json> Client::call(const std::string& method, const std::string& path, const Query& query,
                          const std::string& body) const {
  net::HttpRequest request{
      .method = method, .path = "/api/v1" + path, .query = query, .headers = {}, .body = body};
  if (!target_.token.empty()) request.headers["authorization"] = "Bearer " + target_.token;
  if (!body.empty()) request.headers["content-type"] = "application/yaml";
  const auto response = net::http_call(target_.endpoint, request);
  if (!response) {
    const std::string hint =
        target_.configured
            ? format(" (it is named by {})", target_.origin)
            : std::string("; start one with 'trainyard up', or name one with --master HOST:PORT");
    return Error{response.error().code == Errc::invalid ? Errc::io : response.error().code,
                 format("master: {}{}", response.error().message, hint)};
  }
  if (response->status < 200 || response->status > 299) return error_of(response->status, response->body);
  auto json = parse_json(response->body);
  if (!json) return Error{Errc::corrupt, format("the master's answer to {} {} is not JSON", method, path)};
  return json;
}

Result<Json> Client::get(const std::string& path, const Query& query) const {
  return call("GET", path, query, "");
}

Result<Json> Client::post(const std::string& path, const Query& query, const std::string& body) const {
  return call("POST", path, query, body);
}

Result<int> Client::status_of(const std::string& path) const {
  const net::HttpRequest request{.method = "GET", .path = path, .query = {}, .headers = {}, .body = {}};
  const auto response = net::http_call(target_.endpoint, request, 2s);
  if (!response) return response.error();
  return response->status;
}

Result<Client> connect(const Context& context) {
  auto target = find_master(context);
  if (!target) return target.error();
  return Client(std::move(*target));
}

Result<std::int64_t> parse_job_id(const std::string& text) {
  const auto id = parse_int(text);
  if (!id || *id < 1) return Error{Errc::invalid, format("'{}' is no job id: a whole number from 1", text)};
  return *id;
}

}  // namespace trainyard::cli
