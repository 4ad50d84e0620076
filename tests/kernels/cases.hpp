// Cases worked out by hand: operands, attributes and what has to come out, on every backend. Test code.
#pragma once

#include <limits>
#include <vector>

#include "tests/kernels/lab.hpp"

namespace trainyard::ops {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// A tensor with the type of its elements.
struct Typed {
  Shape shape;
  std::vector<double> values;
  DType type = DType::f32;
};

/// Requires these results of the reference in double and float and of the cpu backend; 1e-6 relative to the
/// largest value.
void gives(Kind kind, const Attributes& attributes, const std::vector<Typed>& operands,
           const std::vector<Typed>& results);
/// The same for a kind that only a training adds: results are shaped as they are expected.
void gives_gradient(Kind kind, const Attributes& attributes, const std::vector<Typed>& operands,
                    const std::vector<Typed>& results);

}  // namespace trainyard::ops
