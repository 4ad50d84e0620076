#include "daemons/trainer/shell.hpp"

#include <csignal>

#include "common/base/json.hpp"
#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/collective/greeting.hpp"
#include "common/runtime/daemon.hpp"

namespace trainyard::trainer {

namespace {

constexpr Duration look_every = 50ms;
constexpr Duration goodbye_patience = 10s;  // the last report is the result of the job

net::HttpResponse nothing_there(const std::string& path) {
  const Json error{{"code", "not_found"},
                   {"message", format("nothing is at {}; a trainer has /metrics and /healthz", path)},
                   {"details", Json::object()}};
  return {404, "application/json", to_text(Json{{"error", error}}) + "\n"};
}

}  // namespace

Shell::Shell(net::Reactor& reactor, runtime::TaskEnvironment environment, config::JobSpec job)
    : reactor_(reactor), environment_(std::move(environment)), job_(std::move(job)) {}

Shell::~Shell() {
  link_.cancelled = true;
  link_.inbox.close();
  if (compute_.joinable()) compute_.join();
}

Status Shell::serve() {
  auto server = net::Server::listen(
      reactor_, {environment_.address, 0},
      {.request =
           [this](net::HttpRequest request, const net::HttpReply& reply) {
             if (request.path == "/metrics")
               return reply({200, "text/plain; version=0.0.4", link_.registry.text()});
             if (request.path == "/healthz") return reply({200, "text/plain", "ok\n"});
             reply(nothing_there(request.path));
           },
       .session = nullptr,
       .other_magic = collective::ring_magic,
       .other = [this](int socket) { link_.ring.adopt(Descriptor(socket)); }});
  if (!server) return server.error();
  server_ = std::move(*server);
  return {};
}

Status Shell::start() {
  if (const Status served = serve(); !served) return served;
  reactor_.on_signal({SIGHUP}, [](int) { log::info("SIGHUP: a task has nothing to reload"); });
  reactor_.on_signal({SIGTERM, SIGINT}, [this](int) {
    log::info("asked to stop");
    link_.cancelled = true;
  });
  link_.report = [this](protocol::Message message) {
    reactor_.post([this, message = std::move(message)] { member_->report(message); });
  };
  member_ =
      std::make_unique<runtime::Member>(reactor_, environment_, net::name(server_->endpoint()),
                                        [this](const protocol::Message& message) { received(message); });
  reactor_.every(look_every, [this] { link_.connected = member_->connected(); });
  compute_ = std::thread([this] {
    const Status status = Training(environment_, job_, link_).run();
    reactor_.post([this, status] { ended(status); });
  });
  return {};
}

void Shell::received(const protocol::Message& message) {
  link_.connected = true;
  if (const auto* refused = std::get_if<protocol::Refused>(&message)) {
    log::warn("the master refused: {}", refused->reason);
    if (refused->final) link_.cancelled = true;
    return;
  }
  if (const auto* roster = std::get_if<protocol::Roster>(&message);
      roster && job_.cluster.parameter_servers > 0)
    link_.shards.set(roster->epoch, shard_endpoints(*roster, job_.cluster.parameter_servers));
  protocol::Message copy = message;
  if (!link_.inbox.try_put(copy))
    log::warn("the compute thread does not listen; a message of the master is dropped");
}

void Shell::ended(const Status& status) {
  if (compute_.joinable()) compute_.join();
  if (status) {
    member_->flush(goodbye_patience, [this] { reactor_.stop(); });
    return;
  }
  if (link_.cancelled) {
    exit_code_ = 128 + SIGTERM;
  } else {
    // A job that is wrong itself (2) is not tried again by the master; anything else may go better next time.
    const Errc code = status.error().code;
    (void)runtime::fail(status.error());
    exit_code_ =
        code == Errc::invalid || code == Errc::not_found ? runtime::exit_usage : runtime::exit_failed;
  }
  reactor_.stop();
}

}  // namespace trainyard::trainer
