// The training itself: data in, steps through the exchange, checkpoints, evaluation, bundle. Runs on one
// thread (the compute thread) from begin to end; hears of the world through a mailbox and speaks through
// `report`.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "common/base/mailbox.hpp"
#include "common/base/metrics.hpp"
#include "common/collective/listener.hpp"
#include "common/config/job_spec.hpp"
#include "common/data/loader.hpp"
#include "common/data/split.hpp"
#include "common/graph/network.hpp"
#include "common/protocol/messages.hpp"
#include "common/runtime/member.hpp"
#include "daemons/trainer/bundle/evaluation.hpp"
#include "daemons/trainer/chief.hpp"
#include "daemons/trainer/device_exchange.hpp"
#include "daemons/trainer/early_gradients.hpp"
#include "daemons/trainer/exchange.hpp"
#include "daemons/trainer/local_steps.hpp"
#include "daemons/trainer/plan.hpp"
#include "daemons/trainer/processor.hpp"
#include "daemons/trainer/watch.hpp"

namespace trainyard::trainer {

/// What the shell and the compute thread share; outlives both uses.
struct Link {
  Mailbox<protocol::Message> inbox{64};           // from the master
  std::atomic<bool> cancelled{false};             // end now
  std::atomic<bool> connected{false};             // to the master
  std::function<void(protocol::Message)> report;  // to the master; from any thread
  ShardAddresses shards;                          // as the master said last
  metrics::Registry registry;                     // what the compute thread counts, the shell shows
  collective::Listener ring;                      // where the previous trainer of a ring is handed over
};

class Training {
 public:
  Training(runtime::TaskEnvironment environment, config::JobSpec job, Link& link);
  ~Training();

  /// Everything. Errc::invalid and Errc::refused: the job is wrong, another try would end the same way.
  Status run();

 private:
  static constexpr std::uint64_t steps_ahead = 4;  // that the loader works on
  Status prepare();
  Status build(const graph::InputShape& input);
  Status await_roster();
  Status connect();
  Status train();
  Status train_step(std::uint64_t step);
  Status train_batch(Push& push, bool last);
  graph::Observer* observer_of(const Push& push, std::uint32_t count, bool last);
  void add_pace(std::map<std::string, double>& metrics);
  Marks marks_of(std::uint64_t step, Time computed);
  Status pass_over(std::uint64_t until);
  Status leave();
  Status take(const graph::StepResult& result, const graph::Feed& feed, Push& push);
  void leave_out(const graph::StepResult& result, std::uint64_t step);
  void accumulate(Push& push);
  data::Batch next_batch();
  void announce_next();
  Result<std::unique_ptr<LocalExchange>> exchange_without_shards(std::uint64_t steps_per_epoch);
  std::unique_ptr<LocalExchange> local_exchange(std::uint64_t steps_per_epoch);
  Result<std::unique_ptr<LocalExchange>> ring_exchange(std::uint64_t steps_per_epoch);
  Status finish();
  void keep_skipped();
  void gather_skipped();
  Status lease(std::uint64_t step);
  void request_ahead(std::uint64_t step);
  std::span<const std::uint32_t> order_of(std::uint64_t epoch);
  Status hear(const protocol::Message& message);
  Status hear_all();
  void save(std::uint64_t step, bool done);
  void commit(const protocol::CommitCheckpoint& message);
  void give_up(std::uint64_t step, const std::string& who, const std::string& reason);
  std::string directory_of(std::uint64_t step) const;
  Status await_commit();
  void end_partition(std::uint64_t step);
  Status end_epoch(std::uint64_t step);
  Status take_averages();
  void tell_progress(const char* phase, std::uint64_t step, const std::map<std::string, double>& metrics);
  double learning_rate(std::uint64_t step) const;
  bool is_chief() const { return environment_.key.task.index == 0; }

  const runtime::TaskEnvironment environment_;
  const config::JobSpec job_;
  Link& link_;
  std::unique_ptr<data::Dataset> dataset_;
  std::optional<data::Pipeline> pipeline_;
  data::Split split_;
  Processor processor_;
  std::unique_ptr<graph::Network> network_;
  std::vector<optim::TensorSize> tensors_;  // as the network has them
  std::optional<Plan> plan_;
  std::unique_ptr<Exchange> exchange_;
  DeviceExchange* device_ = nullptr;  // exchange_, where the device updates the values
  RingExchange* ring_ = nullptr;      // exchange_, where gradients leave as soon as they are final
  std::optional<EarlyGradients> early_;
  std::unique_ptr<data::Loader> loader_;
  std::optional<data::Batch> ahead_;  // the next one, where it is ready before its turn
  std::optional<Chief> chief_;
  protocol::Roster roster_;
  std::map<std::uint64_t, std::vector<std::uint32_t>> orders_;  // of this epoch and the next
  std::vector<EpochRow> history_;
  std::deque<std::size_t> batches_;  // of each requested step, how many
  std::optional<Watch> watch_;
  std::vector<float> accumulated_;  // gradients of a step of several batches
  std::vector<optim::RowSum> accumulated_rows_;
  std::vector<tensor::RowGradient> row_views_;
  std::uint64_t start_ = 0;                           // the last step of an earlier life
  std::uint64_t requested_ = 0;                       // from the loader, up to this step
  std::uint64_t done_ = 0;                            // the last step
  protocol::Ending ending_ = protocol::Ending::none;  // set: the last step is done
  bool ended_before_ = false;                         // in an earlier life
  bool stop_asked_ = false;
  std::set<std::string> skipped_;  // "name: reason"
  std::optional<protocol::Partition> granted_;
  // of the current partition
  std::uint32_t partition_samples_ = 0;
  std::vector<std::string> partition_bad_;
  std::uint32_t partition_bad_count_ = 0;
  // of the current epoch
  struct Sums {
    double loss = 0;
    std::uint64_t correct = 0, samples = 0, overflows = 0;
    std::uint64_t steps = 0, staleness = 0, staleness_max = 0;
    Duration input{}, compute{}, exchange{};
    Time since{};
  } sums_;
  Time told_{};
  struct Pace {  // of the last seconds, for who asks how the job goes
    Duration input{}, compute{}, exchange{};
    std::uint64_t steps = 0;
    Time since{};
  } pace_;
  struct Counted {
    explicit Counted(metrics::Registry& registry);
    metrics::Counter& steps;
    metrics::Counter& samples;
    metrics::Counter& overflows;
    metrics::Counter& dropped;
    metrics::Counter& input;  // seconds, as the next two
    metrics::Counter& compute;
    metrics::Counter& exchange;
  } counted_;
};

}  // namespace trainyard::trainer
