// resnet18, resnet20, resnet50 (He, Zhang, Ren, Sun, Deep residual learning, 2016).
#include "common/graph/presets/parts.hpp"

namespace trainyard::graph {
namespace {

class ResNet {
 public:
  ResNet(Draft& draft, bool bottleneck)
      : net_(draft.net),
        bottleneck_(bottleneck),
        last_{.scale = draft.options.zero_init ? Init::zero : Init::one} {}

  /// `blocks` blocks of `width`, the first with `stride`.
  ValueId stage(ValueId x, const std::string& name, int blocks, std::int64_t width, std::uint32_t stride) {
    for (int i = 0; i < blocks; ++i) x = block(x, name + "." + std::to_string(i), width, i == 0 ? stride : 1);
    return x;
  }

 private:
  ValueId block(ValueId x, const std::string& name, std::int64_t width, std::uint32_t stride) {
    const std::int64_t channels = bottleneck_ ? 4 * width : width;
    const ValueId body = bottleneck_ ? narrow(x, name, width, stride) : basic(x, name, width, stride);
    ValueId around = x;
    if (stride != 1 || net_.extent(x, 1) != channels)
      around = conv_norm(net_, x, name + ".downsample", {.filters = channels, .stride = stride});
    net_.part(name, "residual");
    return net_.relu(net_.add(body, around));
  }

  ValueId basic(ValueId x, const std::string& name, std::int64_t width, std::uint32_t stride) {
    const Convolution c{.filters = width, .kernel = 3, .stride = stride, .padding = padded(1)};
    x = net_.relu(conv_norm(net_, x, name, c, {".conv1", ".bn1"}));
    const Convolution second{.filters = width, .kernel = 3, .padding = padded(1)};
    return conv_norm(net_, x, name, second, {".conv2", ".bn2", last_});
  }

  ValueId narrow(ValueId x, const std::string& name, std::int64_t width, std::uint32_t stride) {
    x = net_.relu(conv_norm(net_, x, name, {.filters = width}, {".conv1", ".bn1"}));
    const Convolution c{.filters = width, .kernel = 3, .stride = stride, .padding = padded(1)};
    x = net_.relu(conv_norm(net_, x, name, c, {".conv2", ".bn2"}));
    return conv_norm(net_, x, name, {.filters = 4 * width}, {".conv3", ".bn3", last_});
  }

  Composer& net_;
  const bool bottleneck_;
  const BatchNorm last_;
};

std::vector<ValueId> for_imagenet(Draft& d, bool bottleneck, const std::array<int, 4>& blocks) {
  Composer& net = d.net;
  ResNet resnet(d, bottleneck);
  ValueId x = conv_norm(net, d.image(), "", {.filters = 64, .kernel = 7, .stride = 2, .padding = padded(3)},
                        {"conv1", "bn1"});
  x = net.relu(x);
  net.part("maxpool", "max_pool");
  x = net.max_pool(x, {.size = 3, .stride = 2, .padding = padded(1)});
  x = resnet.stage(x, "layer1", blocks[0], 64, 1);
  x = resnet.stage(x, "layer2", blocks[1], 128, 2);
  x = resnet.stage(x, "layer3", blocks[2], 256, 2);
  x = resnet.stage(x, "layer4", blocks[3], 512, 2);
  net.part("avgpool", "global_avg_pool");
  x = net.flatten(net.global_pool(Kind::avg_pool, x));
  return {net.dense(x, "fc", {.units = d.classes()})};
}

}  // namespace

std::vector<ValueId> resnet18(Draft& d) { return for_imagenet(d, false, {2, 2, 2, 2}); }
std::vector<ValueId> resnet50(Draft& d) { return for_imagenet(d, true, {3, 4, 6, 3}); }

std::vector<ValueId> resnet20(Draft& d) {
  Composer& net = d.net;
  ResNet resnet(d, false);
  const Convolution first{.filters = 16, .kernel = 3, .padding = padded(1)};
  ValueId x = net.relu(conv_norm(net, d.image(), "", first, {"conv1", "bn1"}));
  x = resnet.stage(x, "layer1", 3, 16, 1);
  x = resnet.stage(x, "layer2", 3, 32, 2);
  x = resnet.stage(x, "layer3", 3, 64, 2);
  net.part("avgpool", "global_avg_pool");
  x = net.flatten(net.global_pool(Kind::avg_pool, x));
  return {net.dense(x, "fc", {.units = d.classes()})};
}

}  // namespace trainyard::graph
