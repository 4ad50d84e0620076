// Reading and printing of Trainyard's YAML files. Every problem of a file is reported at once, a line each:
// "file:line:column: path.of.key: message". Files above 1 MiB, nesting deeper than 32, aliases, anchors,
// tags, duplicate keys, tabs and several documents are refused before anything is built.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "common/base/json.hpp"
#include "common/base/result.hpp"
#include "common/config/cluster_spec.hpp"
#include "common/config/job_spec.hpp"

namespace trainyard::config {

/// What `--set a.b=c` says: a path of keys and a YAML value.
struct Override {
  std::string path, value;
};
Result<Override> parse_override(std::string_view text);

/// `file` names the text in messages. `base_dir` is what relative paths are relative to (the job file's
/// folder); a path set by an override is relative to the working directory.
Result<JobSpec> read_job(std::string_view text, const std::string& file, const std::string& base_dir,
                         std::span<const Override> overrides = {});
/// The section `model` of a text that has no other; overrides begin with "model.".
Result<ModelSection> read_model(std::string_view text, const std::string& file,
                                std::span<const Override> overrides = {});
Result<ClusterConfig> read_cluster(std::string_view text, const std::string& file,
                                   std::span<const Override> overrides = {});

/// Reads a file, at most 1 MiB; errors name it.
Result<std::string> load_text(const std::string& path);

/// YAML that reads back as the same value; with absolute paths, so that it means the same anywhere.
std::string print_job(const JobSpec& spec);
std::string print_cluster(const ClusterConfig& config);

/// JSON Schema (draft 2020-12) of the file, and its reference page in Markdown, both from the descriptor
/// table.
Json job_schema();
Json cluster_schema();
std::string job_reference();
std::string cluster_reference();

/// "job" or "cluster", guessed from the keys; for `validate`, which takes any of our files.
std::string kind_of(std::string_view text);

}  // namespace trainyard::config
