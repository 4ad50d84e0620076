// Mixed precision: linear maps read numbers of 16 bits while everything else, weights, sums, statistics and
// losses among it, stays f32 (Micikevicius and others, "Mixed Precision Training", 2018). A pass over a graph
// that runs, the last one: casts and the scale of the loss become nodes like any other, for every backend.
#pragma once

#include "common/config/job_spec.hpp"
#include "common/graph/graph.hpp"

namespace trainyard::graph {

/// The external, f32 without axes, that the gradient of the loss is multiplied by and the gradients of
/// parameters are divided by, in a training of f16.
inline constexpr const char* kLossScale = "loss scale";

/// f32 of Precision::fp32, and so on.
DType type_of(config::Precision precision);

/// Operands of convolutions, dense layers, matrix products and their gradients are cast to `type`, bf16 or
/// f16; a value that several of them read is cast once. Convolutions of several groups, which wait for
/// memory and not for products, stay f32. In a training of f16 the loss is scaled on its way back.
/// `images`: what follows convolutions stays in 16 bits as well, see narrow_images.hpp.
void narrow(Graph& graph, DType type, bool images = false);

}  // namespace trainyard::graph
