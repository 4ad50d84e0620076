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

namespace trainyard::trainer {

/// What one trainer knows after its backward passes.
struct Push {
  std::uint64_t step = 0;
  std::uint32_t samples = 0;
  std::span<const float> gradients;           // flat, of all tensors; not looked at without samples
  std::span<const tensor::RowGradient> rows;  // of tensors that are 0 in `gradients`, each tensor once
  Marks marks;                                // of rank 0; others leave them alone
};

class Exchange {
 public:
  virtual ~Exchange() = default;
  /// values: in, the first values that this trainer would give; out, those of the job. Returns the step that
  /// they belong to, 0 at the beginning.
  virtual Result<std::uint64_t> begin(std::span<float> values) = 0;
  /// Returns once the step is applied and `values` are the new ones: whether training ends with it. Where a
  /// device updates them, both are empty.
  virtual Result<protocol::Ending> step(const Push& push, std::span<float> values) = 0;
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
    std::vector<std::string> shards;  // endpoints, by index
    std::vector<optim::TensorSize> tensors;
    config::TrainSection train;
    config::Compression compression = config::Compression::none;
    std::uint64_t steps_per_epoch = 1;
    std::uint64_t slice_floats_max = optim::slice_floats_usual;  // unless the rule needs whole tensors
    Duration retry = std::chrono::seconds(2);  // without an answer so long: the same is sent again
  };
  /// Errors: a shard would own more than one message can carry.
  static Result<std::unique_ptr<ShardExchange>> connect(Settings settings,
                                                        const std::atomic<bool>& cancelled);

  Result<std::uint64_t> begin(std::span<float> values) override;
  Result<protocol::Ending> step(const Push& push, std::span<float> values) override;
  Status averages(std::span<float> values) override;

 private:
  struct Shard {
    std::string endpoint;
    std::unique_ptr<net::DataClient> client;
    std::vector<protocol::SliceInfo> slices;
    std::size_t floats = 0;
    std::vector<float> residual;  // of what compression left out of earlier pushes
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
  net::SharedFloats gather(const Shard& shard, std::span<const float> flat) const;
  /// Gradients as they travel.
  net::SharedBytes coded(Shard& shard, std::span<const float> gradients) const;
  void send(std::uint32_t shard, const std::vector<Outgoing>& messages);
  /// Waits, and sends again, until the shard answers with something that is wanted.
  Result<Answer> await(std::uint32_t shard, const std::vector<Outgoing>& sent, const Wanted& wanted);
  Result<protocol::DataHeader> await_values(std::uint32_t shard, const std::vector<Outgoing>& sent,
                                            const Wanted& wanted, std::span<float> values);
  /// Of rank 0 in a job that clips by norm over several shards: sums up what the shards know of the step and
  /// tells them. `sent` becomes what was sent last.
  Status share_norm(std::uint64_t step, Sent& sent);

  const Settings settings_;
  const std::atomic<bool>& cancelled_;
  std::vector<Shard> shards_;
  std::vector<float> filled_;          // gradients with rows in their places
  std::vector<std::uint32_t> owners_;  // of all slices in the order of their offsets: the shard
  std::uint64_t step_ = 0;             // that the values belong to
};

/// One trainer and no shard: the same update, in this process.
class LocalExchange : public Exchange {
 public:
  LocalExchange(const config::TrainSection& train, std::vector<optim::TensorSize> tensors,
                std::uint64_t steps_per_epoch);
  /// What own_state() gave once.
  Status restore(std::string_view bytes);

  Result<std::uint64_t> begin(std::span<float> values) override;
  Result<protocol::Ending> step(const Push& push, std::span<float> values) override;
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
};

}  // namespace trainyard::trainer
