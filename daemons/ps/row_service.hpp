// The decisions of one shard about its tables of rows: messages of trainers go in, replies come out. Each
// push is applied exactly once, whatever comes twice, late or after a reconnect. Knows no sockets and no
// threads; of files only where a table spills to. Belongs to the thread of the data plane.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.hpp"
#include "common/config/job_spec.hpp"
#include "common/protocol/rows.hpp"
#include "common/rows/table.hpp"
#include "daemons/ps/core.hpp"
#include "daemons/ps/push_window.hpp"

namespace trainyard::ps {

struct RowArrival {
  std::string peer;
  protocol::RowsHeader header;
  Payload payload;
};

struct RowReply {
  std::string peer;
  protocol::RowsHeader header;
  std::shared_ptr<const std::vector<float>> rows;  // nothing unless the kind is `rows`
};

class RowService {
 public:
  static constexpr std::size_t tables_max = 256;

  /// `spill_directory`: for rows that a table may not keep in memory.
  RowService(const Identity& identity, const config::TrainSection& train, std::string spill_directory);

  std::vector<RowReply> on(RowArrival arrival);

  /// A table at its last applied step, in pieces that make a file. Errors: not_found; of `write` and of
  /// spills.
  Status save(std::uint64_t table, const rows::Table::Write& write) const;
  /// Before the table is created: what save() gave on all shards, of which there may have been others. They
  /// are looked at when a trainer creates the table.
  void restore(std::uint64_t table, std::vector<std::string> files) { files_[table] = std::move(files); }

  /// Null when nobody created it.
  const rows::Table* table(std::uint64_t number) const;

 private:
  struct Held {  // a push of the step that is due
    std::string peer;
    std::uint32_t samples = 0;
    std::vector<std::uint64_t> ids;
    Payload payload;  // begins with the rows
  };
  struct Known {
    protocol::RowTable spec;
    rows::Table table;
    std::uint64_t step = 0;                // the last applied one
    std::map<std::uint32_t, Held> pushes;  // of the step that is due, by rank
    std::vector<PushWindow> windows;       // by rank, where pushes are applied on arrival
    std::optional<std::string> broken;     // why the table cannot be used any more
  };
  using Replies = std::vector<RowReply>;

  std::optional<std::string> admit(const protocol::RowsHeader& header) const;
  void create(const RowArrival& arrival, Replies& replies);
  Result<Known> make(std::uint64_t number, const protocol::RowTable& spec);
  void pull(Known& known, const RowArrival& arrival, Replies& replies) const;
  void push(Known& known, RowArrival arrival, Replies& replies) const;
  void push_in_step(Known& known, const protocol::RowsHeader& header, Held held, Replies& replies) const;
  void push_on_arrival(Known& known, const protocol::RowsHeader& header, const Held& held,
                       Replies& replies) const;
  /// Of the update that `step` is, over `samples` in all.
  Status apply(Known& known, std::span<const Held* const> pushes, std::uint64_t step) const;
  /// The ids behind `floats` of the payload. Errors: what is wrong with them.
  Result<std::vector<std::uint64_t>> ids_of(const Known& known, const RowArrival& arrival,
                                            std::uint64_t floats) const;
  RowReply answer(const std::string& peer, const protocol::RowsHeader& asked, protocol::RowsKind kind) const;
  RowReply refusal(const RowArrival& arrival, std::string reason) const;

  Identity identity_;
  config::TrainSection train_;
  std::string spill_directory_;
  std::map<std::uint64_t, Known> tables_;
  std::map<std::uint64_t, std::vector<std::string>> files_;
};

}  // namespace trainyard::ps
