#include "daemons/trainer/bundle/console.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "common/base/text.hpp"
#include "common/runtime/daemon.hpp"

namespace trainyard::trainer {

void add_precision(CLI::App& app, config::Precision& precision) {
  const auto& names = config::kPrecisionNames;
  app.add_option_function<std::string>(
         "--precision", [&](const std::string& name) { precision = *config::precision_named(name); },
         "Of what linear maps read: fp32, bf16 or fp16")
      ->check(CLI::IsMember(std::vector<std::string>(names.begin(), names.end())));
}

Error no_number(const std::string& what, config::Precision precision) {
  const bool narrow = precision != config::Precision::fp32;
  return {Errc::corrupt,
          format("{}: the network gives values that are not finite; {}", what,
                 narrow ? "its numbers may be too large for this --precision, leave it out"
                        : "its weights may be damaged, or the input is far from what it was trained on")};
}

int fail(const Error& error) {
  std::fprintf(stderr, "trainyard: %s\n", error.message.c_str());
  switch (error.code) {
    case Errc::not_found:
      return runtime::exit_not_found;
    case Errc::invalid:
      return runtime::exit_usage;
    default:
      return runtime::exit_failed;
  }
}

Status print(std::string_view text) {
  const bool whole = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if ((whole && std::fflush(stdout) == 0) || errno == EPIPE) return {};
  return Error{Errc::io, format("standard output: cannot write: {}", std::strerror(errno))};
}

std::optional<int> parse(CLI::App& app, int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a reader that goes away is seen at the write
  try {
    app.parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    return fail({Errc::invalid, format("{}; see '{} --help'", error.what(), app.get_name())});
  }
}

}  // namespace trainyard::trainer
