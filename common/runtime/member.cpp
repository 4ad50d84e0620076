#include "common/runtime/member.hpp"

#include <unistd.h>

#include <limits>
#include <utility>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/protocol/codec.hpp"

namespace trainyard::runtime {

namespace {

Result<std::string> variable(const std::map<std::string, std::string>& variables, const std::string& name) {
  const auto it = variables.find(name);
  if (it == variables.end() || it->second.empty()) {
    return Error{Errc::invalid, format("{} is not set; the executor sets it when it starts a task", name)};
  }
  return it->second;
}

Result<std::uint64_t> number_variable(const std::map<std::string, std::string>& variables,
                                      const std::string& name, std::uint64_t max) {
  const auto text = variable(variables, name);
  if (!text) return text.error();
  const auto number = parse_uint(*text);
  if (!number || *number > max) {
    return Error{Errc::invalid, format("{}: '{}' is not a number from 0 to {}", name, *text, max)};
  }
  return *number;
}

Result<Role> role_of(const std::string& text) {
  for (const Role role : {Role::trainer, Role::ps, Role::evaluator, Role::predictor}) {
    if (text == name(role)) return role;
  }
  return Error{Errc::invalid, format("TRAINYARD_ROLE: '{}' is no role of a task", text)};
}

}  // namespace

Result<TaskEnvironment> read_task_environment(const std::map<std::string, std::string>& variables) {
  constexpr std::uint64_t wide = std::numeric_limits<std::uint64_t>::max();
  constexpr std::uint64_t narrow = std::numeric_limits<std::uint32_t>::max();
  const auto job = number_variable(variables, "TRAINYARD_JOB", wide);
  if (!job) return job.error();
  const auto index = number_variable(variables, "TRAINYARD_INDEX", narrow);
  if (!index) return index.error();
  const auto incarnation = number_variable(variables, "TRAINYARD_INCARNATION", narrow);
  if (!incarnation) return incarnation.error();
  const auto role_text = variable(variables, "TRAINYARD_ROLE");
  if (!role_text) return role_text.error();
  const auto role = role_of(*role_text);
  if (!role) return role.error();
  const auto master_text = variable(variables, "TRAINYARD_MASTER");
  if (!master_text) return master_text.error();
  const auto master = net::parse_endpoint(*master_text);
  if (!master) return master.error().with("TRAINYARD_MASTER");

  TaskEnvironment environment;
  environment.key = {{JobId{*job}, *role, static_cast<std::uint32_t>(*index)},
                     Incarnation{static_cast<std::uint32_t>(*incarnation)}};
  environment.master = *master;
  const std::pair<const char*, std::string*> texts[] = {
      {"TRAINYARD_TASK_SECRET", &environment.secret},
      {"TRAINYARD_JOB_FILE", &environment.job_file},
      {"TRAINYARD_CHECKPOINT_DIR", &environment.checkpoint_dir},
      {"TRAINYARD_OUTPUT_DIR", &environment.output_dir}};
  for (const auto& [name, field] : texts) {
    auto text = variable(variables, name);
    if (!text) return text.error();
    *field = std::move(*text);
  }
  const auto address = variables.find("TRAINYARD_ADDRESS");
  const bool given = address != variables.end() && !address->second.empty();
  environment.address = given ? address->second : "127.0.0.1";
  return environment;
}

void Outbox::add(const protocol::Message& report) {
  std::visit(overloaded{
                 [&](const protocol::Progress& m) {
                   progress_ = m;
                   if (m.phase != "evaluate") return;
                   epochs_.push_back(m);
                   if (epochs_.size() > epochs_max) epochs_.pop_front();
                 },
                 [&](const protocol::RequestPartition& m) { request_ = m; },
                 [&](const protocol::PartitionDone& m) {
                   done_.push_back(m);
                   if (done_.size() > partitions_max) done_.pop_front();
                 },
                 [&](const protocol::CheckpointPart& m) {
                   part_ = m;
                   part_failed_.reset();
                 },
                 [&](const protocol::CheckpointFailed& m) {
                   part_failed_ = m;
                   part_.reset();
                 },
                 [&](const protocol::CheckpointWritten& m) { written_ = m; },
                 [&](const protocol::Finished& m) { finished_ = m; },
                 [](const auto&) { check(false, "a task reports nothing else"); },
             },
             report);
}

void Outbox::answered(const protocol::Message& message) {
  const auto* grant = std::get_if<protocol::GrantPartition>(&message);
  if (grant == nullptr || !request_) return;
  const bool same = grant->partition.epoch == request_->epoch && grant->partition.index == request_->index;
  if (same) request_.reset();
}

std::vector<protocol::Message> Outbox::all() const {
  std::vector<protocol::Message> messages(done_.begin(), done_.end());
  if (request_) messages.emplace_back(*request_);
  if (part_) messages.emplace_back(*part_);
  if (part_failed_) messages.emplace_back(*part_failed_);
  if (written_) messages.emplace_back(*written_);
  messages.insert(messages.end(), epochs_.begin(), epochs_.end());
  if (progress_) messages.emplace_back(*progress_);
  if (finished_) messages.emplace_back(*finished_);
  return messages;
}

struct Member::State {
  protocol::RegisterTask registration;
  std::string master;
  Received received;
  std::shared_ptr<net::Session> session;  // null while the master is away
  Outbox outbox;
  std::string failure;  // the last one that was logged
  std::function<void()> flushed;
  bool closing = false;

