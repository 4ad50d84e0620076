// Gradients held against central differences of the value that they are gradients of, in double.
#pragma once

#include <functional>
#include <vector>

#include "tests/kernels/lab.hpp"

namespace trainyard::ops {

/// Requires that gradients[i] is the slope of `value` in each element of at[i]. Tensors behind the gradients'
/// number stay as they are. Fit for smooth functions whose values and slopes are of the order of 1.
void require_slopes(const std::function<double(const std::vector<Tensor>&)>& value, std::vector<Tensor> at,
                    const std::vector<Tensor>& gradients, double tolerance = 1e-7);

/// The sum of the products of two lists of tensors: a value with the weights as its gradients.
double weighted_sum(const std::vector<Tensor>& values, const std::vector<Tensor>& weights);

}  // namespace trainyard::ops
