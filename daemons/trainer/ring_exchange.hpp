// Trainers without shards: gradients are summed over the gang, and each trainer applies the same update to
// its own values, so that all hold the same bits. Belongs to the compute thread; buckets of gradients travel
// on the group's thread while the rest is still being computed.
#pragma once

#include <memory>
#include <vector>

#include "common/collective/group.hpp"
#include "daemons/trainer/exchange.hpp"

namespace trainyard::trainer {

class RingExchange final : public LocalExchange {
 public:
  struct Settings {
    collective::RingSettings ring;
    std::uint64_t bucket_bytes = bucket_bytes_usual;
    Duration stop_patience = std::chrono::seconds(30);  // for the end of a gang that lost a member
  };
  static constexpr std::uint64_t bucket_bytes_usual = 1 << 20;

  /// Rows of `tensors` have to be 0: gradients are summed in full. Errors: those of connect_ring().
  static Result<std::unique_ptr<RingExchange>> connect(const config::TrainSection& train,
                                                       std::vector<optim::TensorSize> tensors,
                                                       std::uint64_t steps_per_epoch, Settings settings,
                                                       collective::Listener& listener,
                                                       const std::atomic<bool>& cancelled);

  /// The last backward pass of the next step begins. `gradients` fills up as ready() says, and stays as it is
  /// until step() returns; `earlier`: the sum over the batches before, or nothing.
  void expect(std::span<const float> gradients, std::span<const float> earlier);
  /// So many gradients from `offset` on are final; each once.
  void ready(std::uint64_t offset, std::uint64_t length);

  Result<std::uint64_t> begin(std::span<float> values) override;
  /// What ready() did not announce leaves now.
  Result<Stepped> step(const Push& push, std::span<float> values) override;

 private:
  /// Gradients that lie together, in the trainer's flat array and in the table.
  struct Part {
    std::uint64_t offset = 0, length = 0, at = 0;
  };
  struct Bucket {
    std::vector<Part> parts;
    std::uint64_t floats = 0, waiting = 0;  // waiting: to be announced in this step
  };
  RingExchange(const config::TrainSection& train, std::vector<optim::TensorSize> tensors,
               std::uint64_t steps_per_epoch, const Settings& settings,
               std::unique_ptr<collective::Group> group, const std::atomic<bool>& cancelled);
  void share_out(std::uint64_t bucket_bytes);
  std::vector<collective::Piece> pieces_of(const Bucket& bucket, std::span<const float> gradients);
  void submit_early(const Bucket& bucket);
  /// The gang is stopped as one; this trainer waits for that, so that nobody takes it for the culprit.
  Error lost(const Error& error) const;

  const std::atomic<bool>& cancelled_;
  const Duration stop_patience_;
  std::vector<Bucket> buckets_;  // in the order in which they leave: the network's last layers first
  std::size_t next_ = 0;         // that leaves
  std::span<const float> gradients_, earlier_;
  std::vector<float> sums_;                         // over the gang, as the table has them
  std::vector<float> control_;                      // goes with the last bucket
  const std::unique_ptr<collective::Group> group_;  // goes first: it may still write into the sums
};

}  // namespace trainyard::trainer
