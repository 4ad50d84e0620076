// Writes the examples and the presets with inputs and outputs of a batch of three for runtime_test.py:
// DIR/NAME.onnx, and DIR/NAME.in.K and DIR/NAME.out.K as little-endian doubles.
#include <cstdio>
#include <fstream>

#include "tests/onnx/models.hpp"
#include "tests/onnx/presets.hpp"
#include "tests/onnx/runner.hpp"

namespace trainyard::graph::test {
namespace {

constexpr std::int64_t kBatch = 3;

std::vector<Constant> inputs_of(const Example& example) {
  std::vector<Constant> inputs;
  Random random(7);
  for (const Shape& shape : example.inputs) {
    Numbers x{shape.with_batch(kBatch).dims(), {}};
    for (std::int64_t i = 0; i < Shape(x.dims).elements(); ++i) x.values.push_back(random.uniform(-0.9, 0.9));
    inputs.push_back(constant_of(x, DType::f32));
  }
  return inputs;
}

void write(const std::string& path, const std::vector<double>& values) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size() * 8));
}

Status write_all(const std::string& base, const Model& model, std::span<const float> values,
                 const std::vector<Constant>& inputs, const ops::Backend& backend) {
  const auto file = export_onnx(model, values);
  if (!file) return file.error();
  std::ofstream(base + ".onnx", std::ios::binary) << *file;
  for (std::size_t k = 0; k < inputs.size(); ++k)
    write(base + ".in." + std::to_string(k), numbers_of(inputs[k]).values);
  const auto out = run(model, values, inputs, backend);
  if (!out) return out.error();
  for (std::size_t k = 0; k < out->size(); ++k) write(base + ".out." + std::to_string(k), (*out)[k].values);
  return {};
}

Status write_directory(const std::string& directory) {
  const auto reference = ops::reference_backend<float>(), cpu = ops::cpu_backend();
  for (const Example& example : examples()) {
    const Status written = write_all(directory + "/" + example.name, example.model, example.model.given,
                                     inputs_of(example), *reference);
    if (!written) return written.error().with(example.name);
  }
  for (const std::string& name : small_presets()) {
    const auto preset = preset_of(name, kBatch);
    if (!preset) return preset.error().with(name);
    const Status written =
        write_all(directory + "/preset_" + name, preset->model, preset->values, preset->inputs, *cpu);
    if (!written) return written.error().with(name);
  }
  return {};
}

}  // namespace
}  // namespace trainyard::graph::test

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto written = trainyard::graph::test::write_directory(argv[1]);
  if (!written) return std::fprintf(stderr, "%s\n", written.error().message.c_str()), 1;
}
