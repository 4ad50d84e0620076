#include "daemons/master/shell.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/config/read.hpp"
#include "common/protocol/codec.hpp"
#include "common/store/file.hpp"
#include "daemons/master/event_codec.hpp"
#include "daemons/master/order.hpp"
#include "daemons/master/outline.hpp"
#include "daemons/master/replay.hpp"
#include "daemons/master/view.hpp"

namespace trainyard::master {

namespace {

constexpr Duration tick_every = 50ms;
constexpr Duration goodbye = 100ms;  // answers are still on their way

/// Compares in a time that does not depend on where the texts differ.
bool same_secret(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]);
  }
  return difference == 0;
}

std::string header_of(const net::HttpRequest& http, const std::string& name) {
  const auto it = http.headers.find(name);
  return it == http.headers.end() ? "" : it->second;
}

}  // namespace

Shell::Shell(net::Reactor& reactor, const config::ClusterConfig& config, std::string token)
    : reactor_(reactor),
      config_(config.master),
      token_(std::move(token)),
      messages_(registry_.counter("trainyard_master_messages_total", "Control messages that came in.")),
      requests_(registry_.counter("trainyard_master_http_requests_total", "HTTP requests that came in.")),
      records_(registry_.counter("trainyard_master_records_total", "Records that went to the journal.")),
      durable_seconds_(registry_.histogram("trainyard_master_durable_seconds",
                                           "From a decision until its records are on disk.")) {
  state_.settings = {.heartbeat_every = config_.heartbeat_every,
                     .unreachable_after = config_.unreachable_after,
                     .lost_after = config_.lost_after,
                     .recovery_grace = config_.recovery_grace,
                     .register_within = config_.register_within,
                     .jobs_kept = config_.jobs_kept};
}

Shell::~Shell() = default;

Status Shell::recover() {
  if (const Status made = store::make_directories(config_.state_dir); !made) return made.error();
  auto journal = store::open_journal(
      config_.state_dir, [this](std::function<void()> work) { reactor_.post(std::move(work)); },
      [this](Error error) { fail(std::move(error)); });
  if (!journal) return journal.error();
  journal_ = std::move(*journal);
  const auto texts = journal_->read_all();
  if (!texts) return texts.error();
  std::vector<Record> records;
  for (std::size_t i = 0; i < texts->size(); ++i) {
    auto record = decode_record((*texts)[i]);
    if (!record) return record.error().with(format("{}/journal.db: record {}", config_.state_dir, i + 1));
    fold(state_, *record);
    records.push_back(std::move(*record));
  }
  if (const Status dropped = drop_forgotten(records); !dropped) return dropped;
  if (!records.empty())
    log::info("{} records are read; {} jobs are remembered", records.size(), state_.jobs.size());
  if (const Status recording = begin_recording(*texts); !recording) return recording;
  dispatch(Recovered{random_token()});
  reactor_.every(tick_every, [this] { dispatch(Tick{}); });
  return {};
}

Status Shell::begin_recording(const std::vector<std::string>& records) {
  if (config_.record.empty()) return {};
  const std::string path = (std::filesystem::path(config_.state_dir) / config_.record).string();
  auto recorder = runtime::Recorder::create(path, program, config_.record_bytes_max);
  if (!recorder) return recorder.error().with("master.record");
  recorder_ = std::move(*recorder);
  master::begin_recording(*recorder_, clock_.now(), state_.settings, records);
  log::info("events are recorded in {}; '{} --replay' takes it", path, program);
  return {};
}

/// Records of jobs that are forgotten fall out of the journal at the next start.
Status Shell::drop_forgotten(const std::vector<Record>& records) {
  std::vector<std::string> kept{encode(IdsUsed{state_.next_job})};
  for (const Record& record : records) {
    const JobId job = job_of(record);
    const bool outdated = std::holds_alternative<IdsUsed>(record);
    if (!outdated && (job == JobId{} || state_.jobs.contains(job))) kept.push_back(encode(record));
  }
  if (kept.size() >= records.size()) return {};
  return journal_->compact(kept);
}

Status Shell::listen(const net::Endpoint& at) {
  auto server = net::Server::listen(
      reactor_, at,
      {.request = [this](net::HttpRequest http, net::HttpReply reply) { request(http, reply); },
       .session = [this](std::shared_ptr<net::Session> session) { return opened(std::move(session)); }});
  if (!server) return server.error();
  server_ = std::move(*server);
  return store::write_atomic(config_.state_dir + "/endpoint", net::name(server_->endpoint()));
}

void Shell::fail(Error error) {
  if (failure_) return;
  log::error("{}", error.message);
  failure_ = std::move(error);
  // Nothing that still waits was made durable: who asked for it is told so.
  for (const auto& [number, reply] : std::exchange(replies_, {})) reply(failed_response());
  reactor_.after(goodbye, [this] { reactor_.stop(); });
}

