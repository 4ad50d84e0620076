// A trainer's side of tables of rows: pulls and pushes the rows that a batch touches, and no others, from and
// to the shards that hold them. What a shard does not answer is sent again; the shard applies it once. One
// connection a shard; belongs to one thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.hpp"
#include "common/base/time.hpp"
#include "common/net/data_channel.hpp"
#include "common/protocol/rows.hpp"
#include "daemons/trainer/row_batch.hpp"

namespace trainyard::trainer {

class RowClient {
 public:
  struct Settings {
    std::uint64_t job = 0;
    std::uint32_t incarnation = 0;
    std::uint32_t rank = 0;
    std::vector<std::string> shards;           // endpoints, by index
    Duration retry = std::chrono::seconds(2);  // without an answer so long: the same is sent again
  };
  static Result<std::unique_ptr<RowClient>> connect(Settings settings, const std::atomic<bool>& cancelled);

  /// Before anything else of table `table`; every trainer says the same. The last step that is applied.
  Result<std::uint64_t> create(std::uint64_t table, const protocol::RowTable& spec);
  /// out [ids, width], in the order of the ids, which may come twice.
  Status pull(std::uint64_t table, std::span<const std::uint64_t> ids, std::span<float> out);
  /// Gradients [ids, width], sums over `samples`; returns once they are applied. In step with the others,
  /// `step` goes to every shard, also when the batch touches none of its rows. A table that applies on
  /// arrival counts its pushes itself.
  Status push(std::uint64_t table, std::uint64_t step, std::uint32_t samples,
              std::span<const std::uint64_t> ids, std::span<const float> rows);

  /// What went to the shards and came from them, without headers.
  std::uint64_t bytes_sent() const { return bytes_sent_; }
  std::uint64_t bytes_received() const { return bytes_received_; }

 private:
  struct Outgoing {
    std::uint32_t shard = 0;
    protocol::RowsHeader header;
    net::SharedBytes payload;
  };
  struct Known {
    protocol::RowTable spec;
    std::vector<std::uint64_t> pushes;  // by shard: how many went there, where they are applied on arrival
  };
  using Use = std::function<Status(const protocol::RowsHeader&, const net::Payload&)>;

  RowClient(Settings settings, const std::atomic<bool>& cancelled);
  rows::Partition partition(const Known& known) const;
  Result<Known*> known(std::uint64_t table, std::size_t ids, std::size_t floats);
  protocol::RowsHeader header(protocol::RowsKind kind, std::uint64_t table) const;
  void send(const Outgoing& outgoing);
  /// All of `sent` go out, then the answers of this kind are used, one after the other.
  Status ask(const std::vector<Outgoing>& sent, protocol::RowsKind wanted, const Use& use);
  Status await(const Outgoing& sent, protocol::RowsKind wanted, const Use& use);

  const Settings settings_;
  const std::atomic<bool>& cancelled_;
  std::vector<std::unique_ptr<net::DataClient>> clients_;
  std::map<std::uint64_t, Known> tables_;
  std::uint64_t pulls_ = 0;
  std::uint64_t bytes_sent_ = 0, bytes_received_ = 0;
};

}  // namespace trainyard::trainer
