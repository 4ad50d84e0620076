#include <zlib.h>

#include <array>
#include <filesystem>
#include <memory>

#include "common/base/text.hpp"
#include "common/data/sources.hpp"

namespace trainyard::data {

namespace {

constexpr std::uint32_t magic_images = 0x803, magic_labels = 0x801;
constexpr std::uint32_t side_max = 1024, records_max = 10'000'000;

struct Closer {
  void operator()(gzFile_s* file) const { gzclose(file); }
};

/// One idx file; zlib also reads files that are not gzipped.
class IdxFile {
 public:
  static Result<IdxFile> open(const std::string& folder, const std::string& name) {
    IdxFile file;
    for (const std::string& path : {format("{}/{}", folder, name), format("{}/{}.gz", folder, name)}) {
      if (!std::filesystem::exists(path)) continue;
      file.path_ = path;
      file.file_.reset(gzopen(path.c_str(), "rb"));
      if (!file.file_) return Error{Errc::io, format("{}: cannot be opened", path)};
      return file;
    }
    return Error{Errc::not_found, format("{} has neither {} nor {}.gz", folder, name, name)};
  }
  Result<std::uint32_t> number() {
    std::array<unsigned char, 4> bytes{};
    if (const Status status = read(bytes.data(), bytes.size()); !status) return status.error();
    return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 |
           bytes[3];
  }
  Status read(unsigned char* to, std::size_t size) {
    while (size > 0) {
      const int got = gzread(file_.get(), to, static_cast<unsigned>(std::min<std::size_t>(size, 1 << 30)));
      if (got <= 0) return Error{Errc::corrupt, format("{}: the file ends too early", path_)};
      to += got;
      size -= static_cast<std::size_t>(got);
    }
    return {};
  }
  Status expect_end() {
    if (gzgetc(file_.get()) != -1)
      return Error{Errc::corrupt, format("{}: more data than its header says", path_)};
    return {};
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::unique_ptr<gzFile_s, Closer> file_;
};

struct Part {
  std::uint32_t height = 0, width = 0;
  std::vector<std::uint8_t> pixels, labels;
};

/// The header's numbers, each at most its bound; the first is the magic.
Result<std::vector<std::uint32_t>> header(IdxFile& file, std::uint32_t magic, std::size_t dimensions) {
  std::vector<std::uint32_t> numbers;
  for (std::size_t i = 0; i <= dimensions; ++i) {
    const auto number = file.number();
    if (!number) return number.error();
    const std::uint32_t bound = i == 0 ? magic : i == 1 ? records_max : side_max;
    if (*number > bound || (i == 0 && *number != magic) || *number == 0)
      return Error{Errc::corrupt, format("{}: not an idx file of the expected kind", file.path())};
    numbers.push_back(*number);
  }
  return numbers;
}

Result<Part> read_part(const std::string& folder, const std::string& prefix) {
  auto images = IdxFile::open(folder, prefix + "-images-idx3-ubyte");
  if (!images) return images.error();
  auto labels = IdxFile::open(folder, prefix + "-labels-idx1-ubyte");
  if (!labels) return labels.error();
  const auto image_header = header(*images, magic_images, 3);
  if (!image_header) return image_header.error();
  const auto label_header = header(*labels, magic_labels, 1);
  if (!label_header) return label_header.error();
  const std::uint32_t count = (*image_header)[1];
  if (count != (*label_header)[1])
    return Error{Errc::corrupt, format("{}: {} pictures but {} labels", folder, count, (*label_header)[1])};
  Part part{(*image_header)[2], (*image_header)[3], {}, {}};
  part.labels.resize(count);
  if (const Status status = labels->read(part.labels.data(), count); !status) return status.error();
  if (const Status status = labels->expect_end(); !status) return status.error();
  // Grown picture by picture: a header may promise more than the file holds.
  const std::size_t one = std::size_t{part.height} * part.width;
  for (std::uint32_t i = 0; i < count; ++i) {
    part.pixels.resize(part.pixels.size() + one);
    if (const Status status = images->read(part.pixels.data() + i * one, one); !status) return status.error();
    if (part.labels[i] > 9)
      return Error{Errc::corrupt, format("{}: label {} is not a digit", folder, part.labels[i])};
  }
  if (const Status status = images->expect_end(); !status) return status.error();
  return part;
}

class Mnist final : public Dataset {
 public:
  static Result<std::unique_ptr<Dataset>> open(const std::string& path) {
    auto train = read_part(path, "train");
    if (!train) return train.error();
    auto test = read_part(path, "t10k");
    if (!test) return test.error();
    if (train->height != test->height || train->width != test->width)
      return Error{Errc::corrupt, format("{}: training and test pictures differ in size", path)};
    auto set = std::make_unique<Mnist>();
    set->train_ = std::move(*train);
    set->test_ = std::move(*test);
    for (int digit = 0; digit < 10; ++digit) set->classes_.push_back(std::to_string(digit));
    return std::unique_ptr<Dataset>(std::move(set));
  }

  std::uint32_t size() const override {
    return static_cast<std::uint32_t>(train_.labels.size() + test_.labels.size());
  }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::int32_t label(std::uint32_t record) const override {
    return record < trained() ? train_.labels.at(record) : test_.labels.at(record - trained());
  }
  std::string name(std::uint32_t record) const override {
    return record < trained() ? format("train/{}", record) : format("t10k/{}", record - trained());
  }
  std::uint32_t channels() const override { return 1; }
  Result<Image> read(std::uint32_t record, std::uint32_t, std::uint32_t) const override {
    const Part& part = record < trained() ? train_ : test_;
    const std::size_t one = std::size_t{part.height} * part.width;
    const auto* first = part.pixels.data() + one * (record < trained() ? record : record - trained());
    return Image{part.width, part.height, 1, {first, first + one}};
  }
  std::vector<std::uint32_t> given_test() const override {
    std::vector<std::uint32_t> records;
    for (std::uint32_t i = trained(); i < size(); ++i) records.push_back(i);
    return records;
  }

 private:
  std::uint32_t trained() const { return static_cast<std::uint32_t>(train_.labels.size()); }
  Part train_, test_;
  std::vector<std::string> classes_;
};

}  // namespace

Result<std::unique_ptr<Dataset>> open_mnist(const std::string& path) { return Mnist::open(path); }

}  // namespace trainyard::data
