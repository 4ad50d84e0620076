// The shard's side of the tensor channel: one thread polls the socket, runs the core and answers; a second
// one writes checkpoint parts, because fsync blocks. Both belong to this object.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "common/base/mailbox.hpp"
#include "common/base/result.hpp"
#include "common/net/data_channel.hpp"
#include "common/store/checkpoint.hpp"
#include "daemons/ps/core.hpp"

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
  };
  /// `written` is called on either thread.
  DataPlane(std::unique_ptr<net::DataServer> server, Core core, Settings settings,
            std::function<void(const Written&)> written);
  /// Ends both threads; a part that is being written is written to its end.
  ~DataPlane();
  /// Half a second old at most while messages come; from any thread.
  Work work() const;
  DataPlane(const DataPlane&) = delete;
  DataPlane& operator=(const DataPlane&) = delete;

 private:
  void serve();
  void answer(net::DataMessage message);
  void write_parts();

  std::unique_ptr<net::DataServer> server_;
  Core core_;  // of the serving thread
  const Settings settings_;
  const std::function<void(const Written&)> written_;
  std::atomic<bool> stopping_{false};
  Work working_;  // of the serving thread
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
