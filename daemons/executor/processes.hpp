// Processes: the shims of this node. Starts them, finds them again after a restart, notices within
// milliseconds when one ends (pidfd on the reactor), and tells how its task ended. Lives on the reactor's
// thread.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/base/result.hpp"
#include "common/net/reactor.hpp"
#include "daemons/executor/core.hpp"

namespace trainyard::executor {

class Processes {
 public:
  /// `happened` gets TaskStarted and TaskExited, never from inside a call of the owner's.
  Processes(net::Reactor& reactor, std::string shim, std::function<void(Event)> happened);
  ~Processes();  // the shims run on
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;

  /// Starts a shim on a furnished directory.
  void start(const TaskKey& key, const std::string& directory);
  /// Takes up the shim of an earlier executor: its pid if it runs, else how the task ended; to be told to the
  /// core.
  Event adopt(const TaskKey& key, const std::string& directory, const std::string& cluster);
  void stop(const TaskKey& key, Duration grace);
  void destroy(const TaskKey& key);
  /// When the kernel has no pidfd; else it finds nothing new.
  void poll();
  std::size_t running() const { return shims_.size(); }

 private:
  struct Shim {
    pid_t pid = 0;
    std::uint64_t start = 0;
    int descriptor = -1;  // pidfd
    std::string directory;
    bool child_known = false, stopped = false;
  };
  void watch(const TaskKey& key, pid_t pid, std::uint64_t start, const std::string& directory);
  bool has_ended(const Shim& shim) const;
  void ended(TaskKey key);  // by value: unwatching destroys who called
  void tell(Event event);

  net::Reactor& reactor_;
  const std::string shim_binary_;
  const std::function<void(Event)> happened_;
  std::map<TaskKey, Shim> shims_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace trainyard::executor
