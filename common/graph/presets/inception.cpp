// inception_v3 (Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, 2016, table 1 and figures 5 to 7).
#include "common/graph/presets/parts.hpp"

namespace trainyard::graph {
namespace {

class Inception {
 public:
  explicit Inception(Composer& net) : net_(net) {}

  ValueId conv(ValueId x, const std::string& name, std::int64_t filters, Sides kernel,
               std::uint32_t stride = 1, Sides padding = 0) {
    const Convolution c{.filters = filters, .kernel = kernel, .stride = stride, .padding = padded(padding)};
    return net_.relu(conv_norm(net_, x, name, c, {".conv", ".bn", {.epsilon = 1e-3}}));
  }

  ValueId halve(ValueId x, const std::string& name) {
    net_.part(name, "max_pool");
    return net_.max_pool(x, {.size = 3, .stride = 2});
  }

  /// Figure 5: windows of 1, 5, and twice 3.
  ValueId a(ValueId x, const std::string& name, std::int64_t pooled) {
    const ValueId one = conv(x, name + ".branch1x1", 64, 1);
    const ValueId five = conv(conv(x, name + ".branch5x5_1", 48, 1), name + ".branch5x5_2", 64, 5, 1, 2);
    ValueId three = conv(conv(x, name + ".branch3x3dbl_1", 64, 1), name + ".branch3x3dbl_2", 96, 3, 1, 1);
    three = conv(three, name + ".branch3x3dbl_3", 96, 3, 1, 1);
    return together(name, {one, five, three, pool(x, name, pooled)});
  }

  /// Halves the grid of 35.
  ValueId b(ValueId x, const std::string& name) {
    const ValueId three = conv(x, name + ".branch3x3", 384, 3, 2);
    ValueId twice = conv(conv(x, name + ".branch3x3dbl_1", 64, 1), name + ".branch3x3dbl_2", 96, 3, 1, 1);
    twice = conv(twice, name + ".branch3x3dbl_3", 96, 3, 2);
    return together(name, {three, twice, halve(x, name + ".pool")});
  }

  /// Figure 6: windows of 7, one side at a time.
  ValueId c(ValueId x, const std::string& name, std::int64_t width) {
    const ValueId one = conv(x, name + ".branch1x1", 192, 1);
    ValueId seven = conv(x, name + ".branch7x7_1", width, 1);
    seven = flat(seven, name + ".branch7x7_2", width, 7);
    seven = tall(seven, name + ".branch7x7_3", 192, 7);
    ValueId twice = conv(x, name + ".branch7x7dbl_1", width, 1);
    twice = tall(twice, name + ".branch7x7dbl_2", width, 7);
    twice = flat(twice, name + ".branch7x7dbl_3", width, 7);
    twice = tall(twice, name + ".branch7x7dbl_4", width, 7);
    twice = flat(twice, name + ".branch7x7dbl_5", 192, 7);
    return together(name, {one, seven, twice, pool(x, name, 192)});
  }

  /// Halves the grid of 17.
  ValueId d(ValueId x, const std::string& name) {
    const ValueId three = conv(conv(x, name + ".branch3x3_1", 192, 1), name + ".branch3x3_2", 320, 3, 2);
    ValueId seven = conv(x, name + ".branch7x7x3_1", 192, 1);
    seven = flat(seven, name + ".branch7x7x3_2", 192, 7);
    seven = tall(seven, name + ".branch7x7x3_3", 192, 7);
    seven = conv(seven, name + ".branch7x7x3_4", 192, 3, 2);
    return together(name, {three, seven, halve(x, name + ".pool")});
  }

  /// Figure 7: both sides of a window beside each other.
  ValueId e(ValueId x, const std::string& name) {
    const ValueId one = conv(x, name + ".branch1x1", 320, 1);
    const ValueId three = conv(x, name + ".branch3x3_1", 384, 1);
    const ValueId three_both = together(name + ".branch3x3", {flat(three, name + ".branch3x3_2a", 384, 3),
                                                              tall(three, name + ".branch3x3_2b", 384, 3)});
    ValueId twice = conv(x, name + ".branch3x3dbl_1", 448, 1);
    twice = conv(twice, name + ".branch3x3dbl_2", 384, 3, 1, 1);
    const ValueId twice_both = together(
        name + ".branch3x3dbl",
        {flat(twice, name + ".branch3x3dbl_3a", 384, 3), tall(twice, name + ".branch3x3dbl_3b", 384, 3)});
    return together(name, {one, three_both, twice_both, pool(x, name, 192)});
  }

 private:
  ValueId flat(ValueId x, const std::string& name, std::int64_t filters, std::uint32_t length) {
    return conv(x, name, filters, {1, length}, 1, {0, length / 2});
  }
  ValueId tall(ValueId x, const std::string& name, std::int64_t filters, std::uint32_t length) {
    return conv(x, name, filters, {length, 1}, 1, {length / 2, 0});
  }
  ValueId pool(ValueId x, const std::string& name, std::int64_t filters) {
    net_.part(name + ".pool", "avg_pool");
    const ValueId mean =
        net_.avg_pool(x, {.size = 3, .stride = 1, .padding = padded(1), .count_padding = true});
    return conv(mean, name + ".branch_pool", filters, 1);
  }
  ValueId together(const std::string& name, std::vector<ValueId> branches) {
    net_.part(name, "concat");
    return net_.concat(std::move(branches), 1);
  }

  Composer& net_;
};

}  // namespace

std::vector<ValueId> inception_v3(Draft& draft) {
  Composer& net = draft.net;
  Inception make(net);
  ValueId x = make.conv(draft.image(), "Conv2d_1a_3x3", 32, 3, 2);
  x = make.conv(x, "Conv2d_2a_3x3", 32, 3);
  x = make.conv(x, "Conv2d_2b_3x3", 64, 3, 1, 1);
  x = make.halve(x, "maxpool1");
  x = make.conv(x, "Conv2d_3b_1x1", 80, 1);
  x = make.conv(x, "Conv2d_4a_3x3", 192, 3);
  x = make.halve(x, "maxpool2");
  x = make.a(x, "Mixed_5b", 32);
  x = make.a(x, "Mixed_5c", 64);
  x = make.a(x, "Mixed_5d", 64);
  x = make.b(x, "Mixed_6a");
  x = make.c(x, "Mixed_6b", 128);
  x = make.c(x, "Mixed_6c", 160);
  x = make.c(x, "Mixed_6d", 160);
  x = make.c(x, "Mixed_6e", 192);
  x = make.d(x, "Mixed_7a");
  x = make.e(make.e(x, "Mixed_7b"), "Mixed_7c");
  net.part("avgpool", "global_avg_pool");
  x = net.dropout(net.flatten(net.global_pool(Kind::avg_pool, x)), draft.options.dropout);
  return {net.dense(x, "fc", {.units = draft.classes()})};
}

}  // namespace trainyard::graph
