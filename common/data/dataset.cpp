#include "common/data/dataset.hpp"

#include <filesystem>

#include "common/base/text.hpp"
#include "common/data/sources.hpp"

namespace trainyard::data {

Result<std::unique_ptr<Dataset>> open_dataset(const config::DataSection& data) {
  std::error_code error;
  const auto status = std::filesystem::status(data.path, error);
  if (error || !std::filesystem::exists(status))
    return Error{Errc::not_found, format("{} does not exist", data.path)};
  if (!std::filesystem::is_directory(status))
    return Error{Errc::invalid, format("{} is not a folder", data.path)};
  switch (data.source) {
    case config::SourceKind::images:
      return open_image_folder(data.path);
    case config::SourceKind::mnist:
      return open_mnist(data.path);
  }
  return Error{Errc::invalid, "data.source.kind is unknown"};
}

}  // namespace trainyard::data
