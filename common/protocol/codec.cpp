#include "common/protocol/codec.hpp"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/stubs/logging.h>

#include <iterator>

#include "common/base/text.hpp"
#include "common/protocol/bounds.hpp"
#include "common/protocol/convert.hpp"
#include "common/protocol/scan.hpp"

namespace trainyard::protocol {

namespace {

/// Maps in order: the same message gives the same bytes.
std::string serialize(const v1::Envelope& envelope) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    (void)envelope.SerializeToCodedStream(&coded);
  }
  return bytes;
}

}  // namespace

std::string encode(const Message& message) {
  std::string bytes = serialize(to_envelope(message, true));
  if (bytes.size() > message_bytes_max) bytes = serialize(to_envelope(message, false));
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
      "Dismiss",      "CheckpointFailed"};
  static_assert(std::size(names) == std::variant_size_v<Message>);
  return names[message.index()];
}

}  // namespace trainyard::protocol
