// mlp, lenet5.
#include "common/graph/presets/parts.hpp"

namespace trainyard::graph {

std::vector<ValueId> mlp(Draft& d) {
  const ValueId x = dense_stack(d.net, d.net.flatten(d.image()), "layers.", d.options);
  return {d.net.dense(x, "output", {.units = d.classes()})};
}

/// LeCun, Bottou, Bengio, Haffner, 1998, section II.B, with softmax in the place of radial basis functions.
/// Images of 32 pixels; smaller ones get zeros around them until they have as many.
std::vector<ValueId> lenet5(Draft& d) {
  Composer& net = d.net;
  const auto missing = [](std::int64_t side) {
    return static_cast<std::uint32_t>(side < 32 ? (32 - side) / 2 : 0);
  };
  const Padding padding = padded({missing(d.data.image.height), missing(d.data.image.width)});
  const Window half{.size = 2, .stride = 2};
  const auto act = [&](ValueId x) { return net.activate(d.options.activation, x); };
  ValueId x =
      net.conv2d(d.image(), "conv1", {.filters = 6, .kernel = 5, .padding = padding, .init = Init::glorot});
  x = net.avg_pool(act(x), half);
  x = net.conv2d(x, "conv2", {.filters = 16, .kernel = 5, .init = Init::glorot});
  x = net.avg_pool(act(x), half);
  x = act(net.dense(x, "fc1", {.units = 120}));
  x = act(net.dense(x, "fc2", {.units = 84}));
  return {net.dense(x, "fc3", {.units = d.classes()})};
}

}  // namespace trainyard::graph
