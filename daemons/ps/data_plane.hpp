// The shard's side of the tensor channel: one thread polls the socket, runs the core and answers; a second
// one writes checkpoint parts, because fsync blocks. Both belong to this object.
//
// With a follower the shard is a replicated state machine: every message of a trainer goes on to the follower
// in order, whose core does the same with it, and no answer leaves before the follower has it. Whoever is the
// follower answers nobody until it is promoted; a shard that was declared dead and lives gets no word from
// its follower any more and so acknowledges nothing (Schneider 1990; primary and backup, the master decides).
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "common/base/mailbox.hpp"
#include "common/base/result.hpp"
#include "common/net/data_channel.hpp"
#include "common/store/checkpoint.hpp"
#include "daemons/ps/core.hpp"
#include "daemons/ps/row_service.hpp"

namespace trainyard::ps {

/// What became of this shard's part of a checkpoint: it is on disk, or why it is not.
struct Written {
  std::uint64_t step = 0;  // the checkpoint's number
  Result<store::PartInfo> part;
};

/// What a shard has done so far, for who asks how it goes.
struct Work {
  std::uint64_t step = 0;
  std::uint64_t received = 0, sent = 0;  // bytes of payloads
  Duration busy{};                       // not waiting for messages
  Counts counts;
};

class DataPlane {
 public:
  struct Settings {
    Identity identity;
    std::string checkpoint_dir;  // of the job; each checkpoint is a directory in it
    config::TrainSection train;  // of the job
    bool has_follower = false;
    std::string follows;  // endpoint of the shard that this one follows; empty: it serves
  };
  /// `written` is called on either thread.
  DataPlane(std::unique_ptr<net::DataServer> server, Core core, Settings settings,
            std::function<void(const Written&)> written);
  /// Ends both threads; a part that is being written is written to its end.
  ~DataPlane();
  /// The follower serves from now on, alone. Any thread.
  void promote();
  /// The shard has no follower any more. Any thread.
  void go_on_alone();
  /// Half a second old at most while messages come; from any thread.
  Work work() const;
  DataPlane(const DataPlane&) = delete;
  DataPlane& operator=(const DataPlane&) = delete;

 private:
  struct Entry {  // of the log, until the follower has it
    protocol::DataHeader header;
    std::shared_ptr<net::Payload> payload;
    std::vector<Reply> replies;
  };
  void run();
  void follow();
  void take(protocol::DataHeader header, net::Payload payload);
  void serve();
  void answer(net::DataMessage message);
  void hear_follower(const std::string& peer, const protocol::DataHeader& header);
  void send_entry(const Entry& entry);
  void send(const Reply& reply);
  void let_go(std::uint64_t until);
  void keep(std::vector<SavedPart> saves);
  void tell_work(Time began);
  void answer_rows(net::DataMessage message);
  void write_parts();

  std::unique_ptr<net::DataServer> server_;
  Core core_;  // of the serving thread
  const Settings settings_;
  RowService rows_;  // of the serving thread
  const std::function<void(const Written&)> written_;
  std::atomic<bool> stopping_{false}, promoted_{false}, alone_{false};
  std::uint64_t logged_ = 0;            // entries, of a shard with a follower; applied ones, of a follower
  std::map<std::uint64_t, Entry> log_;  // what the follower has not said to have
  std::string follower_;                // peer
  Time follower_heard_{}, told_{};
  std::optional<SavedPart> newest_save_;  // of a follower: perhaps its shard does not come to write it
  Work working_;                          // of the serving thread
  mutable std::mutex work_mutex_;
  Work work_;
  // One waits, one is being written: a third checkpoint before that is passed over.
  Mailbox<SavedPart> to_write_{1};
  std::thread writer_;
  std::thread server_thread_;
};

/// "ps-0.part"
std::string part_name(std::uint32_t shard);

}  // namespace trainyard::ps
