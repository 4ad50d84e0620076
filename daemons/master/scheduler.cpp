#include "daemons/master/scheduler.hpp"

#include <algorithm>
#include <tuple>

#include "common/base/text.hpp"

namespace trainyard::master {

namespace {

using protocol::ResourceSet;

bool fits(const ResourceSet& need, const ResourceSet& free) {
  return need.cpu_millis <= free.cpu_millis && need.memory <= free.memory && need.gpus <= free.gpus;
}

bool matches(const std::map<std::string, std::string>& require, const Offer& offer) {
  return std::all_of(require.begin(), require.end(), [&](const auto& label) {
    const auto it = offer.labels.find(label.first);
    return it != offer.labels.end() && it->second == label.second;
  });
}

std::string require_text(const std::map<std::string, std::string>& require) {
  std::vector<std::string> parts;
  for (const auto& [key, value] : require) parts.push_back(key + "=" + value);
  return parts.empty() ? "" : " with " + join(parts, ", ");
}

std::vector<RoleOrder> hardest_first(const JobOrder& order) {
  std::vector<RoleOrder> roles = order.roles;
  std::stable_sort(roles.begin(), roles.end(), [](const RoleOrder& a, const RoleOrder& b) {
    return std::tie(a.each.gpus, a.each.cpu_millis, a.each.memory) >
           std::tie(b.each.gpus, b.each.cpu_millis, b.each.memory);
  });
  return roles;
}

/// The node of `offers` that has most of what is asked for, to name the nearest shape.
std::string largest_text(const ResourceSet& need, const std::vector<Offer>& offers) {
  const auto lacking = [&](const Offer& offer) {
    return std::make_tuple(need.gpus > offer.free.gpus, need.cpu_millis > offer.free.cpu_millis,
                           need.memory > offer.free.memory);
  };
  const auto best = std::min_element(offers.begin(), offers.end(), [&](const Offer& a, const Offer& b) {
    return std::make_tuple(lacking(a), b.free.gpus, b.free.cpu_millis, b.free.memory) <
           std::make_tuple(lacking(b), a.free.gpus, a.free.cpu_millis, a.free.memory);
  });
  return format("the nearest, {}, has {}", best->node, text(best->free));
}

}  // namespace

std::string text(const ResourceSet& resources) {
  std::string out = format("{:g} CPU{}, {}", static_cast<double>(resources.cpu_millis) / 1000,
                           resources.cpu_millis == 1000 ? "" : "s", size_text(resources.memory));
  return out + format(", {} GPU{}", resources.gpus, resources.gpus == 1 ? "" : "s");
}

std::variant<std::vector<Placed>, NoRoom> place(JobId job, const JobOrder& order, std::vector<Offer> offers) {
  std::erase_if(offers, [&](const Offer& offer) { return !matches(order.require, offer); });
  if (offers.empty()) return NoRoom{format("no node{} is there", require_text(order.require))};
  std::vector<Placed> plan;
  std::map<NodeName, std::uint32_t> taken;
  for (const RoleOrder& role : hardest_first(order)) {
    for (std::uint32_t index = 0; index < role.count; ++index) {
      Offer* best = nullptr;
      // Not where the shard is that it follows, if there is a choice.
      const std::uint32_t shards = role.count / (1 + order.replicas);
      NodeName apart_from;
      if (role.role == Role::ps && index >= shards) {
        for (const Placed& placed : plan)
          if (placed.task.role == Role::ps && placed.task.index == index % shards) apart_from = placed.node;
      }
      const auto rank = [&](const Offer& offer) {
        return std::make_tuple(offer.node == apart_from, order.spread ? taken[offer.node] : 0u,
                               offer.free.gpus, offer.free.cpu_millis, offer.free.memory);
      };
      for (Offer& offer : offers) {
        if (fits(role.each, offer.free) && (best == nullptr || rank(offer) < rank(*best))) best = &offer;
      }
      if (best == nullptr) {
        return NoRoom{format("room for {} of its tasks only: {}-{} needs {}; {}", plan.size(),
                             name(role.role), index, text(role.each), largest_text(role.each, offers))};
      }
      best->free.cpu_millis -= role.each.cpu_millis;
      best->free.memory -= role.each.memory;
      best->free.gpus -= role.each.gpus;
      ++taken[best->node];
      Placed placed{{job, role.role, index}, best->node, {}};
      for (std::uint32_t gpu = 0; gpu < role.each.gpus; ++gpu) {
        placed.gpus.push_back(*best->gpus.begin());
        best->gpus.erase(best->gpus.begin());
      }
      plan.push_back(std::move(placed));
    }
  }
  std::sort(plan.begin(), plan.end(), [](const Placed& a, const Placed& b) { return a.task < b.task; });
  return plan;
}

std::string impossible(const JobOrder& order, const std::vector<Offer>& empty_nodes) {
  std::vector<Offer> fitting = empty_nodes;
  std::erase_if(fitting, [&](const Offer& offer) { return !matches(order.require, offer); });
  if (fitting.empty()) return format("no node{} belongs to this cluster", require_text(order.require));
  for (const RoleOrder& role : order.roles) {
    if (role.count == 0) continue;
    const bool one_could = std::any_of(fitting.begin(), fitting.end(),
                                       [&](const Offer& offer) { return fits(role.each, offer.free); });
    if (!one_could) {
      return format("a {} needs {}, and no node{} has that; {}", name(role.role), text(role.each),
                    require_text(order.require), largest_text(role.each, fitting));
    }
  }
  if (std::holds_alternative<std::vector<Placed>>(place(JobId{}, order, fitting))) return "";
  ResourceSet need, all;
  for (const RoleOrder& role : order.roles) {
    need.cpu_millis += role.count * role.each.cpu_millis;
    need.memory += role.count * role.each.memory;
    need.gpus += role.count * role.each.gpus;
  }
  for (const Offer& offer : fitting) {
    all.cpu_millis += offer.free.cpu_millis;
    all.memory += offer.free.memory;
    all.gpus += offer.free.gpus;
  }
  return format("the gang needs {} at once, and even empty the nodes{} ({} in all) cannot hold it",
                text(need), require_text(order.require), text(all));
}

}  // namespace trainyard::master
