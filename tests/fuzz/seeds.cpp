// Writes files to begin with: fuzz_seeds DIR makes DIR/onnx and DIR/safetensors.
#include <filesystem>
#include <fstream>

#include "common/base/check.hpp"
#include "common/graph/onnx/onnx.hpp"
#include "common/graph/safetensors.hpp"
#include "tests/onnx/models.hpp"

int main(int argc, char** argv) {
  using namespace trainyard::graph;
  if (argc != 2) return 2;
  const std::filesystem::path root(argv[1]);
  std::filesystem::create_directories(root / "onnx");
  std::filesystem::create_directories(root / "safetensors");
  for (const test::Example& example : test::examples()) {
    const auto file = export_onnx(example.model, example.model.given);
    trainyard::check(file.has_value(), "an example is exported");
    std::ofstream(root / "onnx" / example.name, std::ios::binary) << *file;
    std::vector<NamedTensor> tensors;
    for (const TensorInfo& info : example.model.tensors) {
      const auto* const from = example.model.given.data() + info.offset;
      tensors.push_back({info.name, info.shape, {from, from + info.length}});
    }
    std::ofstream(root / "safetensors" / example.name, std::ios::binary)
        << to_safetensors(tensors, {{"name", example.name}});
  }
  return 0;
}
