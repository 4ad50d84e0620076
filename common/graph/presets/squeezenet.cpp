// squeezenet_1_1 (Iandola and others, 2016; the second release of its authors).
#include "common/graph/presets/parts.hpp"

namespace trainyard::graph {
namespace {

/// By the fan-in: where a layer widens or narrows the channels so much, the fan-out lets the values grow and
/// shrink.
ValueId conv(Composer& net, ValueId x, const std::string& name, Convolution c) {
  c.init = Init::he;
  return net.relu(net.conv2d(x, name, c));
}

ValueId fire(Composer& net, ValueId x, std::size_t index, std::int64_t squeeze, std::int64_t expand) {
  const std::string name = "features." + std::to_string(index);
  x = conv(net, x, name + ".squeeze", {.filters = squeeze});
  const ValueId small = conv(net, x, name + ".expand1x1", {.filters = expand});
  const ValueId large =
      conv(net, x, name + ".expand3x3", {.filters = expand, .kernel = 3, .padding = padded(1)});
  net.part(name, "concat");
  return net.concat({small, large}, 1);
}

}  // namespace

std::vector<ValueId> squeezenet_1_1(Draft& d) {
  Composer& net = d.net;
  const auto pool = [&](ValueId x, const char* name) {
    net.part(name, "max_pool");
    return net.max_pool(x, {.size = 3, .stride = 2, .ceil = true});
  };
  ValueId x = conv(net, d.image(), "features.0", {.filters = 64, .kernel = 3, .stride = 2});
  x = pool(x, "features.2");
  x = fire(net, fire(net, x, 3, 16, 64), 4, 16, 64);
  x = pool(x, "features.5");
  x = fire(net, fire(net, x, 6, 32, 128), 7, 32, 128);
  x = pool(x, "features.8");
  x = fire(net, fire(net, x, 9, 48, 192), 10, 48, 192);
  x = fire(net, fire(net, x, 11, 64, 256), 12, 64, 256);
  x = net.dropout(x, d.options.dropout);
  x = net.relu(net.conv2d(x, "classifier.1", {.filters = d.classes(), .init = Init::normal_02}));
  net.part("avgpool", "global_avg_pool");
  return {net.flatten(net.global_pool(Kind::avg_pool, x))};
}

}  // namespace trainyard::graph
