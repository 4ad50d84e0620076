#include "common/graph/loss_scale.hpp"

#include <catch2/catch.hpp>

namespace trainyard::graph {

TEST_CASE("the scale of a loss doubles after 2,000 clean steps in a row", "[precision]") {
  LossScale scale;
  const float first = scale.value();
  for (int step = 0; step < 1999; ++step) CHECK_FALSE(scale.overflows(true));
  CHECK(scale.value() == first);
  CHECK_FALSE(scale.overflows(true));
  CHECK(scale.value() == 2 * first);
}

TEST_CASE("an overflow halves the scale of a loss, leaves the step out and begins to count anew",
          "[precision]") {
  LossScale scale;
  const float first = scale.value();
  for (int step = 0; step < 1999; ++step) (void)scale.overflows(true);
  CHECK(scale.overflows(false));
  CHECK(scale.value() == first / 2);
  for (int step = 0; step < 1999; ++step) (void)scale.overflows(true);
  CHECK(scale.value() == first / 2);
  (void)scale.overflows(true);
  CHECK(scale.value() == first);
}

TEST_CASE("the scale of a loss has a floor, where an overflow is no matter of it, and a ceiling",
          "[precision]") {
  LossScale scale;
  int halved = 0;
  while (scale.overflows(false)) REQUIRE(++halved < 100);
  CHECK(scale.value() == 1);
  CHECK_FALSE(scale.overflows(false));
  CHECK(scale.value() == 1);
  for (int step = 0; step < 2000 * 40; ++step) (void)scale.overflows(true);
  CHECK(scale.value() == LossScale::kMost);
}

}  // namespace trainyard::graph
