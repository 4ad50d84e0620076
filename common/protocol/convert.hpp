// Plain structs <-> generated ones; both directions throw away nothing but what bounds.hpp cuts. Of
// common/protocol itself.
#pragma once

#include "common/base/result.hpp"
#include "common/protocol/messages.hpp"
#include "common/protocol/v1/control.pb.h"

namespace trainyard::protocol {

/// `with_lines` false leaves out the last_lines of task reports.
v1::Envelope to_envelope(const Message& message, bool with_lines);
Result<Message> from_envelope(const v1::Envelope& envelope);

}  // namespace trainyard::protocol
