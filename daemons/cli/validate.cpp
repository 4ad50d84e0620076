#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "common/config/read.hpp"
#include "daemons/cli/context.hpp"
#include "daemons/cli/terminal.hpp"

namespace trainyard::cli {

namespace {

/// What the file is ("job", "cluster"), or everything that is wrong with it.
Result<std::string> check_file(const std::string& file) {
  const auto text = config::load_text(file);
  if (!text) return text.error();
  const std::string kind = config::kind_of(*text);
  if (kind == "cluster") {
    const auto read = config::read_cluster(*text, file);
    if (!read) return read.error();
    return kind;
  }
  const auto base = std::filesystem::absolute(file).parent_path().string();
  const auto read = config::read_job(*text, file, base);
  if (!read) return read.error();
  return kind;
}

int validate(const std::vector<std::string>& files) {
  int code = exit_ok;
  for (const std::string& file : files) {
    const auto kind = check_file(file);
    if (kind) {
      say("{}: a valid {} file", file, *kind);
    } else {
      say_line(kind.error().message);  // each line begins with file:line:column already
      code = exit_usage;
    }
  }
  return code;
}

}  // namespace

void add_validate(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("validate", "Check Trainyard's YAML files; tells every mistake at once");
  auto files = std::make_shared<std::vector<std::string>>();
  verb->add_option("FILE", *files, "Job or cluster files")->required();
  verb->callback([&context, files] { context.action = [files] { return validate(*files); }; });
}

}  // namespace trainyard::cli
