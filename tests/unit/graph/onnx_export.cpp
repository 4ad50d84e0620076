// Writes networks with their inputs and outputs to a directory, for onnx_test.py: NAME.onnx, NAME.in,
// NAME.out.
#include <cstdio>
#include <fstream>

#include "tests/unit/graph/networks.hpp"

int main(int argc, char** argv) {
  using namespace trainyard::graph;
  if (argc != 2) return 2;
  const InputShape shape{3, 12, 11};
  constexpr std::uint32_t count = 5;
  const std::pair<const char*, trainyard::config::ModelSection> models[] = {
      {"mlp", test::mlp()}, {"photo_net", test::photo_net()}, {"old_net", test::old_net()}};
  for (const auto& [name, model] : models) {
    auto network = Network::build(model, shape, 3, {.batch_max = count});
    if (!network) return std::fprintf(stderr, "%s\n", network.error().message.c_str()), 1;
    trainyard::Random random(3);
    for (float& value : (*network)->values()) value = static_cast<float>(0.3 + 0.2 * random.normal());
    for (const TensorInfo& tensor : (*network)->tensors()) {  // no variance is negative
      for (std::size_t i = 0; i < tensor.length; ++i) {
        float& value = (*network)->values()[tensor.offset + i];
        value = tensor.name.ends_with("running_var") ? value * value + 0.1f : value - 0.3f;
      }
    }
    const test::Batch batch = test::batch_of(count, shape, 8);
    std::vector<float> out(count * 3);
    (*network)->predict(batch.images, count, out);
    const auto onnx = to_onnx(**network);
    if (!onnx) return std::fprintf(stderr, "%s\n", onnx.error().message.c_str()), 1;
    const std::string base = std::string(argv[1]) + "/" + name;
    std::ofstream(base + ".onnx", std::ios::binary) << *onnx;
    std::ofstream(base + ".in", std::ios::binary)
        .write(reinterpret_cast<const char*>(batch.images.data()),
               static_cast<std::streamsize>(batch.images.size() * 4));
    std::ofstream(base + ".out", std::ios::binary)
        .write(reinterpret_cast<const char*>(out.data()), static_cast<std::streamsize>(out.size() * 4));
  }
  return 0;
}
