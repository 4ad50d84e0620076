// Shell of the master: turns requests, messages and time into events for the core, and its actions into
// records, messages and answers, none of which leaves before the records in front of it are on disk. Decides
// nothing. Lives on the reactor's thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "common/base/metrics.hpp"
#include "common/base/result.hpp"
#include "common/config/cluster_spec.hpp"
#include "common/net/http.hpp"
#include "common/net/reactor.hpp"
#include "common/runtime/recorder.hpp"
#include "common/store/journal.hpp"
#include "daemons/master/api.hpp"
#include "daemons/master/core.hpp"

namespace trainyard::master {

class Shell {
 public:
  Shell(net::Reactor& reactor, const config::ClusterConfig& config, std::string token);
  ~Shell();
  Shell(const Shell&) = delete;
  Shell& operator=(const Shell&) = delete;

  /// Takes state_dir (Errc::conflict names who has it) and folds its journal.
  Status recover();
  /// Listens, and writes the address to state_dir/endpoint.
  Status listen(const net::Endpoint& at);
  net::Endpoint endpoint() const { return server_->endpoint(); }
  /// Why the master had to end, if it did not want to.
  const std::optional<Error>& failure() const { return failure_; }

 private:
  void dispatch(const Event& event);
  void carry_out(const Action& action);
  void request(const net::HttpRequest& http, const net::HttpReply& reply);
  void submit(const Submission& submission, std::uint64_t request);
  std::optional<net::HttpResponse> refusal(const net::HttpRequest& http) const;
  net::SessionEvents opened(std::shared_ptr<net::Session> session);
  Status begin_recording(const std::vector<std::string>& records);
  Status drop_forgotten(const std::vector<Record>& records);
  net::HttpResponse failed_response() const;
  void fail(Error error);

  net::Reactor& reactor_;
  const config::MasterSection config_;
  const std::string token_;
  const SystemClock clock_;
  State state_;
  std::optional<runtime::Recorder> recorder_;  // when asked to
  std::unique_ptr<store::Journal> journal_;
  std::map<PeerId, std::shared_ptr<net::Session>> sessions_;
  std::map<std::uint64_t, net::HttpReply> replies_;  // of requests that the core will answer
  std::uint64_t next_peer_ = 1, next_request_ = 1;
  std::optional<Error> failure_;
  metrics::Registry registry_;
  metrics::Counter& messages_;
  metrics::Counter& requests_;
  metrics::Counter& records_;
  metrics::Histogram& durable_seconds_;
  std::unique_ptr<net::Server> server_;  // last: nothing arrives once it is gone
};

}  // namespace trainyard::master
