#include "daemons/trainer/bundle/chart.hpp"

#include <catch2/catch.hpp>
#include <cmath>

using namespace trainyard;
using namespace trainyard::trainer;

namespace {

std::vector<EpochRow> history(std::initializer_list<double> losses) {
  std::vector<EpochRow> rows;
  for (const double loss : losses)
    rows.push_back({rows.size() + 1, 10 * (rows.size() + 1), {{"train/loss", loss}}});
  return rows;
}

}  // namespace

TEST_CASE("the lines of an axis are round numbers, at most five above 0", "[trainer]") {
  CHECK(tick_of(1) == Approx(0.2));
  CHECK(tick_of(1.6) == Approx(0.5));
  CHECK(tick_of(0.93) == Approx(0.2));
  CHECK(tick_of(5.1) == Approx(2));
  CHECK(tick_of(47) == Approx(10));
  for (double most = 1e-6; most < 1e6; most *= 1.37) {
    CHECK(tick_of(most) * 5 >= most * (1 - 1e-9));
    CHECK(tick_of(most) * 1.9 < most);
  }
}

TEST_CASE("a chart draws each metric that is there, and says its last value", "[trainer]") {
  const auto rows = history({1.5, 1.0, 0.5});
  const std::string svg = chart_svg({"loss", "train/loss", "validation/loss", 0}, rows);
  CHECK_THAT(svg, Catch::Contains("train/loss 0.500") && Catch::Contains("epoch 1") &&
                      !Catch::Contains("validation/loss"));
  CHECK(svg.find("<polyline") == svg.rfind("<polyline"));
}

TEST_CASE("values that are no numbers, one epoch and none at all leave no broken picture", "[trainer]") {
  CHECK(chart_svg({"loss", "train/loss", "validation/loss", 0}, {}).empty());
  CHECK(chart_svg({"loss", "train/loss", "validation/loss", 0}, history({NAN})).empty());
  const std::string one = chart_svg({"loss", "train/loss", "validation/loss", 0}, history({0.7}));
  CHECK(one.find("nan") == std::string::npos);
  CHECK(one.find("<circle") != std::string::npos);
  const std::string gap = chart_svg({"loss", "train/loss", "validation/loss", 0}, history({1, INFINITY, 2}));
  CHECK(gap.find("inf") == std::string::npos);
}
