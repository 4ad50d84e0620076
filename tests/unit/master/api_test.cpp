#include "daemons/master/api.hpp"

#include "common/base/json.hpp"
#include "daemons/master/order.hpp"
#include "daemons/master/view.hpp"
#include "tests/unit/master/cluster.hpp"

namespace trainyard::master::test {

namespace {

net::HttpResponse get(const State& state, const std::string& path, const std::string& method = "GET") {
  const auto routed =
      route({.method = method, .path = path, .query = {}, .headers = {}, .body = {}}, 1, state);
  REQUIRE(std::holds_alternative<Immediate>(routed));
  return std::get<Immediate>(routed).response;
}

}  // namespace

TEST_CASE("errors say what they are, with the right status", "[master]") {
  const State state;
  CHECK(get(state, "/api/v1/jobs/7").status == 404);
  CHECK(get(state, "/api/v1/jobs/x").status == 400);
  CHECK(get(state, "/api/v1/nodes/n9").status == 404);
  CHECK(get(state, "/api/v1/shutdown").status == 405);
  CHECK(get(state, "/nothing").status == 404);
  const auto json = parse_json(get(state, "/api/v1/jobs/7").body);
  REQUIRE(json.has_value());
  CHECK((*json)["error"]["code"] == "not_found");
  CHECK((*json)["error"]["message"] == "there is no job 7");
}

TEST_CASE("a job's view has what the contract names, and no secret", "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  const JobId id = cluster.submit(order());
  const Json json = job_view(id, cluster.job(id), true);
  for (const char* key : {"id", "name", "state", "cause", "progress", "tasks", "events"})
    CHECK(json.contains(key));
  for (const char* key :
       {"role", "index", "state", "node", "pid", "incarnation", "address", "exit_code", "signal"}) {
    CHECK(json["tasks"][0].contains(key));
  }
  CHECK(json["tasks"][0]["exit_code"].is_null());
  CHECK(to_text(json).find("secret") == std::string::npos);
  CHECK_THAT(json["pending_reason"].get<std::string>(),
             Catch::Contains("not registered yet: trainer-0 on n1"));
}

TEST_CASE("what a task was and how far a job wanted to go outlive a restart of the master", "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  JobOrder wanted = order(1, 0);
  wanted.epochs = 12;
  wanted.restarts = 0;
  const JobId id = cluster.submit(wanted);
  cluster.gather(id);
  cluster.report(cluster.key(id, Role::trainer, 0), protocol::ProcessState::exited, 1);
  REQUIRE(cluster.job(id).state == JobState::failed);
  State restarted;
  for (const Record& record : cluster.records) {
    const auto read = decode_record(encode(record));
    REQUIRE(read.has_value());
    fold(restarted, *read);
  }
  const Json json = job_view(id, restarted.jobs.at(id), true);
  CHECK(json["progress"]["epochs"] == 12);
  CHECK(json["tasks"][0]["pid"] == 100);
  CHECK(json["tasks"][0]["exit_code"] == 1);
}

TEST_CASE("names are escaped on the page", "[master]") {
  Cluster cluster;
  JobOrder wanted = order();
  wanted.name = "<script>x</script>";
  cluster.submit(wanted);
  CHECK(page(cluster.state).find("<script>") == std::string::npos);
}

TEST_CASE("a job that this release cannot run is refused in words", "[master]") {
  config::JobSpec spec;
  spec.kind = config::JobKind::command;
  CHECK(order_of(spec, "").error().code == Errc::refused);
  spec.kind = config::JobKind::train;
  spec.cluster.trainer.cpus = 0.1;
  const auto wanted = order_of(spec, "yaml");
  REQUIRE(wanted.has_value());
  CHECK(wanted->roles[0].each.cpu_millis == 100);
}

}  // namespace trainyard::master::test
