// Random but valid messages of every kind, for round trips.
#pragma once

#include "common/base/random.hpp"
#include "common/protocol/data.hpp"
#include "common/protocol/messages.hpp"

namespace trainyard::protocol {

/// A message of the alternative `kind` of Message.
Message generate(std::size_t kind, Random& random);
DataHeader generate_header(Random& random);

}  // namespace trainyard::protocol
