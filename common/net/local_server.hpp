// The end of many links from one node's processes: found by a name that stands for a TCP endpoint. Of
// common/net itself: DataServer uses it beside TCP. Nothing here waits; belongs to one thread.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "common/net/data_channel.hpp"
#include "common/net/local_link.hpp"

namespace trainyard::net {

/// TRAINYARD_SHARED_MEMORY=off in the environment keeps a process from it.
bool shared_memory_wanted();
/// Where the server of an endpoint is found by those who share its network name space.
std::string local_name(const std::string& endpoint);
/// Of the slots of a shard.
inline constexpr std::size_t server_pool_bytes_max = 4 * data_message_bytes_max;
/// Of the links between DataServer and DataClient.
LocalLink::Bounds local_bounds();

class LocalServer {
 public:
  /// Its slots hold so many bytes at most.
  LocalServer(const std::string& name, std::size_t pool_bytes_max);

  struct Received {
    std::uint64_t link;
    LocalMessage message;
  };
  std::optional<Received> receive();
  /// A link that is gone, or whose peer does not read, is no error.
  void send(std::uint64_t link, const std::string& header, const SharedBytes& payload);

  /// True: nothing is there, and descriptor() becomes readable when something may be. awake() after that.
  bool sleep();
  void awake();
  /// -1 if no name was to be had.
  int descriptor() const { return events_.number(); }
  bool idle() const { return links_.empty(); }

 private:
  struct Open {
    std::unique_ptr<LocalLink> link;
    Time since;
    bool heard = false;
  };
  using Links = std::map<std::uint64_t, Open>;
  void accept();
  Links::iterator close(Links::iterator at);
  void close_hungriest();
  /// What several links are sent one after the other lies in one slot.
  SharedBytes published(const SharedBytes& payload);

  Descriptor listener_, events_;
  std::shared_ptr<SlotPool> pool_;
  Links links_;
  std::uint64_t last_ = 0;  // link from which the last message came
  std::uint64_t links_ever_ = 0;
  SharedBytes source_, copy_;  // of what was published since the last receive()
};

}  // namespace trainyard::net
