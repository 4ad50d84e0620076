// How gradients become values: over the shards of the gang, or alone. Belongs to the compute thread, which
// waits in it; every wait can be ended by `cancelled`.
#pragma once

#include <atomic>
#include <cstdint>
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
#include "daemons/trainer/chief.hpp"

namespace trainyard::trainer {

/// What one trainer knows after its backward pass.
struct Push {
  std::uint64_t step = 0;
  std::uint32_t samples = 0;
  std::span<const float> gradients;  // flat, of all tensors; not looked at without samples
  Marks marks;                       // of rank 0; others leave them alone
};

class Exchange {
 public:
  virtual ~Exchange() = default;
  /// values: in, the first values that this trainer would give; out, those of the job. Returns the step that
  /// they belong to, 0 at the beginning.
  virtual Result<std::uint64_t> begin(std::span<float> values) = 0;
  /// Returns once the step is applied and `values` are the new ones. True: training ends with this step.
  virtual Result<bool> step(const Push& push, std::span<float> values) = 0;
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
    std::uint64_t steps_per_epoch = 1;
    std::uint64_t slice_floats_max = 65536;
    Duration retry = std::chrono::seconds(2);  // without an answer so long: the same is sent again
  };
  static Result<std::unique_ptr<ShardExchange>> connect(Settings settings,
                                                        const std::atomic<bool>& cancelled);

  Result<std::uint64_t> begin(std::span<float> values) override;
  Result<bool> step(const Push& push, std::span<float> values) override;

 private:
  struct Shard {
    std::string endpoint;
    std::unique_ptr<net::DataClient> client;
    std::vector<protocol::SliceInfo> slices;
    std::size_t floats = 0;
  };
  struct Outgoing {
    protocol::DataHeader header;
    net::SharedFloats payload;
  };
  ShardExchange(Settings settings, const std::atomic<bool>& cancelled);
  protocol::DataHeader header(protocol::DataKind kind, std::uint32_t shard) const;
  net::SharedFloats gather(const Shard& shard, std::span<const float> flat) const;
  /// Sends, and sends again, until the shard answers with the values after `step` (any step, where not
  /// given).
  Result<protocol::DataHeader> await_values(std::uint32_t shard, const std::vector<Outgoing>& sent,
                                            std::optional<std::uint64_t> step, std::span<float> values);

  const Settings settings_;
  const std::atomic<bool>& cancelled_;
  std::vector<Shard> shards_;
};

/// One trainer and no shard: the same update, in this process.
class LocalExchange final : public Exchange {
 public:
  LocalExchange(const config::TrainSection& train, std::vector<optim::TensorSize> tensors,
                std::uint64_t steps_per_epoch);
  /// What own_state() gave once.
  Status restore(std::string_view bytes);

  Result<std::uint64_t> begin(std::span<float> values) override;
  Result<bool> step(const Push& push, std::span<float> values) override;
  std::optional<optim::Table::Saved> own_state() const override;

 private:
  const config::TrainSection train_;
  std::vector<optim::Slice> slices_;
  const std::uint64_t steps_per_epoch_;
  std::optional<optim::Table> table_;
};

}  // namespace trainyard::trainer
