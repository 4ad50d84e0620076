#include "tests/sim/world.hpp"

#include <algorithm>

#include "common/base/text.hpp"
#include "common/protocol/codec.hpp"

namespace trainyard::sim {

namespace {

constexpr std::uint64_t gib = std::uint64_t{1} << 30;

master::JobOrder small_job(Random& random, std::size_t number) {
  master::JobOrder order{.name = format("job-{}", number),
                         .restarts = 1000,
                         .output_dir = "/out",
                         .checkpoint_dir = "/out/checkpoints",
                         .yaml = "yaml"};
  order.priority = static_cast<std::uint32_t>(random.below(3)) * 50;
  order.spread = random.chance(0.5);
  const auto trainers = static_cast<std::uint32_t>(1 + random.below(3));
  order.roles = {{Role::trainer, trainers, {1000, gib, static_cast<std::uint32_t>(random.below(2))}}};
  order.roles.push_back({Role::ps, static_cast<std::uint32_t>(1 + random.below(2)), {500, gib, 0}});
  return order;
}

}  // namespace

World::World(std::uint64_t seed, Faults faults) : random_(seed), faults_(faults) {
  for (const char* name : {"n1", "n2", "n3"}) {
    Node node;
    node.facts.node = name;
    node.facts.address = "127.0.0.1";
    node.facts.capacity = {4000, 16 * gib, 2};
    node.facts.stop_grace = 2s;
    nodes_.emplace(name, std::move(node));
  }
}

void World::at(Duration delay, Work work) {
  queue_.emplace(std::pair(now_ + delay, sequence_++), std::move(work));
}

Duration World::delay(Duration low, Duration high) {
  return low + Duration(static_cast<std::int64_t>(
                   random_.below(static_cast<std::uint64_t>((high - low).count()) + 1)));
}

Instant World::instant() const {
  return {Time{} + 1h + now_,
          1'000'000 + std::chrono::duration_cast<std::chrono::milliseconds>(now_).count()};
}

void World::note(const std::string& text) {
  std::uint64_t state = trace ^ static_cast<std::uint64_t>(now_.count());
  for (const char c : text) state = state * 1099511628211ull ^ static_cast<unsigned char>(c);
  trace = splitmix64(state);
  ++events;
}

void World::violation(const std::string& text) {
  if (violations.size() < 20)
    violations.push_back(
        format("{}: {}", duration_text(std::chrono::duration_cast<std::chrono::milliseconds>(now_)), text));
}

// ---- master

void World::master_start() {
  note("master starts");
  master_.emplace();
  ++master_life_;
  for (const std::string& text : durable_) {
    const auto record = master::decode_record(text);
    if (!record) return violation("a durable record cannot be read");
    master::fold(*master_, *record);
  }
  for (const std::uint64_t id : accepted_) {
    if (!master_->jobs.contains(JobId{id})) violation(format("job {} was accepted and is lost", id));
  }
  pending_.clear();
  held_.clear();
  flushing_ = false;
  flushed_ = appended_ = durable_.size();
  master_step(master::Recovered{format("cluster-{}", master_life_)});
  const auto life = master_life_;
  // Ticks of this life only.
  auto tick = std::make_shared<Work>();
  *tick = [this, life, weak = std::weak_ptr(tick)] {
    if (!master_ || life != master_life_) return;
    master_step(master::Tick{});
    if (const auto next = weak.lock()) at(50ms, [next] { (*next)(); });
  };
  at(50ms, [tick] { (*tick)(); });
}

void World::master_crash() {
  note("master crashes");
  ++crashes;
  master_.reset();
  std::vector<std::uint64_t> open;
  for (const auto& [id, link] : links_) {
    if (link.open) open.push_back(id);
  }
  for (const std::uint64_t id : open) break_link(id);
  at(delay(200ms, 4s), [this] { master_start(); });
}

void World::master_step(const master::Event& event) {
  if (!master_) return;
  master::Actions later;
  for (master::Action& action : master::step(*master_, event, instant())) {
    if (const auto* append = std::get_if<master::Append>(&action)) {
      master_append(append->record);
    } else {
      later.push_back(std::move(action));
    }
  }
  if (!later.empty()) {
    if (flushed_ == appended_) {
      for (const auto& action : later) master_act(action);
    } else {
      held_.emplace_back(appended_, std::move(later));
    }
  }
  check_master();
}

void World::master_append(const master::Record& record) {
  if (const auto* placed = std::get_if<master::GangPlaced>(&record)) {
    std::size_t wanted = 0;
    for (const auto& role : master_->jobs.at(placed->job).order.roles) wanted += role.count;
    if (placed->tasks.size() != wanted) violation("a gang was not placed whole");
    if (number(placed->incarnation) > 1) ++restarts;
  }
  note(master::encode(record));
  pending_.push_back(master::encode(record));
  ++appended_;
  master_flush();
}

/// Group commit: what was appended until the disk is free goes together.
void World::master_flush() {
  if (flushing_ || pending_.empty()) return;
  flushing_ = true;
  const std::size_t count = pending_.size();
  const auto life = master_life_;
  at(delay(1ms, 20ms), [this, count, life] {
    if (!master_ || life != master_life_) return;
    durable_.insert(durable_.end(), pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(count));
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(count));
    flushed_ += count;
    flushing_ = false;
    while (!held_.empty() && held_.front().first <= flushed_) {
      const master::Actions actions = std::move(held_.front().second);
      held_.erase(held_.begin());
      for (const auto& action : actions) master_act(action);
    }
    master_flush();
  });
}

