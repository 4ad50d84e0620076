#include <algorithm>
#include <filesystem>

#include "common/base/text.hpp"
#include "common/data/sources.hpp"

namespace trainyard::data {

namespace fs = std::filesystem;

namespace {

bool is_picture(const fs::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return extension == ".jpg" || extension == ".jpeg";
}

/// Names within a folder, sorted, hidden ones left out.
Result<std::vector<std::string>> names_in(const fs::path& folder, bool folders) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entries(folder, error), end;
  for (; !error && entries != end; entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    std::error_code kind_error;
    if (name.starts_with('.')) continue;
    if (folders ? entries->is_directory(kind_error) : is_picture(entries->path())) names.push_back(name);
  }
  if (error) return Error{Errc::io, format("cannot list {}: {}", folder.string(), error.message())};
  std::sort(names.begin(), names.end());
  return names;
}

class ImageFolder final : public Dataset {
 public:
  static Result<std::unique_ptr<Dataset>> open(const std::string& path) {
    auto folder = std::make_unique<ImageFolder>();
    folder->root_ = path;
    auto classes = names_in(path, true);
    if (!classes) return classes.error();
    if (classes->empty())
      return Error{Errc::invalid, format("{} has no class folders; expected {}/<class>/*.jpg", path, path)};
    folder->classes_ = std::move(*classes);
    for (std::size_t label = 0; label < folder->classes_.size(); ++label) {
      const auto pictures = names_in(fs::path(path) / folder->classes_[label], false);
      if (!pictures) return pictures.error();
      if (pictures->empty())
        return Error{Errc::invalid, format("class folder {}/{} has no pictures; expected *.jpg or *.jpeg",
                                           path, folder->classes_[label])};
      for (const std::string& picture : *pictures)
        folder->records_.push_back(
            {static_cast<std::int32_t>(label), folder->classes_[label] + "/" + picture});
    }
    return std::unique_ptr<Dataset>(std::move(folder));
  }

  std::uint32_t size() const override { return static_cast<std::uint32_t>(records_.size()); }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::int32_t label(std::uint32_t record) const override { return records_.at(record).label; }
  std::string name(std::uint32_t record) const override { return records_.at(record).name; }
  std::uint32_t channels() const override { return 3; }
  Result<Image> read(std::uint32_t record, std::uint32_t height_wanted,
                     std::uint32_t width_wanted) const override {
    return read_image(root_ + "/" + records_.at(record).name, height_wanted, width_wanted);
  }

 private:
  struct Record {
    std::int32_t label;
    std::string name;
  };
  std::string root_;
  std::vector<std::string> classes_;
  std::vector<Record> records_;
};

}  // namespace

Result<std::unique_ptr<Dataset>> open_image_folder(const std::string& path) {
  return ImageFolder::open(path);
}

}  // namespace trainyard::data
