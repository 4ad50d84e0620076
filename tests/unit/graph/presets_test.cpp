#include "common/graph/presets.hpp"

#include <catch2/catch.hpp>

#include "common/base/text.hpp"
#include "common/config/presets.hpp"

namespace trainyard::graph::test {

namespace {

Model model(const std::string& name, const DataShape& data) {
  auto made = preset_model(name, config::find_preset(name)->defaults, data, 2);
  if (!made) FAIL(made.error().message);
  return std::move(made->model);
}

/// Values that a training changes: PyTorch counts no buffers.
std::uint64_t parameters(const Model& model) {
  std::uint64_t count = 0;
  for (const TensorInfo& tensor : model.tensors)
    if (tensor.kind != TensorKind::buffer) count += tensor.length;
  return count;
}

DataShape images(std::int64_t channels, std::int64_t side, std::uint32_t classes) {
  return {.image = {channels, side, side}, .classes = classes};
}

std::string problem(const std::string& name, const DataShape& data) {
  const auto made = preset_model(name, config::find_preset(name)->defaults, data, 2);
  return made ? "" : made.error().message;
}

}  // namespace

TEST_CASE("well-known networks have as many parameters as their authors say", "[presets]") {
  CHECK(parameters(model("lenet5", images(1, 28, 10))) == 61'706);
  CHECK(parameters(model("lenet5", images(1, 32, 10))) == 61'706);
  CHECK(parameters(model("alexnet", images(3, 224, 1000))) == 61'100'840);
  CHECK(parameters(model("vgg16", images(3, 224, 1000))) == 138'357'544);
  CHECK(parameters(model("resnet18", images(3, 224, 1000))) == 11'689'512);
  CHECK(parameters(model("resnet50", images(3, 224, 1000))) == 25'557'032);
  CHECK(parameters(model("resnet20", images(3, 32, 10))) == 272'474);
  CHECK(parameters(model("mobilenet_v2", images(3, 224, 1000))) == 3'504'872);
  CHECK(parameters(model("squeezenet_1_1", images(3, 224, 1000))) == 1'235'496);
  CHECK(parameters(model("inception_v3", images(3, 299, 1000))) == 23'834'568);
}

TEST_CASE("the size of the images changes no tensor", "[presets]") {
  for (const char* name : {"alexnet", "vgg16", "resnet18", "mobilenet_v2", "inception_v3"}) {
    INFO(name);
    const Model large = model(name, images(3, 299, 7)), small = model(name, images(3, 160, 7));
    REQUIRE(large.tensors.size() == small.tensors.size());
    for (std::size_t i = 0; i < large.tensors.size(); ++i) {
      CHECK(large.tensors[i].name == small.tensors[i].name);
      CHECK(large.tensors[i].shape == small.tensors[i].shape);
    }
  }
}

TEST_CASE("tensors have torchvision's names and shapes", "[presets]") {
  using Dims = std::vector<std::int64_t>;
  const auto has = [](const Model& model, const std::string& name, const Dims& shape) {
    for (const TensorInfo& tensor : model.tensors)
      if (tensor.name == name) return tensor.shape == shape;
    return false;
  };
  const Model resnet = model("resnet18", images(3, 224, 1000));
  CHECK(has(resnet, "conv1.weight", {64, 3, 7, 7}));
  CHECK(has(resnet, "bn1.running_var", {64}));
  CHECK(has(resnet, "layer2.0.downsample.0.weight", {128, 64, 1, 1}));
  CHECK(has(resnet, "layer2.0.downsample.1.bias", {128}));
  CHECK(has(resnet, "layer4.1.conv2.weight", {512, 512, 3, 3}));
  CHECK(has(resnet, "fc.weight", {1000, 512}));
  CHECK(has(model("resnet50", images(3, 224, 10)), "layer3.5.conv3.weight", {1024, 256, 1, 1}));
  const Model vgg = model("vgg16", images(3, 224, 1000));
  CHECK(has(vgg, "features.28.weight", {512, 512, 3, 3}));
  CHECK(has(vgg, "classifier.6.bias", {1000}));
  const Model alexnet = model("alexnet", images(3, 224, 1000));
  CHECK(has(alexnet, "features.10.weight", {256, 256, 3, 3}));
  CHECK(has(alexnet, "classifier.1.weight", {4096, 9216}));
  const Model mobilenet = model("mobilenet_v2", images(3, 224, 1000));
  CHECK(has(mobilenet, "features.0.0.weight", {32, 3, 3, 3}));
  CHECK(has(mobilenet, "features.1.conv.0.0.weight", {32, 1, 3, 3}));
  CHECK(has(mobilenet, "features.1.conv.1.weight", {16, 32, 1, 1}));
  CHECK(has(mobilenet, "features.17.conv.1.0.weight", {960, 1, 3, 3}));
  CHECK(has(mobilenet, "features.17.conv.3.running_mean", {320}));
  CHECK(has(mobilenet, "features.18.0.weight", {1280, 320, 1, 1}));
  CHECK(has(mobilenet, "classifier.1.weight", {1000, 1280}));
  const Model squeezenet = model("squeezenet_1_1", images(3, 224, 1000));
  CHECK(has(squeezenet, "features.12.expand3x3.weight", {256, 64, 3, 3}));
  CHECK(has(squeezenet, "classifier.1.weight", {1000, 512, 1, 1}));
  const Model inception = model("inception_v3", images(3, 299, 1000));
  CHECK(has(inception, "Conv2d_1a_3x3.conv.weight", {32, 3, 3, 3}));
  CHECK(has(inception, "Mixed_6b.branch7x7dbl_5.conv.weight", {192, 128, 1, 7}));
  CHECK(has(inception, "Mixed_7c.branch3x3dbl_3b.bn.weight", {384}));
}

TEST_CASE("presets for text and tables have the inputs and results that they promise", "[presets]") {
  const DataShape text{.steps = 20, .vocabulary = 50, .classes = 4};
  for (const char* name : {"text_cnn", "fasttext", "bilstm", "transformer_encoder"}) {
    INFO(name);
    const Model made = model(name, text);
    REQUIRE(made.graph.externals.size() == 2);
    CHECK(made.graph.externals[0].name == "ids");
    CHECK(made.graph.externals[1].name == "lengths");
    CHECK(made.graph.shape(made.graph.results[0]).text() == "[N, 4]");
  }
  const Model tagger = model("bilstm_crf", text);
  REQUIRE(tagger.graph.results.size() == 3);
  CHECK(tagger.graph.shape(tagger.graph.results[0]).text() == "[N, 20, 4]");
  CHECK(tagger.graph.shape(tagger.graph.results[1]).text() == "[6, 6]");
  for (const char* name : {"wide_deep", "deepfm"}) {
    INFO(name);
    const DataShape table{.vocabulary = 100, .numbers = 3, .categories = 5, .classes = 2};
    const Model made = model(name, table);
    CHECK(made.graph.externals[0].name == "numbers");
    CHECK(made.graph.externals[1].name == "categories");
    CHECK(made.graph.shape(made.graph.results[0]).text() == "[N, 1]");
    for (const DataShape& part :
         {DataShape{.vocabulary = 9, .categories = 2, .classes = 3}, DataShape{.numbers = 4, .classes = 3}}) {
      const Model one = model(name, part);
      CHECK(one.graph.externals.size() == 1);
      CHECK(one.graph.shape(one.graph.results[0]).text() == "[N, 3]");
    }
  }
}

TEST_CASE("what does not fit a preset is refused with the part that fails", "[presets]") {
  CHECK(problem("inception_v3", images(3, 32, 10)) ==
        "model.preset inception_v3, Mixed_6a.branch3x3.conv: conv2d of kernel 3 without padding on a 1x1 "
        "input; "
        "a larger image fits");
  CHECK_THAT(problem("resnet18", {.classes = 3}), Catch::Contains("needs images, and the data give none"));
  CHECK_THAT(problem("bilstm", images(3, 32, 3)), Catch::Contains("needs text"));
  CHECK_THAT(problem("deepfm", images(3, 32, 3)), Catch::Contains("needs a table"));
  CHECK_THAT(problem("text_cnn", {.steps = 2, .vocabulary = 9}),
             Catch::Contains("convs.0: conv1d of kernel 3 on 2 steps"));
}

}  // namespace trainyard::graph::test
