#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "common/data/dataset.hpp"
#include "tests/unit/data/pictures.hpp"

using namespace trainyard;

namespace {

Result<data::Image> decode(const std::string& bytes, std::uint32_t height = 0, std::uint32_t width = 0) {
  return data::decode_jpeg(std::as_bytes(std::span(bytes)), height, width);
}

std::string opening_error(const std::filesystem::path& path) {
  config::DataSection section;
  section.path = path.string();
  const auto dataset = data::open_dataset(section);
  return dataset ? "" : dataset.error().message;
}

}  // namespace

TEST_CASE("a JPEG is decoded at the smallest fraction that is large enough", "[data]") {
  const auto whole = decode(test::jpeg(320, 240));
  REQUIRE(whole.has_value());
  CHECK(whole->width == 320);
  CHECK(whole->height == 240);
  const auto small = decode(test::jpeg(320, 240), 64, 64);
  REQUIRE(small.has_value());
  CHECK(small->height >= 64);
  CHECK(small->height < 120);
}

TEST_CASE("what is not a picture says why", "[data]") {
  CHECK(decode("").error().message == "the file is empty");
  CHECK(decode("\x89PNG\r\n\x1a\n0000").error().message == "not a JPEG (it is a PNG)");
  CHECK(decode("hello world").error().message == "not a JPEG");
  const std::string whole = test::jpeg(64, 64);
  CHECK_THAT(decode(whole.substr(0, whole.size() / 2)).error().message, Catch::StartsWith("damaged JPEG: "));
}

TEST_CASE("a header that promises a huge picture is refused before memory is taken", "[data]") {
  std::string bytes = test::jpeg(64, 64);
  const auto frame = bytes.find("\xff\xc0");
  REQUIRE(frame != std::string::npos);
  bytes.replace(frame + 5, 4, "\xea\x60\xea\x60", 4);  // 60000 x 60000
  CHECK_THAT(decode(bytes).error().message,
             Catch::StartsWith("the header says 60000 x 60000 pixels, too many for "));
}

TEST_CASE("what is no file is told at once, and never waited for", "[data]") {
  const test::TempDir dir;
  CHECK(data::read_image(dir.path.string(), 0, 0).error().message == "is a folder");
  REQUIRE(::mkfifo((dir.path / "pipe.jpg").c_str(), 0600) == 0);
  CHECK(data::read_image((dir.path / "pipe.jpg").string(), 0, 0).error().message == "is no regular file");
  CHECK(data::read_image("/dev/zero", 0, 0).error().message == "is no regular file");
  const auto absent = data::read_image((dir.path / "absent.jpg").string(), 0, 0);
  CHECK(absent.error().code == Errc::not_found);
  CHECK(absent.error().message == "No such file or directory");
}

TEST_CASE("damaged pictures never crash the decoder", "[data]") {
  const std::string whole = test::jpeg(48, 32);
  for (std::size_t i = 0; i < whole.size(); i += 3) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x5a);
    const auto image = decode(damaged);
    if (image) CHECK(image->pixels.size() == std::size_t{image->width} * image->height * 3);
    static_cast<void>(decode(whole.substr(0, i)).has_value());
  }
}

TEST_CASE("a folder that cannot be a dataset says what is missing", "[data]") {
  test::TempDir dir;
  const std::string root = dir.path.string();
  CHECK(opening_error(dir.path / "none") == root + "/none does not exist");
  CHECK(opening_error(dir.path) == root + " has no class folders; expected " + root + "/<class>/*.jpg");
  test::write(dir.path / "rose" / "a.jpg", test::jpeg(8, 8));
  std::filesystem::create_directory(dir.path / "tulip");
  CHECK(opening_error(dir.path) ==
        "class folder " + root + "/tulip has no pictures; expected *.jpg or *.jpeg");
}