net::HttpResponse Shell::failed_response() const {
  return error_response(
      {failure_->code, format("the master cannot keep its state and has ended; nothing of this request was "
                              "done: {}",
                              failure_->message)});
}

void Shell::dispatch(const Event& event) {
  if (failure_) return;
  const Instant now = clock_.now();
  if (recorder_) recorder_->event(now, encode(event));
  Actions actions = step(state_, event, now);
  if (recorder_) recorder_->decided(now, summary(actions));
  Actions later;
  bool recorded = false;
  for (Action& action : actions) {
    if (const auto* append = std::get_if<Append>(&action)) {
      journal_->append(encode(append->record));
      records_.add();
      recorded = true;
    } else {
      later.push_back(std::move(action));
    }
  }
  if (later.empty() && !recorded) return;
  journal_->when_durable([this, recorded, since = now.monotonic, actions = std::move(later)] {
    if (recorded) durable_seconds_.observe(seconds(clock_.now().monotonic - since));
    for (const Action& action : actions) carry_out(action);
  });
}

void Shell::carry_out(const Action& action) {
  std::visit(overloaded{[](const Append&) {},
                        [this](const Send& send) {
                          const auto it = sessions_.find(send.peer);
                          if (it != sessions_.end()) it->second->send(protocol::encode(send.message));
                        },
                        [this](const Answer& answer) {
                          auto reply = replies_.extract(answer.request);
                          if (!reply.empty()) reply.mapped()(response_of(answer.reply));
                        },
                        [this](const Close& close) {
                          const auto it = sessions_.find(close.peer);
                          if (it != sessions_.end()) it->second->close();
                        },
                        [](const Say& say) { log::info("{}", say.text); },
                        [this](const Quit&) { reactor_.after(goodbye, [this] { reactor_.stop(); }); }},
             action);
}

net::SessionEvents Shell::opened(std::shared_ptr<net::Session> session) {
  const PeerId peer{next_peer_++};
  sessions_.emplace(peer, std::move(session));
  return {.frame =
              [this, peer](std::string_view body) {
                auto message = protocol::decode(body);
                if (!message) {
                  const auto it = sessions_.find(peer);
                  if (it == sessions_.end()) return;
                  log::warn("{} sent nonsense and is disconnected: {}", it->second->peer(),
                            message.error().message);
                  return it->second->close();
                }
                messages_.add();
                dispatch(MessageReceived{peer, std::move(*message)});
              },
          .closed =
              [this, peer](const std::string&) {
                sessions_.erase(peer);
                dispatch(PeerClosed{peer});
              }};
}

std::optional<net::HttpResponse> Shell::refusal(const net::HttpRequest& http) const {
  // A page from elsewhere in the user's browser must not submit jobs here.
  const std::string origin = header_of(http, "origin");
  if (!origin.empty() && origin != "http://" + header_of(http, "host")) {
    auto response = error_response({Errc::refused, "requests from other sites are refused"});
    response.status = 403;
    return response;
  }
  if (token_.empty() || http.path == "/healthz" || http.path == "/readyz") return std::nullopt;
  if (same_secret(header_of(http, "authorization"), "Bearer " + token_)) return std::nullopt;
  auto response = error_response({Errc::refused, "this cluster wants a token (security.token_file)"});
  response.status = 401;
  return response;
}

void Shell::request(const net::HttpRequest& http, const net::HttpReply& reply) {
  requests_.add();
  if (auto response = refusal(http)) return reply(std::move(*response));
  if (failure_) return reply(failed_response());
  if (http.path == "/metrics") {
    return reply({200, "text/plain; version=0.0.4", metrics_view(state_) + registry_.text()});
  }
  const std::uint64_t number = next_request_++;
  std::visit(overloaded{[&](const ForCore& routed) {
                          replies_.emplace(number, reply);
                          dispatch(routed.event);
                        },
                        [&](const Submission& submission) {
                          replies_.emplace(number, reply);
                          submit(submission, number);
                        },
                        [&](const Immediate& immediate) {
                          // What is shown must not be undone by a crash either.
                          journal_->when_durable([reply, response = immediate.response] { reply(response); });
                        }},
             route(http, number, state_));
}

void Shell::submit(const Submission& submission, std::uint64_t request) {
  const auto refuse = [&](const Error& error) { carry_out(Answer{request, error}); };
  const auto spec = config::read_job(submission.yaml, "job", "/");
  if (!spec) return refuse(spec.error());
  auto order = order_of(*spec, config::print_job(*spec));
  if (!order) return refuse(order.error());
  dispatch(JobSubmitted{request, std::move(*order), random_token(), submission.dry_run});
}

}  // namespace trainyard::master