  void opened(std::shared_ptr<net::Session> fresh) {
    session = std::move(fresh);
    failure.clear();
    log::debug("connected to the master at {}", master);
    session->send(protocol::encode(registration));
    for (const protocol::Message& message : outbox.all()) session->send(protocol::encode(message));
    if (flushed) session->close();
  }

  void closed(const std::string& reason) {
    session.reset();
    if (flushed) {
      finish();
      return;
    }
    failed(reason);
  }

  void failed(const std::string& reason) {
    if (reason == failure) return;
    failure = reason;
    log::warn("master {}: {}; work goes on, trying again until it is back", master, reason);
  }

  void frame(std::string_view body) {
    auto message = protocol::decode(body);
    if (!message) {
      log::warn("master {}: {}", master, message.error().message);
      return;
    }
    outbox.answered(*message);
    received(std::move(*message));
  }

  void finish() {
    closing = true;
    if (auto done = std::exchange(flushed, nullptr)) done();
  }
};

Member::Member(net::Reactor& reactor, const TaskEnvironment& environment, const std::string& listening,
               Received received)
    : state_(std::make_shared<State>()) {
  state_->registration = {environment.key, environment.secret, listening,
                          static_cast<std::int32_t>(::getpid())};
  state_->master = net::name(environment.master);
  state_->received = std::move(received);
  reactor_ = &reactor;
  const std::weak_ptr<State> weak = state_;
  auto opened = [weak](std::shared_ptr<net::Session> session) {
    const auto state = weak.lock();
    if (!state || state->closing) {
      session->close();
      return net::SessionEvents{[](std::string_view) {}, [](const std::string&) {}};
    }
    state->opened(std::move(session));
    return net::SessionEvents{[weak](std::string_view body) {
                                if (const auto alive = weak.lock()) alive->frame(body);
                              },
                              [weak](const std::string& reason) {
                                if (const auto alive = weak.lock()) alive->closed(reason);
                              }};
  };
  connector_ = std::make_unique<net::Connector>(reactor, environment.master, std::move(opened),
                                                [weak](const std::string& reason) {
                                                  if (const auto state = weak.lock()) state->failed(reason);
                                                });
}

Member::~Member() = default;

void Member::report(const protocol::Message& message) {
  state_->outbox.add(message);
  if (state_->session) state_->session->send(protocol::encode(message));
}

bool Member::connected() const { return state_->session != nullptr; }

void Member::flush(Duration patience, std::function<void()> done) {
  state_->flushed = std::move(done);
  if (state_->session) state_->session->close();
  const std::weak_ptr<State> weak = state_;
  reactor_->after(patience, [weak] {
    if (const auto state = weak.lock()) state->finish();
  });
}

}  // namespace trainyard::runtime
