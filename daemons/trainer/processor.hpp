// Where a trainer computes: on the GPU that it was granted, else on its processors.
#pragma once

#include <memory>
#include <string>

#include "common/ops/backend.hpp"

namespace trainyard::trainer {

struct Processor {
  std::shared_ptr<ops::Backend> backend;  // null: the processor's own
  std::string text;                       // for the log: "NVIDIA H100 80GB HBM3, 79GiB"
  std::string warning;                    // why it is not what was granted; may be empty
};

/// `granted`: what CUDA_VISIBLE_DEVICES says, or empty; the first of them is taken.
Processor choose_processor(const std::string& granted);

}  // namespace trainyard::trainer
