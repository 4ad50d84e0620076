#include "common/protocol/codec.hpp"

#include <google/protobuf/stubs/logging.h>

#include <iterator>

#include "common/base/text.hpp"
#include "common/protocol/bounds.hpp"
#include "common/protocol/convert.hpp"
#include "common/protocol/scan.hpp"

namespace trainyard::protocol {

std::string encode(const Message& message) {
  std::string bytes = to_envelope(message, true).SerializeAsString();
  if (bytes.size() > message_bytes_max) bytes = to_envelope(message, false).SerializeAsString();
  return bytes;
}

Result<Message> decode(std::string_view bytes) {
  if (bytes.size() > message_bytes_max)
    return Error{Errc::corrupt,
                 format("a message of {} bytes is above the limit of {}", bytes.size(), message_bytes_max)};
  if (auto scanned = scan(bytes, *v1::Envelope::descriptor(), elements_max); !scanned) return scanned.error();
  google::protobuf::LogSilencer silence;  // a peer must not be able to fill our log
  v1::Envelope envelope;
  if (!envelope.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return Error{Errc::corrupt, "the bytes are not a message"};
  auto message = from_envelope(envelope);
  if (message) return message;
  const auto* body =
      envelope.GetReflection()->GetOneofFieldDescriptor(envelope, envelope.descriptor()->oneof_decl(0));
  return body == nullptr ? message.error() : message.error().with(body->message_type()->name());
}

const char* name(const Message& message) {
  static constexpr const char* names[] = {
      "RegisterNode", "Heartbeat",        "LogChunk",       "Registered",       "Refused",
      "LaunchTask",   "StopTask",         "ForgetTask",     "ReadLog",          "RegisterTask",
      "Progress",     "RequestPartition", "PartitionDone",  "CheckpointPart",   "CheckpointWritten",
      "Finished",     "Roster",           "GrantPartition", "CommitCheckpoint", "StopTraining",
      "Dismiss"};
  static_assert(std::size(names) == std::variant_size_v<Message>);
  return names[message.index()];
}

}  // namespace trainyard::protocol
