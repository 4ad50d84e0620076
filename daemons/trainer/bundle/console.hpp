// What `evaluate` and `predict` share as programs at a terminal: parsing, data on stdout, errors on stderr
// with the exit codes of the contract. One thread.
#pragma once

#include <optional>
#include <string_view>

#include "common/base/result.hpp"
#include "common/config/job_spec.hpp"

namespace CLI {
class App;
}

namespace trainyard::trainer {

/// The option --precision of what runs a bundle.
void add_precision(CLI::App& app, config::Precision& precision);

/// The network's answer to `what` is not finite.
Error no_number(const std::string& what, config::Precision precision);

/// "trainyard: MESSAGE" on stderr, and the exit code that fits.
int fail(const Error& error);

/// Data on stdout, all of it. A reader that went away (`| head`) is no error; a full disk is.
Status print(std::string_view text);

/// The exit code when the program is over already: wrong usage, --help.
std::optional<int> parse(CLI::App& app, int argc, char** argv);

}  // namespace trainyard::trainer
