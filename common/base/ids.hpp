// Identities that cannot be mixed up. A job's number is never used twice, also across restarts of the master.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace trainyard {

enum class JobId : std::uint64_t {};
/// How many times a task was started, from 1. Every message about a task carries it; receivers refuse older
/// ones.
enum class Incarnation : std::uint32_t {};

enum class Role : std::uint8_t { trainer, ps, evaluator, predictor };

constexpr std::uint64_t number(JobId id) { return static_cast<std::uint64_t>(id); }
constexpr std::uint32_t number(Incarnation i) { return static_cast<std::uint32_t>(i); }
constexpr Incarnation next(Incarnation i) { return Incarnation{number(i) + 1}; }

constexpr const char* name(Role role) {
  switch (role) {
    case Role::trainer:
      return "trainer";
    case Role::ps:
      return "ps";
    case Role::evaluator:
      return "evaluator";
    case Role::predictor:
      return "predictor";
  }
  return "?";
}

/// One process of a job, whichever incarnation of it runs.
struct TaskId {
  JobId job{};
  Role role = Role::trainer;
  std::uint32_t index = 0;
  friend auto operator<=>(const TaskId&, const TaskId&) = default;
};

/// "trainer-0", as users type and read it.
inline std::string name(const TaskId& task) {
  return std::string(name(task.role)) + "-" + std::to_string(task.index);
}

/// A node is known by the name that its executor gives; unique in a cluster.
using NodeName = std::string;

}  // namespace trainyard