void World::master_act(const master::Action& action) {
  std::visit(
      overloaded{[&](const master::Send& send) {
                   const auto id = static_cast<std::uint64_t>(send.peer);
                   const auto link = links_.find(id);
                   if (link == links_.end() || !link->second.open) return;
                   // What reaches a task or starts one is of the life that the journal says.
                   if (const auto* launch = std::get_if<protocol::LaunchTask>(&send.message)) {
                     bool placed = false;
                     for (const std::string& text : durable_) {
                       placed = placed || text.find("gang_placed") != std::string::npos;
                     }
                     if (!placed)
                       violation(format("launched before it was durable: {}", executor::name(launch->key)));
                   }
                   send_down(id, send.message);
                 },
                 [&](const master::Answer& answer) {
                   if (const auto* accepted = std::get_if<master::Accepted>(&answer.reply)) {
                     if (!accepted_.insert(number(accepted->job)).second)
                       violation("a job's number came twice");
                   }
                 },
                 [&](const master::Close& close) {
                   const auto id = static_cast<std::uint64_t>(close.peer);
                   at(5ms, [this, id] { break_link(id); });
                 },
                 [](const auto&) {}},
      action);
}

void World::check_master() {
  if (!master_) return;
  std::map<NodeName, protocol::ResourceSet> used;
  std::map<NodeName, std::set<std::uint32_t>> gpus;
  for (const auto& [id, job] : master_->jobs) {
    for (const auto& [task_id, task] : job.tasks) {
      if (task.incarnation != job.incarnation) violation("a task of another life is in the gang");
      if (master::has_ended(task.state)) continue;
      used[task.node].cpu_millis += task.granted.cpu_millis;
      for (const std::uint32_t gpu : task.gpus) {
        if (!gpus[task.node].insert(gpu).second)
          violation(format("GPU {} of {} was granted twice", gpu, task.node));
      }
    }
  }
  for (const auto& [name, sum] : used) {
    if (sum.cpu_millis > nodes_.at(name).facts.capacity.cpu_millis)
      violation(format("{} is over-committed", name));
  }
}

void World::submit() {
  if (!master_) {
    at(500ms, [this] { submit(); });
    return;
  }
  master_step(master::JobSubmitted{.request = next_request_++,
                                   .order = small_job(random_, next_request_),
                                   .secret = format("s{}", next_request_)});
}

// ---- executors

void World::node_start(Node& node) {
  const NodeName name = node.facts.node;
  note(name + " starts");
  ++node.life;
  node.facts.session = next_session_++;
  node.core = executor::make_state(node.facts, instant());
  for (const auto& [key, remains] : node.done)
    node_step(name, executor::TaskRemembered{key, remains.cluster});
  for (const auto& [key, remains] : node.live) {
    const auto process = node.processes.find(key);
    protocol::TaskReport report{.key = key};
    if (process != node.processes.end()) {
      report.state = protocol::ProcessState::running;
      report.pid = process->second.pid;
    } else {
      report.state = protocol::ProcessState::exited;
      report.signal = remains.exit ? remains.exit->signal : 9;
      report.exit_code = remains.exit ? remains.exit->exit_code : 0;
      if (!remains.exit) report.error = "lost while the executor was away";
    }
    node_step(name, executor::TaskFound{report, remains.cluster});
  }
  const auto life = node.life;
  auto tick = std::make_shared<Work>();
  *tick = [this, name, life, weak = std::weak_ptr(tick)] {
    Node& self = nodes_.at(name);
    if (!self.core || self.life != life) return;
    node_step(name, executor::Tick{});
    if (!self.link) connect_node(name);
    if (const auto next = weak.lock()) at(50ms, [next] { (*next)(); });
  };
  at(50ms, [tick] { (*tick)(); });
}

void World::node_crash(Node& node, bool machine, bool wiped) {
  if (!node.core) return;
  const NodeName name = node.facts.node;
  note(format("{} crashes {} {}", name, machine, wiped));
  ++crashes;
  node.core.reset();
  if (node.link) break_link(*node.link);
  if (machine) {
    for (auto& [key, process] : node.processes) {
      if (process.link) break_link(*process.link);
    }
    node.processes.clear();
    if (wiped) {
      node.live.clear();
      node.done.clear();
      std::erase_if(spawned_, [&](const auto& item) { return item.first.first == name; });
    }
  }
  at(machine ? delay(1s, 50s) : delay(100ms, 5s), [this, name] { node_start(nodes_.at(name)); });
}

