#include "common/optim/parameters.hpp"

#include <catch2/catch.hpp>

using namespace trainyard;
using namespace trainyard::optim;

namespace {

const std::vector<NamedTensor> tensors{
    {"conv1.weight", 100, ValueKind::weight},   {"conv1.bias", 10, ValueKind::bias},
    {"bn1.weight", 10, ValueKind::bias},        {"bn1.running_mean", 10, ValueKind::buffer},
    {"dense12.weight", 200, ValueKind::weight}, {"dense12.bias", 5, ValueKind::bias}};

config::TrainSection train_section(std::vector<config::ParameterRule> rules = {}) {
  config::TrainSection train;
  train.optimizer.weight_decay = 0.5;
  train.parameters = std::move(rules);
  return train;
}

}  // namespace

TEST_CASE("a star stands for any text and a question mark for one character", "[optim]") {
  CHECK(matches("conv1.*", "conv1.weight"));
  CHECK_FALSE(matches("conv1.*", "conv12.weight"));
  CHECK(matches("*", ""));
  CHECK(matches("*.bias", "a.b.bias"));
  CHECK(matches("conv?.weight", "conv1.weight"));
  CHECK_FALSE(matches("conv?.weight", "conv12.weight"));
  CHECK_FALSE(matches("conv1", "conv1.weight"));
  CHECK_FALSE(matches("conv1.weight", "conv1"));
  CHECK(matches("*a*b*c", "xxaxxbxxbc"));
  CHECK_FALSE(matches("*a*b*c", "xxaxxbxxb"));
  CHECK_FALSE(matches(std::string(200, '*') + "b", std::string(250, 'a')));
}

TEST_CASE("only weights decay unless somebody says otherwise", "[optim]") {
  auto train = train_section();
  auto sizes = tensor_sizes(train, tensors).value();
  std::vector<double> decays;
  for (const auto& size : sizes) decays.push_back(size.decay);
  CHECK(decays == std::vector<double>{0.5, 0, 0, 0, 0.5, 0});
  train.optimizer.no_decay = {"dense*"};
  CHECK(tensor_sizes(train, tensors).value()[4].decay == 0);
  train.parameters = {{.match = "*.bias", .learning_rate = {}, .weight_decay = 0.25, .freeze = {}}};
  sizes = tensor_sizes(train, tensors).value();
  CHECK(sizes[1].decay == 0.25);
  CHECK(sizes[2].decay == 0);
  train = train_section();
  train.optimizer = config::optimizer_defaults(config::OptimizerKind::ftrl);
  CHECK(tensor_sizes(train, tensors).value()[0].decay == 1);  // the share of l1 and l2
  CHECK(tensor_sizes(train, tensors).value()[1].decay == 0);
}

TEST_CASE("the last entry that gives an option decides it", "[optim]") {
  const auto sizes =
      tensor_sizes(
          train_section({{.match = "*", .learning_rate = 0.1, .weight_decay = {}, .freeze = true},
                         {.match = "dense*", .learning_rate = {}, .weight_decay = {}, .freeze = false},
                         {.match = "*.bias", .learning_rate = 2.0, .weight_decay = {}, .freeze = {}}}),
          tensors)
          .value();
  CHECK(sizes[0].frozen);
  CHECK_FALSE(sizes[5].frozen);
  CHECK(sizes[4].rate == 0.1);
  CHECK(sizes[5].rate == 2.0);
  CHECK(sizes[3].kind == static_cast<std::uint8_t>(ValueKind::buffer));
  CHECK(sizes[3].length == 10);
}

TEST_CASE("a pattern that matches nothing names the tensors that were meant", "[optim]") {
  const auto unmatched = tensor_sizes(
      train_section({{.match = "conv1.*", .learning_rate = 1.0, .weight_decay = {}, .freeze = {}},
                     {.match = "cnv1.*", .learning_rate = 1.0, .weight_decay = {}, .freeze = {}}}),
      tensors);
  REQUIRE_FALSE(unmatched);
  CHECK(unmatched.error().code == Errc::invalid);
  CHECK_THAT(unmatched.error().message,
             Catch::StartsWith("train.parameters[1].match: 'cnv1.*' matches no tensor; the nearest are "
                               "conv1.weight, conv1.bias"));
  auto train = train_section();
  train.optimizer.no_decay = {"embedding*"};
  CHECK_THAT(tensor_sizes(train, tensors).error().message,
             Catch::StartsWith("train.optimizer.no_decay[0]: 'embedding*'"));
}

TEST_CASE("a job that freezes everything is refused", "[optim]") {
  const auto all = tensor_sizes(
      train_section({{.match = "*", .learning_rate = {}, .weight_decay = {}, .freeze = true}}), tensors);
  REQUIRE_FALSE(all);
  CHECK_THAT(all.error().message, Catch::Contains("nothing is left to train"));
}
