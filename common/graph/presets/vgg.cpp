// alexnet, vgg16.
#include <string>

#include "common/graph/presets/parts.hpp"

namespace trainyard::graph {
namespace {

std::string at(const char* list, std::size_t index) { return list + std::to_string(index); }

}  // namespace

std::vector<ValueId> alexnet(Draft& d) {
  Composer& net = d.net;
  const Window pool{.size = 3, .stride = 2};
  const auto conv = [&](ValueId x, std::size_t index, Convolution c) {
    return net.relu(net.conv2d(x, at("features.", index), c));
  };
  ValueId x = conv(d.image(), 0, {.filters = 64, .kernel = 11, .stride = 4, .padding = padded(2)});
  x = net.max_pool(x, pool);
  x = conv(x, 3, {.filters = 192, .kernel = 5, .padding = padded(2)});
  x = net.max_pool(x, pool);
  x = conv(x, 6, {.filters = 384, .kernel = 3, .padding = padded(1)});
  x = conv(x, 8, {.filters = 256, .kernel = 3, .padding = padded(1)});
  x = conv(x, 10, {.filters = 256, .kernel = 3, .padding = padded(1)});
  x = net.max_pool(x, pool);
  net.part("avgpool", "adaptive_avg_pool");
  x = net.flatten(net.adaptive_avg_pool(x, 6));
  std::size_t index = 0;
  for (const std::uint32_t units : d.options.hidden) {
    x = net.dropout(x, d.options.dropout);
    x = net.relu(net.dense(x, at("classifier.", index + 1), {.units = units}));
    index += 3;
  }
  return {net.dense(x, at("classifier.", index), {.units = d.classes()})};
}

std::vector<ValueId> vgg16(Draft& d) {
  Composer& net = d.net;
  ValueId x = d.image();
  std::size_t index = 0;
  for (const auto& [filters, convolutions] :
       {std::pair<std::int64_t, int>{64, 2}, {128, 2}, {256, 3}, {512, 3}, {512, 3}}) {
    for (int i = 0; i < convolutions; ++i) {
      x = net.conv2d(x, at("features.", index++), {.filters = filters, .kernel = 3, .padding = padded(1)});
      if (d.options.batch_norm) x = net.batch_norm(x, at("features.", index++));
      x = net.relu(x);
      ++index;
    }
    net.part(at("features.", index++), "max_pool");
    x = net.max_pool(x, {.size = 2, .stride = 2});
  }
  net.part("avgpool", "adaptive_avg_pool");
  x = net.flatten(net.adaptive_avg_pool(x, 7));
  index = 0;
  for (const std::uint32_t units : d.options.hidden) {
    x = net.relu(net.dense(x, at("classifier.", index), {.units = units}));
    x = net.dropout(x, d.options.dropout);
    index += 3;
  }
  return {net.dense(x, at("classifier.", index), {.units = d.classes()})};
}

}  // namespace trainyard::graph
