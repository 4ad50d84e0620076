#include "daemons/cli/submission.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "common/base/text.hpp"
#include "common/config/read.hpp"

namespace trainyard::cli {

namespace {

namespace fs = std::filesystem;

/// Class folders of an image dataset must each hold something; an empty one is a mistake, not a class.
Status check_image_folder(const std::string& path) {
  std::error_code failed;
  std::vector<std::string> empty;
  std::size_t classes = 0;
  for (fs::directory_iterator entry(path, failed), end; !failed && entry != end; entry.increment(failed)) {
    const std::string name = entry->path().filename().string();
    std::error_code ignored;
    if (name.front() == '.' || !entry->is_directory(ignored)) continue;
    ++classes;
    if (fs::is_empty(entry->path(), ignored)) empty.push_back(name);
  }
  if (failed) return Error{Errc::invalid, format("data.source.path: {}: {}", path, failed.message())};
  if (classes == 0) {
    return Error{Errc::invalid,
                 format("data.source.path: {} has no folders; images lie in one folder a class", path)};
  }
  if (!empty.empty()) {
    std::sort(empty.begin(), empty.end());
    return Error{Errc::invalid, format("data.source.path: {}: class folder{} without images: {}", path,
                                       empty.size() == 1 ? "" : "s", join(empty, ", "))};
  }
  return {};
}

/// The nearest folder above `path` that exists must be one that we may write to.
Status check_output(const std::string& path) {
  fs::path at = path;
  std::error_code ignored;
  while (!fs::exists(at, ignored) && at.has_relative_path()) at = at.parent_path();
  if (!fs::is_directory(at, ignored)) {
    return Error{Errc::invalid, format("output.path: {} is no folder", at.string())};
  }
  if (access(at.c_str(), W_OK) != 0) {
    return Error{Errc::invalid, format("output.path: {} cannot be written to", at.string())};
  }
  return {};
}

}  // namespace

Result<config::JobSpec> load_job(const std::string& file, const std::vector<std::string>& overrides) {
  std::vector<config::Override> parsed;
  for (const std::string& text : overrides) {
    auto one = config::parse_override(text);
    if (!one) return one.error();
    parsed.push_back(std::move(*one));
  }
  const auto text = config::load_text(file);
  if (!text) return Error{Errc::invalid, text.error().message};
  std::error_code failed;
  const fs::path absolute = fs::absolute(file, failed);
  if (failed) return Error{Errc::invalid, format("{}: {}", file, failed.message())};
  return config::read_job(*text, file, absolute.parent_path().string(), parsed);
}

Status check_paths(const config::JobSpec& spec) {
  std::error_code failed;
  const std::string& path = spec.data.path;
  if (!path.empty()) {
    const auto status = fs::status(path, failed);
    if (!fs::exists(status))
      return Error{Errc::invalid, format("data.source.path: {}: there is no such path", path)};
    if (!fs::is_directory(status))
      return Error{Errc::invalid, format("data.source.path: {} is no folder", path)};
    if (spec.data.source == config::SourceKind::images) {
      if (auto checked = check_image_folder(path); !checked) return checked;
    }
  }
  if (!spec.model.onnx.empty() && !fs::is_regular_file(spec.model.onnx, failed))
    return Error{Errc::invalid, format("model.onnx: {}: there is no such file", spec.model.onnx)};
  return spec.output.path.empty() ? Status{} : check_output(spec.output.path);
}

double cpus_needed(const config::JobSpec& spec) {
  const auto& cluster = spec.cluster;
  return cluster.trainers * cluster.trainer.cpus +
         cluster.parameter_servers * (1 + cluster.replicas) * cluster.ps.cpus;
}

Result<Json> submit_job(const Client& client, const config::JobSpec& spec, bool dry_run) {
  if (net::is_loopback(client.target().endpoint)) {
    if (auto checked = check_paths(spec); !checked) return checked.error();
  }
  const Client::Query query = dry_run ? Client::Query{{"dry_run", "1"}} : Client::Query{};
  return client.post("/jobs", query, config::print_job(spec));
}

}  // namespace trainyard::cli
