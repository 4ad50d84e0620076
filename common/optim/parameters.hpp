// What the job file says about single tensors: rates, decay, frozen ones, by patterns over their names. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.hpp"
#include "common/config/job_spec.hpp"
#include "common/optim/optimizer.hpp"
#include "common/optim/slices.hpp"

namespace trainyard::optim {

struct NamedTensor {
  std::string name;  // "conv1.weight"
  std::uint64_t length = 0;
  ValueKind kind = ValueKind::weight;
};

/// The tensors with their settings, in the same order. Biases and norms have no weight decay unless a rule of
/// train.parameters gives them one. Errors (invalid): a pattern that matches no tensor, with the nearest
/// names; nothing left to train.
Result<std::vector<TensorSize>> tensor_sizes(const config::TrainSection& train,
                                             std::span<const NamedTensor> tensors);

/// Glob: `*` stands for any text, `?` for one character; the whole name must match.
bool matches(std::string_view pattern, std::string_view name);

}  // namespace trainyard::optim
