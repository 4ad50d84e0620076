#include "daemons/master/api.hpp"

#include <algorithm>

#include "common/base/json.hpp"
#include "common/base/text.hpp"
#include "daemons/master/view.hpp"

namespace trainyard::master {

namespace {

using net::HttpRequest;
using net::HttpResponse;

HttpResponse json_response(int status, const Json& json) {
  return {status, "application/json", to_text(json) + "\n"};
}

Immediate not_found(const std::string& what) { return {error_response({Errc::not_found, what})}; }
Immediate invalid(const std::string& what) { return {error_response({Errc::invalid, what})}; }

std::string query_of(const HttpRequest& http, const std::string& key) {
  const auto it = http.query.find(key);
  return it == http.query.end() ? "" : it->second;
}

bool flag_of(const HttpRequest& http, const std::string& key) {
  const std::string value = query_of(http, key);
  return value == "1" || value == "true";
}

Immediate wrong_method(const HttpRequest& http, const char* right) {
  HttpResponse response = error_response({Errc::invalid, format("{} takes {} only", http.path, right)});
  response.status = 405;
  return {std::move(response)};
}

Routed logs(const HttpRequest& http, JobId job, std::uint64_t request) {
  LogAsked event{.request = request, .job = job, .task = query_of(http, "task")};
  const std::string stream = query_of(http, "stream");
  if (!stream.empty() && stream != "stdout" && stream != "stderr")
    return invalid("stream is stdout or stderr");
  event.error_stream = stream == "stderr";
  for (const char* key : {"offset", "tail"}) {
    const std::string text = query_of(http, key);
    if (text.empty()) continue;
    const auto value = parse_uint(text);
    if (!value || (key[0] == 't' && *value > 1'000'000))
      return invalid(format("{}={} is not a number in range", key, text));
    if (key[0] == 't') {
      event.tail_lines = static_cast<std::uint32_t>(*value);
    } else {
      event.offset = *value;
    }
  }
  return ForCore{std::move(event)};
}

Routed jobs(const HttpRequest& http, const std::vector<std::string>& parts, std::uint64_t request,
            const State& state) {
  if (parts.size() == 1) {
    if (http.method == "POST") return Submission{http.body, flag_of(http, "dry_run")};
    if (http.method != "GET") return wrong_method(http, "GET and POST");
    return Immediate{json_response(200, jobs_view(state, flag_of(http, "all"), query_of(http, "queue")))};
  }
  const auto id = parse_uint(parts[1]);
  if (!id) return invalid(format("'{}' is no job id", parts[1]));
  const auto it = state.jobs.find(JobId{*id});
  if (it == state.jobs.end()) return not_found(format("there is no job {}", *id));
  if (parts.size() == 2) {
    if (http.method != "GET") return wrong_method(http, "GET");
    return Immediate{json_response(200, job_view(it->first, it->second, true))};
  }
  if (parts.size() == 3 && parts[2] == "cancel") {
    if (http.method != "POST") return wrong_method(http, "POST");
    return ForCore{CancelAsked{request, it->first}};
  }
  if (parts.size() == 3 && parts[2] == "logs") {
    if (http.method != "GET") return wrong_method(http, "GET");
    return logs(http, it->first, request);
  }
  return not_found(format("nothing is at {}", http.path));
}

Routed api(const HttpRequest& http, const std::vector<std::string>& parts, std::uint64_t request,
           const State& state) {
  const std::string& what = parts[0];
  if (what == "jobs" && parts.size() <= 3) return jobs(http, parts, request, state);
  if (what == "shutdown" && parts.size() == 1) {
    if (http.method != "POST") return wrong_method(http, "POST");
    return ForCore{ShutdownAsked{request, flag_of(http, "checkpoint")}};
  }
  if (http.method != "GET") return wrong_method(http, "GET");
  if (what == "nodes" && parts.size() == 1) return Immediate{json_response(200, nodes_view(state))};
  if (what == "nodes" && parts.size() == 2) {
    const auto it = state.nodes.find(parts[1]);
    if (it == state.nodes.end()) return not_found(format("there is no node '{}'", parts[1]));
    return Immediate{json_response(200, node_view(state, it->first, it->second))};
  }
  if (what == "version" && parts.size() == 1) {
    return Immediate{json_response(
        200,
        Json{{"version", TRAINYARD_VERSION}, {"protocol", protocol::version}, {"cluster", state.identity}})};
  }
  return not_found(format("nothing is at {}", http.path));
}

}  // namespace

Routed route(const HttpRequest& http, std::uint64_t request, const State& state) {
  constexpr std::string_view prefix = "/api/v1/";
  if (http.path.starts_with(prefix)) {
    return api(http, split(std::string_view(http.path).substr(prefix.size()), '/'), request, state);
  }
  if (http.method != "GET" && http.method != "HEAD") return wrong_method(http, "GET");
  if (http.path == "/healthz") return Immediate{{200, "text/plain", "ok\n"}};
  if (http.path == "/readyz") {
    if (!state.recovering_until) return Immediate{{200, "text/plain", "ready\n"}};
    return Immediate{{503, "text/plain", "waits for its nodes after a restart\n"}};
  }
  if (http.path == "/") return Immediate{{200, "text/html; charset=utf-8", page(state)}};
  return not_found(format("nothing is at {}", http.path));
}

HttpResponse error_response(const Error& error) {
  struct Shape {
    int status;
    const char* code;
  };
  const Shape shape = [&]() -> Shape {
    switch (error.code) {
      case Errc::invalid:
        return {400, "invalid"};
      case Errc::not_found:
        return {404, "not_found"};
      case Errc::refused:
        return {422, "refused"};
      case Errc::conflict:
        return {409, "conflict"};
      case Errc::unavailable:
        return {503, "unavailable"};
      case Errc::io:
      case Errc::corrupt:
        break;
    }
    return {500, "internal"};
  }();
  return json_response(
      shape.status,
      Json{{"error", {{"code", shape.code}, {"message", error.message}, {"details", Json::object()}}}});
}

HttpResponse response_of(const Reply& reply) {
  return std::visit(
      overloaded{[](const Accepted& r) {
                   Json json{{"id", r.dry_run ? Json() : Json(number(r.job))}, {"name", r.name}};
                   if (!r.dry_run) return json_response(201, json);
                   json["dry_run"] = true;
                   json["placement"] = Json::array();
                   for (const Placed& placed : r.plan) {
                     json["placement"].push_back(
                         Json{{"task", name(placed.task)}, {"node", placed.node}, {"gpus", placed.gpus}});
                   }
                   return json_response(200, json);
                 },
                 [](const Cancelling& r) {
                   return json_response(202, Json{{"id", number(r.job)}, {"state", name(r.state)}});
                 },
                 [](const LogText& r) {
                   return json_response(200, Json{{"task", r.task},
                                                  {"stream", r.error_stream ? "stderr" : "stdout"},
                                                  {"text", r.bytes},
                                                  {"offset", r.offset},
                                                  {"end", r.end}});
                 },
                 [](const Closing&) {
                   return json_response(202, Json{{"state", "stopping"}});
                 },
                 [](const Error& error) { return error_response(error); }},
      reply);
}

}  // namespace trainyard::master
