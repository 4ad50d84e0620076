// libFuzzer: whatever the text is, the reader gives a job or an error; a job is printed as text that means
// the same, and its model is built or refused.
#include <cstdint>

#include "common/base/check.hpp"
#include "common/config/read.hpp"
#include "common/graph/layers.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trainyard;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)config::kind_of(text);
  const auto job = config::read_job(text, "job.yaml", "/jobs");
  if (!job) return 0;
  const std::string printed = config::print_job(*job);
  const auto again = config::read_job(printed, "printed.yaml", "/");
  check(again.has_value() && config::print_job(*again) == printed, "a printed job means the same");
  (void)graph::model_of(job->model, graph::InputShape{3, 32, 32}, 10, 32);
  return 0;
}
