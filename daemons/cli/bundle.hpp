// Verbs that work on a model are done by the trainer's binary, which links the engine; the CLI checks
// the command line and becomes that program.
#pragma once

#include <string>
#include <vector>

namespace trainyard::cli {

/// Replaces this process by `trainyard-trainer ARGUMENTS`. Returns an exit code only when that fails, or when
/// `bundle` is no model bundle (exit code 4).
int become_trainer(const std::string& bundle, const std::vector<std::string>& arguments);
/// The same for a verb that needs no bundle.
int become_trainer(const std::vector<std::string>& arguments);

}  // namespace trainyard::cli
