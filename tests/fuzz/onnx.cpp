// libFuzzer: whatever the bytes are, import gives a model or an error, and export takes what import gave.
#include <cstdint>

#include "common/graph/onnx/onnx.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trainyard::graph;
  const auto model = import_onnx({reinterpret_cast<const char*>(data), size});
  if (!model || model->length > (1u << 20)) return 0;
  std::vector<float> values;
  draw_initial(*model, 1, values);
  (void)export_onnx(*model, values);
  return 0;
}
