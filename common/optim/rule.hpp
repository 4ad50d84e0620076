// From a job's optimizer to the loop of its rule and the numbers of a step; what whole tensors and rows
// share. Private to common/optim.
#pragma once

#include "common/optim/kernels.hpp"
#include "common/optim/optimizer.hpp"

namespace trainyard::optim {

using Rule = void (*)(const kernels::Block&, const kernels::Numbers&);

Rule rule_of(const config::OptimizerSection& optimizer, const kernels::Kernels& set);
/// `rate` with the slice's own; the scale stays 1.
kernels::Numbers numbers_of(const config::OptimizerSection& optimizer, double rate, std::uint64_t update,
                            const SliceRule& slice);

}  // namespace trainyard::optim
