// optim_steps JOB.yaml VALUES GRADIENTS OUT: the steps that a job's optimizer takes, for torch_test.py. All
// files but the first are plain floats: the values of a weight and, the last tenth, of a bias; as many
// gradients for each step; out come the values and, where the job has train.ema, their averages. Prints the
// learning rate of each step.
#include <cstdio>
#include <cstring>

#include "common/config/read.hpp"
#include "common/optim/parameters.hpp"
#include "common/optim/table.hpp"

using namespace trainyard;

namespace {

std::vector<float> read_floats(const char* path) {
  std::vector<float> out;
  std::FILE* const file = std::fopen(path, "rb");
  float value = 0;
  while (file != nullptr && std::fread(&value, sizeof value, 1, file) == 1) out.push_back(value);
  if (file != nullptr) std::fclose(file);
  return out;
}

int fail(const std::string& reason) {
  std::fprintf(stderr, "%s\n", reason.c_str());
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return fail("optim_steps JOB.yaml VALUES GRADIENTS OUT");
  const auto text = config::load_text(argv[1]);
  if (!text) return fail(text.error().message);
  const auto job = config::read_job(*text, argv[1], "/");
  if (!job) return fail(job.error().message);
  const auto values = read_floats(argv[2]), gradients = read_floats(argv[3]);
  if (values.empty() || gradients.size() % values.size() != 0) return fail("as many gradients as values");
  const std::uint64_t steps = gradients.size() / values.size();

  const std::uint64_t biases = values.size() / 10;
  const std::vector<optim::NamedTensor> tensors{
      {"dense1.weight", values.size() - biases, optim::ValueKind::weight},
      {"dense1.bias", biases, optim::ValueKind::bias}};
  const auto sizes = optim::tensor_sizes(job->train, tensors);
  if (!sizes) return fail(sizes.error().message);
  auto table =
      optim::Table::make(job->train, optim::slice_over(*sizes, 1, 300), steps / job->train.epochs, values);
  if (!table) return fail(table.error().message);
  for (std::uint64_t step = 0; step < steps; ++step) {
    const optim::Contribution one{1, std::span(gradients).subspan(step * values.size(), values.size())};
    table->apply(std::span(&one, 1));
    std::printf("%.17g\n", table->rate(step + 1));
  }
  std::FILE* const out = std::fopen(argv[4], "wb");
  if (out == nullptr) return fail("cannot write");
  std::fwrite(table->values()->data(), sizeof(float), table->size(), out);
  if (const auto averages = table->averages())
    std::fwrite(averages->data(), sizeof(float), averages->size(), out);
  return std::fclose(out) == 0 ? 0 : 2;
}
