#include "common/ops/cuda/kernel.hpp"

namespace trainyard::ops::cuda {

LayoutPtr plain_layout(const Shape& shape, DType type) {
  const auto bytes = static_cast<std::size_t>(shape.elements()) * tensor::size_of(type);
  return std::make_shared<const DeviceLayout>(Order::row_major, Shape{}, bytes);
}

LayoutPtr raw_layout(std::size_t bytes) {
  return std::make_shared<const DeviceLayout>(Order::raw, Shape{}, bytes);
}

LayoutPtr channels_last_layout(const Shape& shape, DType type) {
  if (shape.rank() != 4 || shape[1] == 1 || shape[2] * shape[3] == 1) return plain_layout(shape, type);
  const auto bytes = static_cast<std::size_t>(shape.elements()) * tensor::size_of(type);
  return std::make_shared<const DeviceLayout>(Order::channels_last, shape, bytes);
}

LayoutPtr layout_like(const Operand& operand, DType type) {
  return is_channels_last(operand) ? channels_last_layout(operand.shape, type)
                                   : plain_layout(operand.shape, type);
}

std::unique_ptr<Closure> closure(const Operation& op, Closure::Body body) {
  std::vector<LayoutPtr> outputs;
  for (const Signature& of : op.outputs) outputs.push_back(plain_layout(of.shape, of.type));
  return std::make_unique<Closure>(std::move(outputs), std::move(body));
}

}  // namespace trainyard::ops::cuda
