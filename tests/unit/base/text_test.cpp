#include "common/base/text.hpp"

#include <catch2/catch.hpp>

#include "common/base/json.hpp"
#include "common/base/random.hpp"

using namespace trainyard;

TEST_CASE("numbers are parsed whole or not at all", "[base]") {
  CHECK(parse_int("-12") == -12);
  CHECK_FALSE(parse_int("12 "));
  CHECK_FALSE(parse_int(""));
  CHECK_FALSE(parse_uint("-1"));
  CHECK_FALSE(parse_int("9223372036854775808"));
  CHECK(parse_double("1e-4") == 1e-4);
  CHECK_FALSE(parse_double("nan"));
  CHECK_FALSE(parse_double("inf"));
}

TEST_CASE("sizes have binary units", "[base]") {
  CHECK(parse_size("512").value() == 512);
  CHECK(parse_size("2GiB").value() == 2ull << 30);
  CHECK(parse_size("1.5KiB").value() == 1536);
  CHECK(parse_size("2GB").error().message ==
        "'2GB' is not a size; write bytes or a number with KiB, MiB, GiB or TiB");
  CHECK_FALSE(parse_size("99999999TiB"));
  CHECK_FALSE(parse_size("-1"));
  CHECK(size_text(1536) == "1.5KiB");
  CHECK(size_text(2ull << 30) == "2GiB");
}

TEST_CASE("durations need a unit", "[base]") {
  CHECK(parse_duration("250ms").value() == 250ms);
  CHECK(parse_duration("2h").value() == 2h);
  CHECK(parse_duration("0.5s").value() == 500ms);
  CHECK_FALSE(parse_duration("10"));
  CHECK_FALSE(parse_duration("10d"));
  for (const Duration d : {Duration{1ms}, Duration{60s}, Duration{90s}, Duration{2h}, Duration{0s}})
    CHECK(parse_duration(duration_text(d)).value() == d);
}

TEST_CASE("hints name the nearest word and stay silent about far ones", "[base]") {
  const std::vector<std::string> words{"momentum", "learning_rate", "kind"};
  CHECK(nearest("momentun", words) == "momentum");
  CHECK(nearest("kin", words) == "kind");
  CHECK_FALSE(nearest("epochs", words));
}

TEST_CASE("wall time is printed in UTC", "[base]") {
  CHECK(wall_text(1764000000123) == "2025-11-24T16:00:00.123Z");
}

TEST_CASE("foreign JSON is bounded", "[base]") {
  CHECK(parse_json(R"({"a": [1, 2]})").value()["a"][1] == 2);
  CHECK_FALSE(parse_json("{"));
  CHECK_FALSE(parse_json(std::string(100000, '[')));
  CHECK_FALSE(parse_json("[1,2,3]", 3));
  CHECK(parse_json(R"(["[[[\"[[["])").has_value());
}

TEST_CASE("a seed gives the same numbers, and keys change them", "[base]") {
  Random a(7), b(7), c(8);
  CHECK(a.next() == b.next());
  CHECK(a.next() != c.next());
  CHECK(mix(1, 2, 3) == mix(1, 2, 3));
  CHECK(mix(1, 2, 3) != mix(1, 3, 2));
  Random r(1);
  double sum = 0, squares = 0;
  for (int i = 0; i < 10000; ++i) {
    const double x = r.normal();
    sum += x;
    squares += x * x;
  }
  CHECK(std::abs(sum / 10000) < 0.05);
  CHECK(std::abs(squares / 10000 - 1) < 0.05);
}
