// The gate of synchronous training: decides for each push whether it is held, known already, or refused, and
// when a step is complete. Exactly once, whatever arrives twice or late. Pure; holds no tensors.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/protocol/data.hpp"

namespace trainyard::ps {

enum class Passage : std::uint8_t {
  held,     // kept (or kept again in the place of its double) until the step is complete
  applied,  // its step is done: answer with the values, do not apply
  refused,  // see reason
};

struct Verdict {
  Passage passage = Passage::held;
  std::string reason;
  friend bool operator==(const Verdict&, const Verdict&) = default;
};

class Gate {
 public:
  /// `step`: the last applied one. trainers > 0.
  /// backups < trainers: a step needs so many fewer than all, and rank 0 always, whose word it carries.
  Gate(std::uint64_t job, std::uint32_t incarnation, std::uint32_t trainers, std::uint64_t step,
       std::uint32_t backups = 0);

  /// Of the gang's own life and of a rank that it has? Gives the reason why not.
  Verdict admit(const protocol::DataHeader& header) const;
  Verdict push(const protocol::DataHeader& header);
  /// As many ranks as it takes have pushed the step that is due.
  bool complete() const { return waiting_ <= backups_ && here_[0]; }
  /// The due step was applied; the next one is due.
  void pass();

  std::uint64_t step() const { return step_; }
  std::uint32_t trainers() const { return static_cast<std::uint32_t>(here_.size()); }

 private:
  std::uint64_t job_;
  std::uint32_t incarnation_;
  std::uint64_t step_;
  std::uint32_t backups_;
  std::vector<bool> here_;  // by rank: has pushed the due step
  std::uint32_t waiting_;   // how many have not
};

}  // namespace trainyard::ps
