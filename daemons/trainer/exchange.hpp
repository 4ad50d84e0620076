// How gradients become values: over the shards of the gang, or alone. Belongs to the compute thread, which
// waits in it; every wait can be ended by `cancelled`.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.hpp"
#include "common/config/job_spec.hpp"
#include "common/net/data_channel.hpp"
#include "common/optim/slices.hpp"
#include "common/optim/table.hpp"
#include "common/protocol/data.hpp"
#include "common/tensor/row_gradient.hpp"
#include "daemons/trainer/chief.hpp"
#include "daemons/trainer/shard_addresses.hpp"

namespace trainyard::trainer {

/// What one trainer knows after its backward passes.
struct Push {
  std::uint64_t step = 0;
  std::uint32_t samples = 0;
  std::span<const float> gradients;           // flat, of all tensors; not looked at without samples
  std::span<const tensor::RowGradient> rows;  // of tensors that are 0 in `gradients`, each tensor once
  Marks marks;                                // of rank 0; others leave them alone
  std::uint64_t checkpoint = 0;               // the number of a marked checkpoint; 0: that of the step
};

/// What an exchange gave.
struct Stepped {
  protocol::Ending ending = protocol::Ending::none;  // of training, with this step
  std::uint64_t step = 0;       // of this trainer, that the values hold; further than the push's where others
                                // went on without it
  std::uint64_t staleness = 0;  // how many steps of others were applied between reading and this push
};

class Exchange {
 public:
  virtual ~Exchange() = default;
  /// values: in, the first values that this trainer would give; out, those of the job. Returns the step that
  /// they belong to, 0 at the beginning.
  virtual Result<std::uint64_t> begin(std::span<float> values) = 0;
  /// Returns once the step is applied and `values` are the new ones. Where a device updates them, both are
  /// empty.
  virtual Result<Stepped> step(const Push& push, std::span<float> values) = 0;
  /// Marks travel with such steps alone.
  virtual bool exchanges(std::uint64_t /*step*/) const { return true; }
  /// After the last step, where trainers do not step together. Returns to rank 0 once all have left, with the
  /// values that are left; `checkpoint`: its number, 0: none.
  virtual Status leave(const Marks& /*marks*/, std::uint64_t /*checkpoint*/, std::span<float> /*values*/) {
    return {};
  }
  /// The moving averages after the last step, where the job has train.ema; what is frozen is left alone.
  virtual Status averages(std::span<float> values) = 0;
  /// State that no shard keeps and that a checkpoint needs.
  virtual std::optional<optim::Table::Saved> own_state() const { return std::nullopt; }
};

/// Error of a wait that was ended by `cancelled`.
Error cancelled_error();

class ShardExchange final : public Exchange {
 public:
  struct Settings {
    std::uint64_t job = 0;
    std::uint32_t incarnation = 0;
    std::uint32_t rank = 0;
    std::uint32_t trainers = 1;
    std::vector<std::string> shards;  // endpoints, by index
    std::vector<optim::TensorSize> tensors;
    config::TrainSection train;
    config::StrategySection strategy;
    std::uint64_t steps_per_epoch = 1;
    std::uint64_t slice_floats_max = optim::slice_floats_usual;  // unless the rule needs whole tensors
    Duration retry = std::chrono::seconds(2);   // without an answer so long: the same is sent again
    const ShardAddresses* addresses = nullptr;  // where shards may move to; null: they stay
  };
  /// Errors: a shard would own more than one message can carry.
  static Result<std::unique_ptr<ShardExchange>> connect(Settings settings,
                                                        const std::atomic<bool>& cancelled);

  Result<std::uint64_t> begin(std::span<float> values) override;
  Result<Stepped> step(const Push& push, std::span<float> values) override;
  Status averages(std::span<float> values) override;
  Status leave(const Marks& marks, std::uint64_t checkpoint, std::span<float> values) override;
  /// The values as they are now.
  Status pull(std::span<float> values);
  bool together() const { return config::in_step(settings_.strategy.update); }

