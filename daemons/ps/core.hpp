// The decisions of one shard: what arrives from trainers goes in, replies and the state to save come out.
// Knows no sockets, files or threads; holds the gate, the table and the pushes of the step that is due.
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
#include "common/optim/table.hpp"
#include "common/protocol/data.hpp"
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
  optim::Table::Values values;  // nothing for `refused`
};

struct Outcome {
  std::vector<Reply> replies;               // to be sent in this order
  std::optional<optim::Table::Saved> save;  // after the replies: the part of a checkpoint
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
  Core(const Identity& identity, const config::TrainSection& train);

  /// The part of an earlier checkpoint; before anything else arrives.
  Status restore(std::string_view part);
  Outcome on(Arrival arrival);

  std::uint64_t step() const { return gate_.step(); }
  const std::optional<optim::Table>& table() const { return table_; }

 private:
  void on_init(Arrival arrival, Outcome& outcome);
  void on_pull(Arrival arrival, Outcome& outcome);
  void on_push(Arrival arrival, Outcome& outcome);
  /// Makes the payload of a push the floats that it stands for.
  Status decode(Arrival& arrival) const;
  void on_norm(const Arrival& arrival, Outcome& outcome);
  void apply(Outcome& outcome, std::optional<double> norm);
  bool shares_norm() const { return train_.clip.norm && identity_.shards > 1; }
  std::vector<optim::Contribution> contributions() const;
  protocol::DataHeader header(protocol::DataKind kind, std::uint32_t trainer, std::uint64_t sequence) const;
  Reply values_for(const std::string& peer, std::uint32_t trainer) const;
  Reply squares() const;
  Reply refusal(const Arrival& arrival, std::string reason) const;

  Identity identity_;
  config::TrainSection train_;
  Gate gate_;
  std::optional<optim::Table> table_;
  std::map<std::uint32_t, Arrival> pushes_;           // of the due step, by rank
  std::map<std::uint32_t, std::string> pulls_;        // rank -> peer, waiting for the first values
  protocol::Ending ending_ = protocol::Ending::none;  // of training, with the applied step
  std::optional<std::vector<double>> squares_;  // of the due step, once all have pushed and while its norm is
                                                // awaited from rank 0
};

}  // namespace trainyard::ps
