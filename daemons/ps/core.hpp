// The decisions of one shard: what arrives from trainers goes in, replies and the state to save come out.
// Knows no sockets, files or threads. Where trainers step together (sync, local_sgd) it holds a gate and the
// pushes of the step that is due (core_together.cpp); else clocks, and each push goes in as it comes
// (core_apart.cpp).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.hpp"
#include "common/config/job_spec.hpp"
#include "common/optim/ordered_sum.hpp"
#include "common/optim/table.hpp"
#include "common/protocol/data.hpp"
#include "daemons/ps/clocks.hpp"
#include "daemons/ps/gate.hpp"

namespace trainyard::ps {

/// Bytes that somebody else holds; `owner` keeps them there.
struct Payload {
  std::span<const std::byte> bytes;  // aligned to 4
  std::shared_ptr<const void> owner;
  /// The bytes seen as such; what is left over of the last one does not count.
  std::span<const float> floats() const {
    return {reinterpret_cast<const float*>(bytes.data()), bytes.size() / sizeof(float)};
  }
};

struct Arrival {
  std::string peer;
  protocol::DataHeader header;
  Payload payload;
};

struct Reply {
  std::string peer;
  protocol::DataHeader header;
  optim::Table::Values values;  // nothing unless the kind is `values`
};

/// A shard's part of a checkpoint: eight bytes, what the shard knows beside its table, the table.
struct SavedPart {
  std::uint64_t checkpoint = 0;  // its number: the step of rank 0
  std::string prefix;
  optim::Table::Saved table;
  /// What to write, in order; valid as long as this is.
  std::vector<std::span<const std::byte>> pieces() const;
};

struct Outcome {
  std::vector<Reply> replies;    // to be sent in this order
  std::vector<SavedPart> saves;  // after the replies: parts of checkpoints
};

/// What a shard has seen so far.
struct Counts {
  static constexpr std::size_t staleness_max = 64;  // the last place counts all from there on
  std::uint64_t pushes = 0;                         // applied
  std::uint64_t dropped = 0;                        // of backup trainers, too late for their step
  std::uint64_t repeated = 0;                       // that were applied already
  std::uint64_t staleness_sum = 0;
  std::uint64_t spread = 0;              // the largest: how far the first trainer was ahead of the last
  std::vector<std::uint64_t> staleness;  // [n]: pushes that were n steps behind when they were applied
};

struct Identity {
  std::uint64_t job = 0;
  std::uint32_t incarnation = 0;
  std::uint32_t shard = 0;
  std::uint32_t trainers = 1;
  std::uint32_t shards = 1;
};

class Core {
 public:
  Core(const Identity& identity, const config::TrainSection& train,
       const config::StrategySection& strategy = {});

  /// The part of an earlier checkpoint; before anything else arrives.
  Status restore(std::string_view part);
  /// All parts of a checkpoint that another number of shards made. Values are there once rank 0 has said
  /// which are this shard's.
  Status restore_from_others(std::span<const std::string> parts);
  Outcome on(Arrival arrival);

  /// That the table went through.
  std::uint64_t step() const { return table_ ? table_->step() : 0; }
  /// Of the checkpoint that was restored; 0: none was.
  std::uint64_t checkpoint() const { return checkpoint_; }
  const std::optional<optim::Table>& table() const { return table_; }
  const Counts& counts() const { return counts_; }

 private:
  bool together() const { return config::in_step(strategy_.update); }
  optim::Table::Delayed delayed() const;
  void on_init(Arrival arrival, Outcome& outcome);
  void begin_with(optim::Table table, Outcome& outcome);
  void on_pull(Arrival arrival, Outcome& outcome);
  void on_push(Arrival arrival, Outcome& outcome);
  void push_together(Arrival arrival, Outcome& outcome);
  void push_apart(Arrival arrival, Outcome& outcome);
  void on_mark(const Arrival& arrival, Outcome& outcome);
  void on_leave(const Arrival& arrival, Outcome& outcome);
  void apply_apart(const Arrival& arrival, Outcome& outcome);
  /// Values, once staleness allows them.
  void answer_apart(std::uint32_t trainer, const std::string& peer, Outcome& outcome);
  void tell_of_cut(std::uint32_t trainer, const std::string& peer, Outcome& outcome) const;
  void tell_all_of_cut(Outcome& outcome) const;
  Reply last_values(const std::string& peer, std::uint32_t trainer);
  /// What waited for others to push, to mark or to leave.
  void let_go(Outcome& outcome);
  SavedPart save(std::uint64_t checkpoint) const;
  struct Restored;
  Result<Restored> read(std::string_view part) const;
  void go_on_from(const Restored& restored, std::uint64_t step);
  /// Makes the payload of a push the floats that it stands for.
  Status decode(Arrival& arrival) const;
  void on_norm(const Arrival& arrival, Outcome& outcome);
  void apply(Outcome& outcome, std::optional<double> norm);
  bool shares_norm() const { return train_.clip.norm && identity_.shards > 1; }
  std::vector<optim::Contribution> contributions() const;
  void sum_up();
  protocol::DataHeader header(protocol::DataKind kind, std::uint32_t trainer, std::uint64_t sequence) const;
  /// The step of `trainer` that the values hold.
  std::uint64_t sequence_for(std::uint32_t trainer) const;
  Reply values_for(const std::string& peer, std::uint32_t trainer);
  Reply squares() const;
  Reply refusal(const Arrival& arrival, std::string reason) const;

  Identity identity_;
  config::TrainSection train_;
  config::StrategySection strategy_;
  std::uint64_t checkpoint_ = 0;
  Counts counts_;
  Gate gate_;
  std::optional<optim::Table> table_;
  std::vector<optim::Table> others_;         // restored, and not yet regrouped
  std::map<std::uint32_t, Arrival> pushes_;  // of the due step, by rank
  optim::OrderedSum summed_;                 // of the ranks below summed_to_, whose payloads are gone
  std::uint32_t summed_to_ = 0;
  std::map<std::uint32_t, std::string> pulls_;        // rank -> peer, waiting for the first values
  protocol::Ending ending_ = protocol::Ending::none;  // of training, with the applied step
  std::optional<std::vector<double>> squares_;  // of the due step, once all have pushed and while its norm is
                                                // awaited from rank 0
  std::map<std::uint32_t, std::string> late_;   // rank -> peer: came while the norm was awaited, as a backup
  std::vector<std::uint64_t> counted_;          // by rank: the last step that its push was in

  // Where trainers do not step together.
  struct Reading {
    std::uint64_t version = 0;    // of the values that were sent last
    optim::Table::Values values;  // those, where delay is corrected
    std::uint64_t staleness = 0;  // of its last push
  };
  Clocks clocks_;
  std::vector<Reading> readings_;                // by rank
  std::map<std::uint32_t, Arrival> beyond_cut_;  // pushes that wait until the cut is whole
  std::map<std::uint32_t, std::string> ahead_;   // rank -> peer: pushed, and too far ahead to read
  std::optional<Arrival> chief_leaves_;          // rank 0's last word, until all have left
  bool ended_ = false;                           // all have left, and that was saved
};

}  // namespace trainyard::ps
