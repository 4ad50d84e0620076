#include "common/config/read.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "common/base/text.hpp"
#include "common/config/layer_kinds.hpp"
#include "common/config/tables.hpp"

namespace trainyard::config {

namespace {

namespace fs = std::filesystem;

/// The document with the overrides in place.
Result<Node> document_of(std::string_view text, const std::string& file,
                         std::span<const Override> overrides) {
  auto root = parse_document(text, file);
  if (!root) return root;
  if (root->kind != Node::Kind::map && root->kind != Node::Kind::null)
    return Error{Errc::invalid, format("{}:{}:{}: expected a map of keys at the top", file, root->place.line,
                                       root->place.column)};
  for (std::size_t i = 0; i < overrides.size(); ++i) {
    const std::string name = "--set " + overrides[i].path + "=" + shortened(overrides[i].value);
    auto value = parse_document(overrides[i].value, name);
    if (!value) return value;
    const std::function<void(Node&)> mark = [&](Node& node) {
      node.place.origin = static_cast<int>(i);
      for (Node& item : node.items) mark(item);
      for (Entry& entry : node.entries) {
        entry.place.origin = static_cast<int>(i);
        mark(entry.value);
      }
    };
    mark(*value);
    const Status status = put(*root, overrides[i].path, std::move(*value), static_cast<int>(i));
    if (!status) return status.error().with(name);
  }
  return root;
}

template <typename T>
Result<T> read_with(const Table<T>& table, std::string_view text, const std::string& file,
                    std::span<const Override> overrides, void (*check)(const Node&, const T&, Problems&),
                    Node& root_out) {
  auto root = document_of(text, file, overrides);
  if (!root) return root.error();
  Problems problems;
  T value{};
  read_section(*root, "", table, value, problems);
  if (problems.empty()) check(*root, value, problems);
  if (!problems.empty()) {
    std::vector<std::string> names;
    for (const Override& item : overrides) names.push_back(item.path + "=" + shortened(item.value));
    return Error{Errc::invalid, problems.text(file, names)};
  }
  root_out = std::move(*root);
  return value;
}

std::string absolute(const std::string& path, const Node& root, const std::string& where,
                     const std::string& base_dir) {
  if (path.empty()) return path;
  const bool overridden = nearest_node(root, where).place.origin >= 0;
  const fs::path base = overridden || base_dir.empty() ? fs::current_path() : fs::absolute(base_dir);
  return (base / path).lexically_normal().string();
}

Json with_title(const Json& schema, const std::string& title) {
  Json out{{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", title}};
  out.update(schema);
  return out;
}

std::string page(const std::string& title, const std::string& rows) {
  return format(
      "# {}\n\nPrinted by the program that reads the file.\n\n| key | value | default | meaning "
      "|\n|---|---|---|---|\n{}",
      title, rows);
}

}  // namespace

Result<Override> parse_override(std::string_view text) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0)
    return Error{Errc::invalid,
                 format("--set {}: expected key.path=value, for example train.epochs=5", shortened(text))};
  return Override{std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
}

Result<JobSpec> read_job(std::string_view text, const std::string& file, const std::string& base_dir,
                         std::span<const Override> overrides) {
  Node root;
  auto spec = read_with<JobSpec>(job_table(), text, file, overrides, check_job, root);
  if (!spec) return spec;
  spec->data.path = absolute(spec->data.path, root, "data.source.path", base_dir);
  spec->model.onnx = absolute(spec->model.onnx, root, "model.onnx", base_dir);
  if (spec->output.path.empty())
    spec->output.path = (fs::current_path() / "out" / spec->name).string();
  else
    spec->output.path = absolute(spec->output.path, root, "output.path", base_dir);
  return spec;
}

Result<ModelSection> read_model(std::string_view text, const std::string& file,
                                std::span<const Override> overrides) {
  Table<JobSpec> alone;
  for (const Field<JobSpec>& field : job_table())
    if (field.name == "model") alone.push_back(field);
  Node root;
  auto spec = read_with<JobSpec>(
      alone, text, file, overrides, [](const Node&, const JobSpec&, Problems&) {}, root);
  if (!spec) return spec.error();
  return std::move(spec->model);
}

Result<ClusterConfig> read_cluster(std::string_view text, const std::string& file,
                                   std::span<const Override> overrides) {
  Node root;
  return read_with<ClusterConfig>(cluster_table(), text, file, overrides, check_cluster, root);
}

Result<std::string> load_text(const std::string& path) {
  std::error_code error;
  if (fs::is_directory(path, error))
    return Error{Errc::invalid, format("{} is a folder; expected a YAML file", path)};
  std::ifstream stream(path, std::ios::binary);
  if (!stream)
    return Error{errno == ENOENT ? Errc::not_found : Errc::io, format("{}: {}", path, std::strerror(errno))};
  std::string text(text_bytes_max + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(stream.gcount()));
  if (text.size() > text_bytes_max)
    return Error{Errc::invalid,
                 format("{}:1:1: the file is larger than {}", path, size_text(text_bytes_max))};
  return text;
}

std::string print_job(const JobSpec& spec) { return yaml_text(show_section(job_table(), spec)); }
std::string print_cluster(const ClusterConfig& config) {
  return yaml_text(show_section(cluster_table(), config));
}
Json job_schema() {
  Json schema = with_title(section_schema(job_table()), "Trainyard job");
  schema["$defs"] = Json{{"layers", layers_schema()}};
  return schema;
}
Json cluster_schema() { return with_title(section_schema(cluster_table()), "Trainyard cluster"); }

std::string job_reference() {
  std::string rows;
  section_page(job_table(), "", rows);
  return page("Job file", rows) + layers_page() + presets_page();
}

std::string cluster_reference() {
  std::string rows;
  section_page(cluster_table(), "", rows);
  return page("Cluster file", rows);
}

std::string kind_of(std::string_view text) {
  const auto root = parse_document(text, "");
  if (!root) return "job";
  for (const char* key : {"master", "executor", "security", "log"}) {
    if (root->find(key) != nullptr && root->find("model") == nullptr) return "cluster";
  }
  return "job";
}

}  // namespace trainyard::config
