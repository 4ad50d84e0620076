// What happened and what was decided, as a few words for people; never a secret. And the digest by which a
// replay knows whether the master would decide the same again.
#pragma once

#include <string>

#include "common/runtime/recorder.hpp"
#include "daemons/master/core.hpp"

namespace trainyard::master {

std::string outline(const Event& event);
/// What goes to the log is in the outline and not in the digest: other words are no other decision.
runtime::Decided summary(const Actions& actions);

}  // namespace trainyard::master
