// A job file on its way to the master: read, checked, and sent. `run` and `submit` share it.
#pragma once

#include <string>
#include <vector>

#include "common/config/job_spec.hpp"
#include "daemons/cli/client.hpp"

namespace trainyard::cli {

/// Reads the file and the `--set` overrides; every mistake of both at once.
Result<config::JobSpec> load_job(const std::string& file, const std::vector<std::string>& overrides);

/// What can be seen from here when the cluster shares this machine's files: the data is there, each class has
/// pictures, and the output can be written. Errc::invalid says what is wrong and where.
Status check_paths(const config::JobSpec& spec);

/// CPUs that the whole gang asks for.
double cpus_needed(const config::JobSpec& spec);

/// POST /jobs. dry_run: checked and placed, not accepted; the answer then has no id.
Result<Json> submit_job(const Client& client, const config::JobSpec& spec, bool dry_run);

}  // namespace trainyard::cli
