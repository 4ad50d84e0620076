#include "daemons/trainer/processor.hpp"

#include "common/base/text.hpp"
#include "common/ops/device.hpp"

namespace trainyard::trainer {

Processor choose_processor(const std::string& granted) {
  if (granted.empty()) return {nullptr, "the CPU", ""};
  auto backend = ops::cuda_backend(0);
  if (!backend)
    return {nullptr, "the CPU",
            format("GPU {} was granted, but {}; the CPU computes", granted, backend.error().message)};
  std::string text = (*backend)->device()->name();
  return {std::move(*backend), std::move(text), ""};
}

}  // namespace trainyard::trainer
