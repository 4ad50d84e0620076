// What a job file means for the master: roles, counts, shares, directories. Pure; plain values on both sides.
#pragma once

#include <string>

#include "common/base/result.hpp"
#include "common/config/job_spec.hpp"
#include "daemons/master/records.hpp"

namespace trainyard::master {

/// `yaml` is what the tasks will read. Errc::refused for what no release of this kind of cluster runs yet.
Result<JobOrder> order_of(const config::JobSpec& spec, std::string yaml);

}  // namespace trainyard::master
