// The HTTP side of the master: which request means what, and how replies look on the wire. Pure: no sockets,
// no clock; the shell runs what this says.
#pragma once

#include <string>
#include <variant>

#include "common/net/http.hpp"
#include "daemons/master/core.hpp"

namespace trainyard::master {

/// A request that the core decides about.
struct ForCore {
  Event event;
};
/// POST /api/v1/jobs: the body is still to be read.
struct Submission {
  std::string yaml;
  bool dry_run = false;
};
/// An answer from the state as it is.
struct Immediate {
  net::HttpResponse response;
};
using Routed = std::variant<ForCore, Submission, Immediate>;

/// `request` is the number under which the core will answer. `ready`: the master can decide.
Routed route(const net::HttpRequest& http, std::uint64_t request, const State& state);

net::HttpResponse response_of(const Reply& reply);
net::HttpResponse error_response(const Error& error);

/// The one page of this release: jobs and nodes, refreshed by the browser.
std::string page(const State& state);

}  // namespace trainyard::master
