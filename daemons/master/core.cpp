#include "daemons/master/core.hpp"

#include <algorithm>

#include "common/base/text.hpp"
#include "daemons/master/step.hpp"

namespace trainyard::master {

Actions Step::run(const Event& event) {
  std::visit([this](const auto& e) { on(e); }, event);
  if (schedule_wanted_) schedule();
  return std::move(actions_);
}

void Step::on(const Recovered& event) {
  if (state_.identity.empty()) remember(ClusterFounded{event.fresh_identity});
  bool gangs = false;
  for (auto& [id, job] : state_.jobs) {
    if (has_ended(job.state)) continue;
    job.placed_at = job.stopping_since = now_;
    for (auto& [task_id, task] : job.tasks) {
      if (!alive(task)) continue;
      gangs = true;
      task.seen = task.state == TaskState::running;
      job.gentle = job.gentle || (task.seen && (job.stop == Stop::cancel || job.stop == Stop::pause));
      Node& node = state_.nodes[task.node];
      node.last_heard = now_;
      node.last_heard_wall = wall_;
    }
  }
  if (gangs) {
    state_.recovering_until = now_ + state_.settings.recovery_grace;
    say(format("{} nodes hold tasks; nothing is placed until they are back, for {} at most",
               state_.nodes.size(), duration_text(state_.settings.recovery_grace)));
  }
  std::vector<JobId> open;
  for (const auto& [id, job] : state_.jobs) {
    if (!has_ended(job.state)) open.push_back(id);
  }
  for (const JobId id : open) settle(id);  // a stop of which only the last record is missing
}

void Step::on(const MessageReceived& event) {
  std::visit(overloaded{[&](const protocol::RegisterNode& m) { node_says(event.peer, m); },
                        [&](const protocol::Heartbeat& m) { node_says(event.peer, m); },
                        [&](const protocol::LogChunk& m) { node_says(event.peer, m); },
                        [&](const protocol::RegisterTask& m) { task_says(event.peer, m); },
                        [&](const protocol::Progress& m) { task_says(event.peer, m); },
                        [&](const protocol::RequestPartition& m) { task_says(event.peer, m); },
                        [&](const protocol::PartitionDone& m) { task_says(event.peer, m); },
                        [&](const protocol::CheckpointPart& m) { task_says(event.peer, m); },
                        [&](const protocol::CheckpointFailed& m) { task_says(event.peer, m); },
                        [&](const protocol::CheckpointWritten& m) { task_says(event.peer, m); },
                        [&](const protocol::Finished& m) { task_says(event.peer, m); },
                        [&](const auto&) {
                          say("a peer sent a message that no master takes; it is disconnected");
                          actions_.push_back(Close{event.peer});
                        }},
             event.message);
}

void Step::on(const PeerClosed& event) {
  if (const auto it = state_.node_peers.find(event.peer); it != state_.node_peers.end()) {
    if (const auto node = state_.nodes.find(it->second);
        node != state_.nodes.end() && node->second.peer == event.peer) {
      node->second.peer.reset();
    }
    state_.node_peers.erase(it);
  }
  if (const auto it = state_.task_peers.find(event.peer); it != state_.task_peers.end()) {
    if (Job* job = find_job(it->second.job)) {
      const auto task = job->tasks.find(it->second);
      if (task != job->tasks.end() && task->second.peer == event.peer) task->second.peer.reset();
    }
    state_.task_peers.erase(it);
  }
}

void Step::on(const JobSubmitted& event) {
  if (state_.closing) return answer(event.request, Error{Errc::unavailable, "the master is shutting down"});
  // While nodes are still coming back, nobody knows what the cluster can hold.
  const std::vector<Offer> empty = offers(true);
  if (!empty.empty() && !state_.recovering_until) {
    if (const std::string why = impossible(event.order, empty); !why.empty()) {
      return answer(event.request, Error{Errc::refused, why});
    }
  }
  if (event.dry_run) {
    Accepted accepted{.name = event.order.name, .dry_run = true};
    auto plan = place(JobId{}, event.order, offers(false));
    if (auto* placed = std::get_if<std::vector<Placed>>(&plan)) accepted.plan = std::move(*placed);
    return answer(event.request, std::move(accepted));
  }
  const auto open = std::count_if(state_.jobs.begin(), state_.jobs.end(),
                                  [](const auto& item) { return !has_ended(item.second.state); });
  if (static_cast<std::size_t>(open) >= jobs_waiting_max) {
    return answer(event.request, Error{Errc::refused, format("{} jobs wait already", jobs_waiting_max)});
  }
  const JobId id{state_.next_job};
  remember(JobAccepted{id, event.order, event.secret, wall_});
  answer(event.request, Accepted{.job = id, .name = event.order.name});
  schedule_wanted_ = true;
}

void Step::on(const CancelAsked& event) {
  Job* job = find_job(event.job);
  if (job == nullptr) {
    return answer(event.request, Error{Errc::not_found, format("there is no job {}", number(event.job))});
  }
  // A job that restarts has stopped for a while; cancelled, it stops for good.
  if (!has_ended(job->state) && job->stop < Stop::cancel) begin_stop(event.job, Stop::cancel, "cancelled");
  answer(event.request, Cancelling{event.job, job->state});
}

void Step::on(const LogAsked& event) {
  Job* job = find_job(event.job);
  if (job == nullptr) {
    return answer(event.request, Error{Errc::not_found, format("there is no job {}", number(event.job))});
  }
  const std::string wanted = event.task.empty() ? "trainer-0" : event.task;
  const auto task = std::find_if(job->tasks.begin(), job->tasks.end(),
                                 [&](const auto& item) { return name(item.first) == wanted; });
  if (task == job->tasks.end()) {
    if (job->tasks.empty() && !has_ended(job->state)) {
      return answer(event.request, LogText{wanted, event.error_stream, "", 0, 0});
    }
    return answer(event.request,
                  Error{Errc::not_found, format("job {} has no task '{}'", number(event.job), wanted)});
  }
  const std::uint64_t number = state_.next_log++;
  const bool sent =
      send_to_node(task->second.node, protocol::ReadLog{.request = number,
                                                        .key = {task->first, task->second.incarnation},
                                                        .error_stream = event.error_stream,
                                                        .offset = event.offset,
                                                        .bytes_max = log_bytes_max,
                                                        .tail_lines = event.tail_lines});
  if (!sent) {
    return answer(event.request,
                  Error{Errc::unavailable, format("the logs of {} are on {}, which is not connected", wanted,
                                                  task->second.node)});
  }
  state_.logs.emplace(number, LogQuestion{event.request, wanted, event.error_stream, now_ + log_patience});
}

void Step::on(const ShutdownAsked& event) {
  state_.closing = true;
  state_.close_at = now_ + (event.save_first ? gentle_stop_max + dismissed_max : 0s);
  answer(event.request, Closing{});
  std::vector<JobId> running;
  for (const auto& [id, job] : state_.jobs) {
    if (any_alive(job) && job.stop == Stop::none) running.push_back(id);
  }
  if (event.save_first) {
    for (const JobId id : running)
      begin_stop(id, Stop::pause, "the master is going down; the job goes on after it is back");
  }
  close_if_quiet();
}

void Step::on(const Tick&) {
  watch_nodes();
  watch_jobs();
  expire_logs();
  schedule_wanted_ = true;
  close_if_quiet();
}

void Step::expire_logs() {
  for (auto it = state_.logs.begin(); it != state_.logs.end();) {
    if (now_ < it->second.until) {
      ++it;
      continue;
    }
    answer(it->second.request, Error{Errc::unavailable, "the executor did not answer"});
    it = state_.logs.erase(it);
  }
}

void Step::close_if_quiet() {
  if (!state_.closing) return;
  const bool quiet = std::none_of(state_.jobs.begin(), state_.jobs.end(),
                                  [](const auto& item) { return any_alive(item.second); });
  if (!quiet && now_ < *state_.close_at) return;
  actions_.push_back(Quit{});
}

bool Step::send_to_node(const NodeName& node, protocol::Message message) {
  const auto it = state_.nodes.find(node);
  if (it == state_.nodes.end() || !it->second.peer) return false;
  send(*it->second.peer, std::move(message));
  return true;
}

Task* Step::find_task(const protocol::TaskKey& key) {
  Job* job = find_job(key.task.job);
  if (job == nullptr) return nullptr;
  const auto it = job->tasks.find(key.task);
  return it == job->tasks.end() || it->second.incarnation != key.incarnation ? nullptr : &it->second;
}

Actions step(State& state, const Event& event, Instant now) { return Step(state, now).run(event); }

}  // namespace trainyard::master
