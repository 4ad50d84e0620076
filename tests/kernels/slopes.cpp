#include "tests/kernels/slopes.hpp"

#include <catch2/catch.hpp>

namespace trainyard::ops {

void require_slopes(const std::function<double(const std::vector<Tensor>&)>& value, std::vector<Tensor> at,
                    const std::vector<Tensor>& gradients, double tolerance) {
  constexpr double step = 1e-5;
  REQUIRE(gradients.size() <= at.size());
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    INFO("operand " << i);
    Tensor slopes{at[i].shape, {}};
    for (double& element : at[i].values) {
      const double middle = element;
      element = middle + step;
      const double above = value(at);
      element = middle - step;
      const double below = value(at);
      element = middle;
      slopes.values.push_back((above - below) / (2 * step));
    }
    require_close(gradients[i], slopes, tolerance);
  }
}

double weighted_sum(const std::vector<Tensor>& values, const std::vector<Tensor>& weights) {
  REQUIRE(values.size() == weights.size());
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    REQUIRE(values[i].values.size() == weights[i].values.size());
    for (std::size_t k = 0; k < values[i].values.size(); ++k)
      sum += values[i].values[k] * weights[i].values[k];
  }
  return sum;
}

}  // namespace trainyard::ops