void World::node_step(const NodeName& name, const executor::Event& event) {
  Node& node = nodes_.at(name);
  if (!node.core) return;
  for (const executor::Action& action : executor::step(*node.core, event, instant())) node_act(name, action);
}

void World::node_act(const NodeName& name, const executor::Action& action) {
  Node& node = nodes_.at(name);
  std::visit(overloaded{[&](const executor::Send& send) {
                          if (node.link) send_up(*node.link, send.message);
                        },
                        [&](const executor::Spawn& start) { spawn(name, start); },
                        [&](const executor::Stop& stop) {
                          const bool stubborn = random_.chance(0.1);
                          at(stubborn ? stop.grace + 50ms : delay(5ms, 200ms),
                             [this, name, key = stop.key, stubborn] {
                               end_process(name, key, stubborn ? 0 : 143, stubborn ? 9 : 0);
                             });
                        },
                        [&](const executor::Destroy& destroy) {
                          at(5ms, [this, name, key = destroy.key] { end_process(name, key, 0, 9); });
                        },
                        [&](const executor::Remove& remove) {
                          if (node.processes.contains(remove.key)) violation("a running task was forgotten");
                          auto remains = node.live.extract(remove.key);
                          if (!remains.empty()) node.done.insert(std::move(remains));
                        },
                        [](const auto&) {}},
             action);
}

void World::spawn(const NodeName& name, const executor::Spawn& action) {
  const TaskKey key = action.launch.key;
  if (++spawned_[{name, key}] > 1) violation(format("{} was started twice on {}", executor::name(key), name));
  nodes_.at(name).live[key] = {action.cluster, std::nullopt};
  Process process{.key = key, .launch = action.launch, .pid = next_pid_++};
  nodes_.at(name).processes.emplace(key, std::move(process));
  const auto life = nodes_.at(name).life;
  at(delay(5ms, 80ms), [this, name, key, life] {
    Process* found = find(name, key);
    if (found == nullptr) return;
    if (nodes_.at(name).life == life) node_step(name, executor::TaskStarted{key, found->pid});
    connect_task(name, key);
    task_works(name, key);
  });
}

void World::end_process(const NodeName& name, const TaskKey& key, int code, int signal) {
  Node& node = nodes_.at(name);
  const auto it = node.processes.find(key);
  if (it == node.processes.end()) return;
  note(format("{} {} ends with {} {}", name, executor::name(key), code, signal));
  if (it->second.link) break_link(*it->second.link);
  node.processes.erase(it);
  const executor::TaskExited exit{.key = key, .exit_code = code, .signal = signal};
  if (const auto remains = node.live.find(key); remains != node.live.end()) remains->second.exit = exit;
  node_step(name, exit);
}

void World::connect_node(const NodeName& name) {
  Node& node = nodes_.at(name);
  if (!master_ || cut(name)) return;
  node.link = open_link(name, std::nullopt);
  node_step(name, executor::SessionOpened{});
}

void World::run(Duration faulty, Duration calm) {
  faulty_until_ = faulty;
  master_start();
  for (auto& [name, node] : nodes_) node_start(node);
  for (int job = 0; job < 4; ++job) at(delay(0s, faulty / 2), [this] { submit(); });
  at(delay(2s, faulty), [this] {
    if (master_ && !accepted_.empty())
      master_step(master::CancelAsked{next_request_++, JobId{*accepted_.begin()}});
  });
  schedule_fault();
  const Duration end = faulty + calm;
  const auto quiet = [&] {
    if (now_ < faulty + 70s || !master_ || accepted_.size() < 4) return false;
    return std::all_of(master_->jobs.begin(), master_->jobs.end(),
                       [](const auto& item) { return master::has_ended(item.second.state); });
  };
  Duration quiet_since{};
  while (!queue_.empty() && now_ < end && violations.empty()) {
    auto next = queue_.extract(queue_.begin());
    now_ = next.key().first;
    next.mapped()();
    if (!quiet()) {
      quiet_since = now_;
    } else if (now_ - quiet_since > 20s) {
      break;
    }
  }
  if (!violations.empty()) return;
  if (!master_) return violation("the master is not there at the end");
  for (const auto& [id, job] : master_->jobs) {
    ++outcomes[master::name(job.state)];
    if (!master::has_ended(job.state)) {
      violation(format("job {} is {} when all is calm: {} {}", number(id), master::name(job.state), job.cause,
                       job.pending_reason));
    }
  }
  for (const auto& [name, node] : nodes_) {
    for (const auto& [key, process] : node.processes)
      violation(format("{} still runs on {}", executor::name(key), name));
    if (node.core && !node.core->tasks.empty())
      violation(format("{} still keeps {} tasks", name, node.core->tasks.size()));
  }
}

}  // namespace trainyard::sim
