// Writes the examples with inputs and outputs of a batch of three for runtime_test.py: DIR/NAME.onnx, and
// DIR/NAME.in.K and DIR/NAME.out.K as little-endian doubles.
#include <cstdio>
#include <fstream>

#include "tests/onnx/models.hpp"
#include "tests/onnx/runner.hpp"

int main(int argc, char** argv) {
  using namespace trainyard::graph;
  if (argc != 2) return 2;
  const auto backend = trainyard::ops::reference_backend<float>();
  const auto write = [](const std::string& path, const std::vector<double>& values) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size() * 8));
  };
  for (const test::Example& example : test::examples()) {
    const std::string base = std::string(argv[1]) + "/" + example.name;
    const auto file = export_onnx(example.model, example.model.given);
    if (!file) return std::fprintf(stderr, "%s: %s\n", example.name.c_str(), file.error().message.c_str()), 1;
    std::ofstream(base + ".onnx", std::ios::binary) << *file;
    std::vector<Constant> inputs;
    trainyard::Random random(7);
    for (std::size_t k = 0; k < example.inputs.size(); ++k) {
      test::Numbers x{example.inputs[k].with_batch(3).dims(), {}};
      for (std::int64_t i = 0; i < Shape(x.dims).elements(); ++i)
        x.values.push_back(random.uniform(-0.9, 0.9));
      inputs.push_back(test::constant_of(x, DType::f32));
      write(base + ".in." + std::to_string(k), test::numbers_of(inputs.back()).values);
    }
    const auto out = test::run(example.model, inputs, *backend);
    if (!out) return std::fprintf(stderr, "%s: %s\n", example.name.c_str(), out.error().message.c_str()), 1;
    for (std::size_t k = 0; k < out->size(); ++k) write(base + ".out." + std::to_string(k), (*out)[k].values);
  }
  return 0;
}
