#include "common/base/fields.hpp"

#include <catch2/catch.hpp>

#include "common/base/bytes.hpp"

namespace trainyard::shapes {

enum class Colour : std::uint8_t { red, green };
constexpr Colour last_value(Colour) { return Colour::green; }

struct Circle {
  std::uint32_t radius = 7;
  std::string label;
  friend bool operator==(const Circle&, const Circle&) = default;
};
struct Drawing {
  Colour colour = Colour::red;
  Duration took{};
  std::int8_t small = 0;
  bool final = false;
  double share = 0;
  std::vector<Circle> circles;
  std::map<std::string, std::uint64_t> counts;
  friend bool operator==(const Drawing&, const Drawing&) = default;
};
using Shape = std::variant<Circle, Drawing>;

template <typename V>
void fields(V& v, Circle& r) {
  v("radius", r.radius), v("label", r.label);
}
template <typename V>
void fields(V& v, Drawing& r) {
  v("colour", r.colour), v("took", r.took), v("small", r.small), v("final", r.final), v("share", r.share);
  v("circles", r.circles), v("counts", r.counts);
}

}  // namespace trainyard::shapes

namespace trainyard {

using shapes::Circle, shapes::Drawing, shapes::Shape;

TEST_CASE("a struct comes back from the JSON of its fields, also text that is not UTF-8", "[base]") {
  const Drawing drawing{.colour = shapes::Colour::green,
                        .took = -3ns,
                        .small = -128,
                        .final = true,
                        .share = 0.1,
                        .circles = {{1, "\xc3\xa4 \"x\"\n"}, {4'000'000'000u, std::string("\xff\0b", 3)}},
                        .counts = {{"most", ~std::uint64_t{0}}}};
  const auto json = parse_json(to_text(to_json(drawing)));
  REQUIRE(json.has_value());
  const auto back = from_json<Drawing>(*json, "drawing");
  REQUIRE(back.has_value());
  CHECK(*back == drawing);
}

TEST_CASE("a field that is not there has its default, one that is wrong is named", "[base]") {
  const auto read = [](const char* text) { return from_json<Drawing>(*parse_json(text), "drawing"); };
  CHECK(read(R"({"circles":[{}]})").value().circles.at(0) == Circle{});
  CHECK(read(R"({"circles":[{"radius":-1}]})").error() ==
        Error{Errc::corrupt, "drawing: circles: 'radius' has the wrong type"});
  for (const char* wrong :
       {R"({"colour":2})", R"({"small":128})", R"({"final":1})", R"({"share":"1"})", R"({"took":1e99})",
        R"({"counts":{}})", R"({"counts":[["a"]]})", R"({"circles":[{"label":{"hex":"0"}}]})",
        R"({"circles":[{"label":{"hex":"0G"}}]})", R"([])"}) {
    INFO(wrong);
    CHECK_FALSE(read(wrong).has_value());
  }
}

TEST_CASE("one of several structs says which it is", "[base]") {
  constexpr VariantFields<Shape> shape("shape", {"circle", "drawing"});
  const auto read = [&](const Json& json) { return shape.read(json); };
  CHECK(to_text(shape.write(Circle{3, "c"})) == R"({"shape":"circle","radius":3,"label":"c"})");
  CHECK(std::get<Circle>(*read(shape.write(Circle{3, "c"}))) == Circle{3, "c"});
  CHECK(std::get<Drawing>(*read(shape.write(Drawing{.small = 5}))).small == 5);
  CHECK(read(Json::object()).error().message == "it does not say which shape it is");
  CHECK(read(Json{{"shape", "square"}}).error().message == "shape 'square' is not known to this release");
  CHECK(read(Json{{"shape", "circle"}, {"radius", "x"}}).error().message ==
        "shape 'circle': 'radius' has the wrong type");
}

TEST_CASE("hex digits give the bytes back, anything else gives nothing", "[base]") {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  CHECK(from_hex(to_hex(all)) == all);
  CHECK(to_hex(std::string_view("\x0f\xa0", 2)) == "0fa0");
  for (const char* wrong : {"0", "0g", "0A", " 0"}) CHECK_FALSE(from_hex(wrong).has_value());
}

TEST_CASE("UTF-8 is told from what only looks like it", "[base]") {
  for (const char* good : {"", "plain", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x8c\xbb"}) CHECK(is_utf8(good));
  for (const char* bad : {"\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\x80"})
    CHECK_FALSE(is_utf8(bad));
}

}  // namespace trainyard
