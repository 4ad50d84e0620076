// A look over Protobuf bytes before anything is allocated for them: two bytes on the wire may become a struct
// of hundreds in memory. Of common/protocol itself.
#pragma once

#include <google/protobuf/descriptor.h>

#include <cstddef>
#include <string_view>

#include "common/base/result.hpp"

namespace trainyard::protocol {

/// Walks `bytes` as a message of `type` and counts the fields at all depths. Errc::corrupt when the framing
/// is broken, nested too deep, or there are more than `elements_max` fields.
Status scan(std::string_view bytes, const google::protobuf::Descriptor& type, std::size_t elements_max);

}  // namespace trainyard::protocol