 private:
  struct Shard {
    std::string endpoint;
    std::unique_ptr<net::DataClient> client;
    std::vector<protocol::SliceInfo> slices;
    std::size_t floats = 0;
    std::vector<float> residual;  // of what compression left out of earlier pushes
    bool moved = false;           // what is not answered goes to another one now
  };
  struct Outgoing {
    protocol::DataHeader header;
    net::SharedBytes payload;
  };
  struct Answer {
    protocol::DataHeader header;
    net::Payload payload;
  };
  /// What was sent to each shard, to be sent again when it is silent.
  using Sent = std::vector<std::vector<Outgoing>>;
  using Wanted = std::function<bool(const protocol::DataHeader&)>;

  ShardExchange(Settings settings, const std::atomic<bool>& cancelled);
  Status share_out();
  protocol::DataHeader header(protocol::DataKind kind, std::uint32_t shard) const;
  /// As the shard keeps them, where they can be sent from.
  net::Room gather(const Shard& shard, std::span<const float> flat) const;
  /// Gradients as they travel.
  net::SharedBytes coded(Shard& shard, std::span<const float> gradients) const;
  void send(std::uint32_t shard, const std::vector<Outgoing>& messages);
  /// Shards that the master moved are connected anew.
  Status follow_moves();
  /// Waits, and sends again, until the shard answers with something that is wanted.
  Result<Answer> await(std::uint32_t shard, const std::vector<Outgoing>& sent, const Wanted& wanted);
  Result<protocol::DataHeader> await_values(std::uint32_t shard, const std::vector<Outgoing>& sent,
                                            const Wanted& wanted, std::span<float> values);
  /// Of the mean gradient of this trainer alone.
  double norm_of_slices(const std::vector<std::vector<double>>& squares) const;
  double norm_of(const Push& push, std::span<const float> gradients) const;
  /// Tells the shards that what this trainer pushed so far is in checkpoint `cut` and what comes is not.
  void mark(std::uint64_t cut);
  void tell_mark(std::uint32_t shard);
  /// Of rank 0 in a job that clips by norm over several shards: sums up what the shards know of the step and
  /// tells them. `sent` becomes what was sent last.
  Status share_norm(std::uint64_t step, Sent& sent);

  const Settings settings_;
  const std::atomic<bool>& cancelled_;
  std::vector<Shard> shards_;
  std::vector<float> filled_;          // gradients with rows in their places
  std::vector<std::uint32_t> owners_;  // of all slices in the order of their offsets: the shard
  std::uint64_t step_ = 0;             // that the values belong to
  std::uint64_t epoch_ = 0;            // of the addresses
  std::uint64_t pushed_ = 0;           // the newest push
  std::uint64_t cut_ = 0;              // the last that this trainer has marked
  std::uint64_t cut_at_ = 0;           // with this push as the last before it
};

/// One trainer and no shard: the same update, in this process.
class LocalExchange : public Exchange {
 public:
  LocalExchange(const config::TrainSection& train, std::vector<optim::TensorSize> tensors,
                std::uint64_t steps_per_epoch);
  /// What own_state() gave once.
  Status restore(std::string_view bytes);
  /// begin() begins after this step; not after restore().
  void begin_at(std::uint64_t step) { first_ = step; }
  /// These are the values now, whatever the steps made of them; the rule keeps what it knows.
  void replace(std::span<const float> values);

  Result<std::uint64_t> begin(std::span<float> values) override;
  Result<Stepped> step(const Push& push, std::span<float> values) override;
  Status averages(std::span<float> values) override;
  std::optional<optim::Table::Saved> own_state() const override;

 protected:
  const config::TrainSection train_;
  std::vector<optim::Slice> slices_;
  const std::uint64_t steps_per_epoch_;
  std::optional<optim::Table> table_;

 private:
  void take_values(const Push& push, std::span<float> values) const;
  std::vector<float> gathered_;  // gradients of what is not frozen
  std::uint64_t first_ = 0;
};

}  // namespace trainyard::trainer
