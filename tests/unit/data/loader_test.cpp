#include "common/data/loader.hpp"

#include <catch2/catch.hpp>

#include "tests/unit/data/pictures.hpp"

using namespace trainyard;

namespace {

config::Transform transform(config::Transform::Kind kind, std::uint32_t size = 0, double scale_min = 1.0) {
  config::Transform out;
  out.kind = kind;
  out.height = out.width = size;
  out.scale_min = scale_min;
  return out;
}

struct Fixture {
  test::TempDir dir;
  std::unique_ptr<data::Dataset> dataset;
  Fixture() {
    for (int i = 0; i < 12; ++i) {
      test::write(dir.path / "a" / (std::to_string(10 + i) + ".jpg"), test::jpeg(40 + i, 50, 20 * i));
      test::write(dir.path / "b" / (std::to_string(10 + i) + ".jpg"), test::jpeg(50, 40 + i, 255 - 20 * i));
    }
    config::DataSection section;
    section.path = dir.path.string();
    auto opened = data::open_dataset(section);
    REQUIRE(opened.has_value());
    dataset = std::move(*opened);
  }
};

using Kind = config::Transform::Kind;

}  // namespace

TEST_CASE("batches come in the order of the requests and do not depend on the threads", "[data]") {
  Fixture fixture;
  const auto pipeline =
      data::Pipeline::make({transform(Kind::crop, 16, 0.5), transform(Kind::flip)}, *fixture.dataset).value();
  const auto run = [&](std::uint32_t threads) {
    data::Loader loader(*fixture.dataset, pipeline, threads, 2, 7);
    for (std::uint64_t step = 0; step < 6; ++step)
      loader.request(step, 1, true,
                     {static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(step + 12)});
    std::vector<float> all;
    for (std::uint64_t step = 0; step < 6; ++step) {
      const auto batch = loader.next();
      REQUIRE(batch.has_value());
      CHECK(batch->step == step);
      CHECK(batch->labels == std::vector<std::int32_t>{0, 1});
      all.insert(all.end(), batch->images.begin(), batch->images.end());
    }
    CHECK_FALSE(loader.next());
    return all;
  };
  const auto once = run(1);
  CHECK(once.size() == 6 * 2 * 3 * 16 * 16);
  CHECK(once == run(3));
}

TEST_CASE("records that cannot be read are left out and named", "[data]") {
  Fixture fixture;
  test::write(fixture.dir.path / "a" / "10.jpg", "broken");
  const auto pipeline = data::Pipeline::make({transform(Kind::resize, 8)}, *fixture.dataset).value();
  data::Loader loader(*fixture.dataset, pipeline, 1, 1, 7);
  loader.request(0, 0, true, {0, 1});
  const auto batch = loader.next();
  REQUIRE(batch.has_value());
  CHECK(batch->count() == 1);
  REQUIRE(batch->bad.size() == 1);
  CHECK_THAT(batch->bad[0], Catch::StartsWith("a/10.jpg: ") && Catch::EndsWith("not a JPEG"));
}

TEST_CASE("resizing keeps a constant picture and averages when it shrinks", "[data]") {
  Fixture fixture;
  const auto pipeline = data::Pipeline::make({transform(Kind::resize, 4)}, *fixture.dataset).value();
  data::Image image{32, 32, 3, std::vector<std::uint8_t>(32 * 32 * 3, 51)};
  std::vector<float> out(pipeline.floats());
  REQUIRE(pipeline.apply(image, false, 0, out).has_value());
  for (const float value : out) CHECK(value == Approx(0.2));
  for (std::size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = (i / 3) % 2 == 0 ? 0 : 255;
  REQUIRE(pipeline.apply(image, false, 0, out).has_value());
  for (const float value : out) CHECK(value == Approx(0.5).margin(0.07));
}

TEST_CASE("random transforms act in training alone", "[data]") {
  Fixture fixture;
  const auto pipeline =
      data::Pipeline::make({transform(Kind::crop, 16, 0.4), transform(Kind::flip)}, *fixture.dataset).value();
  const auto image = fixture.dataset->read(3, 0, 0).value();
  std::vector<float> a(pipeline.floats()), b(pipeline.floats());
  REQUIRE(pipeline.apply(image, false, 1, a).has_value());
  REQUIRE(pipeline.apply(image, false, 2, b).has_value());
  CHECK(a == b);
  REQUIRE(pipeline.apply(image, true, 1, a).has_value());
  REQUIRE(pipeline.apply(image, true, 2, b).has_value());
  CHECK(a != b);
}

TEST_CASE("a pipeline without a common size is refused", "[data]") {
  Fixture fixture;
  CHECK_THAT(data::Pipeline::make({}, *fixture.dataset).error().message,
             Catch::Contains("add a resize or a crop"));
}
