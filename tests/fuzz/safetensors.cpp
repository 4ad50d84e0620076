// libFuzzer: whatever the bytes are, the reader gives tensors or an error; what it gave can be written and
// read again.
#include <cstdint>

#include "common/base/check.hpp"
#include "common/graph/safetensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trainyard::graph;
  const auto read = from_safetensors({reinterpret_cast<const char*>(data), size});
  if (!read) return 0;
  const auto again = from_safetensors(to_safetensors(read->tensors, read->metadata));
  trainyard::check(again.has_value() && again->tensors.size() == read->tensors.size(),
                   "what was read is written");
  return 0;
}
