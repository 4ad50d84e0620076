// libFuzzer: whatever the text is, the reader gives the settings of a cluster or an error; they are printed
// as text that means the same.
#include <cstdint>

#include "common/base/check.hpp"
#include "common/config/read.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trainyard;
  const auto cluster = config::read_cluster({reinterpret_cast<const char*>(data), size}, "cluster.yaml");
  if (!cluster) return 0;
  const std::string printed = config::print_cluster(*cluster);
  const auto again = config::read_cluster(printed, "printed.yaml");
  check(again.has_value() && config::print_cluster(*again) == printed, "printed settings mean the same");
  return 0;
}
