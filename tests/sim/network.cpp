// The world's connections, and what goes wrong in it.
#include <algorithm>

#include "common/base/text.hpp"
#include "common/protocol/codec.hpp"
#include "tests/sim/world.hpp"

namespace trainyard::sim {

std::uint64_t World::open_link(const std::string& node, std::optional<TaskKey> task) {
  const std::uint64_t id = next_link_++;
  links_.emplace(id, Link{true, node, task, now_, now_});
  return id;
}

bool World::cut(const std::string& node) const { return nodes_.at(node).cut_until > now_; }

void World::break_link(std::uint64_t id) {
  const auto it = links_.find(id);
  if (it == links_.end() || !it->second.open) return;
  it->second.open = false;
  const Link link = it->second;
  at(delay(1ms, 30ms), [this, id] { master_step(master::PeerClosed{master::PeerId{id}}); });
  Node& node = nodes_.at(link.node);
  if (!link.task) {
    if (node.link == id) node.link.reset();
    at(delay(1ms, 30ms), [this, name = link.node, life = node.life] {
      if (nodes_.at(name).life == life && !nodes_.at(name).link) node_step(name, executor::SessionClosed{});
    });
    return;
  }
  if (Process* process = find(link.node, *link.task); process != nullptr && process->link == id) {
    process->link.reset();
    at(delay(200ms, 400ms), [this, name = link.node, key = *link.task] { connect_task(name, key); });
  }
}

void World::send_up(std::uint64_t id, const protocol::Message& message) {
  const int copies = random_.chance(faults_.duplicates) ? 2 : 1;
  for (int copy = 0; copy < copies; ++copy) {
    Link& link = links_.at(id);
    if (!link.open) return;
    link.to_master = std::max(link.to_master, now_ + delay(100us, 10ms));
    at(link.to_master - now_, [this, id, message] {
      const Link& arrived = links_.at(id);
      if (!arrived.open || cut(arrived.node)) return;
      note(format("{} up {}", id, protocol::name(message)));
      master_step(master::MessageReceived{master::PeerId{id}, message});
    });
  }
}

void World::send_down(std::uint64_t id, const protocol::Message& message) {
  const int copies = random_.chance(faults_.duplicates) ? 2 : 1;
  for (int copy = 0; copy < copies; ++copy) {
    Link& link = links_.at(id);
    link.from_master = std::max(link.from_master, now_ + delay(100us, 10ms));
    at(link.from_master - now_, [this, id, message] {
      const Link arrived = links_.at(id);
      if (!arrived.open || cut(arrived.node)) return;
      note(format("{} down {}", id, protocol::name(message)));
      if (arrived.task) {
        task_hears(arrived.node, *arrived.task, message);
      } else {
        node_step(arrived.node, executor::MessageReceived{message});
      }
    });
  }
}

// ---- faults

void World::schedule_fault() {
  at(delay(100ms, 4s), [this] {
    if (now_ > faulty_until_) return;
    auto node = nodes_.begin();
    std::advance(node, static_cast<std::ptrdiff_t>(random_.below(nodes_.size())));
    const std::uint64_t dice = random_.below(100);
    if (dice < 15 && faults_.crashes && master_) {
      master_crash();
    } else if (dice < 35 && faults_.crashes) {
      node_crash(node->second, false, false);
    } else if (dice < 42 && faults_.crashes) {
      node_crash(node->second, true, random_.chance(0.5));
    } else if (dice < 65 && faults_.crashes && !node->second.processes.empty()) {
      auto victim = node->second.processes.begin();
      std::advance(victim, static_cast<std::ptrdiff_t>(random_.below(node->second.processes.size())));
      const TaskKey key = victim->first;
      end_process(node->first, key, 0, 9);
    } else if (dice < 80 && faults_.partitions) {
      note(format("{} is cut off", node->first));
      node->second.cut_until = now_ + delay(200ms, 45s);
      // TCP notices in the end: everything that was open is broken once the cut is over.
      at(node->second.cut_until - now_, [this, name = node->first] {
        std::vector<std::uint64_t> open;
        for (const auto& [id, link] : links_) {
          if (link.open && link.node == name) open.push_back(id);
        }
        for (const std::uint64_t id : open) break_link(id);
      });
    } else if (faults_.breaks) {
      std::vector<std::uint64_t> open;
      for (const auto& [id, link] : links_) {
        if (link.open) open.push_back(id);
      }
      if (!open.empty()) break_link(open[random_.below(open.size())]);
    }
    schedule_fault();
  });
}

}  // namespace trainyard::sim
