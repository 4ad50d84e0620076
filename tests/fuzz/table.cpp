// libFuzzer: whatever a file of a checkpoint holds, the reader gives a table or an error; a table makes a
// step.
#include <cstdint>

#include "common/optim/table.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trainyard;
  config::TrainSection train;
  train.optimizer = config::optimizer_defaults(config::OptimizerKind::adam);
  auto table = optim::Table::load(train, {reinterpret_cast<const char*>(data), size});
  if (!table || table->size() > (1u << 20)) return 0;
  const std::vector<float> gradients(table->size(), 0.5F);
  const optim::Contribution one{4, gradients, {}};
  table->apply({&one, 1});
  return 0;
}
