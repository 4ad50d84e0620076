// mobilenet_v2 (Sandler, Howard, Zhu, Zhmoginov, Chen, 2018, table 2).
#include <algorithm>

#include "common/graph/presets/parts.hpp"

namespace trainyard::graph {
namespace {

struct Bottleneck {
  std::int64_t expansion, channels;
  int blocks;
  std::uint32_t stride;
};
constexpr Bottleneck bottlenecks[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                                      {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};

ValueId relu6(Composer& net, ValueId x) { return net.unary(ops::Function::relu6, x); }

ValueId inverted_residual(Composer& net, ValueId x, const std::string& name, std::int64_t expansion,
                          std::int64_t channels, std::uint32_t stride) {
  const std::int64_t before = net.extent(x, 1), between = before * expansion;
  const auto part = [&](int index) { return name + ".conv." + std::to_string(index); };
  ValueId y = x;
  int index = 0;
  if (expansion != 1) y = relu6(net, conv_norm(net, y, part(index++), {.filters = between}));
  const Convolution depthwise{
      .filters = between, .kernel = 3, .stride = stride, .padding = padded(1), .groups = between};
  y = relu6(net, conv_norm(net, y, part(index++), depthwise));
  const std::string norm = "." + std::to_string(index + 1);
  y = conv_norm(net, y, name + ".conv", {.filters = channels},
                {("." + std::to_string(index)).c_str(), norm.c_str()});
  if (stride != 1 || before != channels) return y;
  net.part(name, "residual");
  return net.add(x, y);
}

}  // namespace

std::vector<ValueId> mobilenet_v2(Draft& d) {
  Composer& net = d.net;
  const double width = d.options.width;
  std::size_t index = 0;
  const auto name = [&] { return "features." + std::to_string(index++); };
  const Convolution stem{
      .filters = scaled_channels(32 * width), .kernel = 3, .stride = 2, .padding = padded(1)};
  ValueId x = relu6(net, conv_norm(net, d.image(), name(), stem));
  for (const Bottleneck& b : bottlenecks)
    for (int i = 0; i < b.blocks; ++i)
      x = inverted_residual(net, x, name(), b.expansion,
                            scaled_channels(static_cast<double>(b.channels) * width), i == 0 ? b.stride : 1);
  x = relu6(net, conv_norm(net, x, name(), {.filters = scaled_channels(1280 * std::max(1.0, width))}));
  net.part("avgpool", "global_avg_pool");
  x = net.dropout(net.flatten(net.global_pool(Kind::avg_pool, x)), d.options.dropout);
  return {net.dense(x, "classifier.1", {.units = d.classes()})};
}

}  // namespace trainyard::graph
