// libFuzzer: whatever a peer sends, it is a message or an error; what was read can be sent on.
#include <cstdint>

#include "common/base/check.hpp"
#include "common/protocol/codec.hpp"
#include "common/protocol/data.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trainyard;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto message = protocol::decode(bytes))
    check(protocol::decode(protocol::encode(*message)).has_value(), "a message that was read can be sent");
  if (auto header = protocol::decode_data_header(bytes)) {
    check(protocol::decode_data_header(protocol::encode(*header)).has_value(),
          "a header that was read can be sent");
    header->reason = "a reason";  // no short form holds it
    check(protocol::decode_data_header(protocol::encode(*header)).has_value(),
          "what the short form lets through the long form does too");
  }
  return 0;
}
