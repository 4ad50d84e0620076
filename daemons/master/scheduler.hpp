// Where the tasks of a gang go: all of them or none. Pure: nodes in, a plan or the reason why there is none
// out.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "daemons/master/records.hpp"

namespace trainyard::master {

/// What a node has for the taking.
struct Offer {
  NodeName node;
  protocol::ResourceSet free;
  std::set<std::uint32_t> gpus;  // free indices
  std::map<std::string, std::string> labels;
};

struct NoRoom {
  std::string reason;
  friend bool operator==(const NoRoom&, const NoRoom&) = default;
};

/// Best fit, the roles with GPUs and most CPUs first; with order.spread on the node with the fewest tasks of
/// this gang. The same offers give the same plan.
std::variant<std::vector<Placed>, NoRoom> place(JobId job, const JobOrder& order, std::vector<Offer> offers);

/// Why no cluster of these nodes, empty, could ever hold the gang; nothing if it could.
std::string impossible(const JobOrder& order, const std::vector<Offer>& empty_nodes);

/// "2 CPUs, 1GiB, 1 GPU"
std::string text(const protocol::ResourceSet& resources);

}  // namespace trainyard::master
