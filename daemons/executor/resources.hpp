// What this machine offers: CPUs and memory within the limits of its control group, GPUs as NVIDIA's driver
// names them. Read once, at start; decides nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/config/cluster_spec.hpp"
#include "common/protocol/messages.hpp"

namespace trainyard::executor {

struct Machine {
  protocol::ResourceSet capacity;
  std::vector<std::string> gpu_models;  // one a GPU; index as in CUDA_VISIBLE_DEVICES
};

/// The config's cpus, memory and fake_gpus stand before what is detected. Without a driver there are no GPUs.
Machine detect_machine(const config::ExecutorSection& config);

/// CPUs that this process may use: affinity, and the quota of its control group (v2 or v1), in thousandths.
std::uint64_t detect_cpu_millis();
/// Bytes: physical memory, or the limit of the control group where that is lower.
std::uint64_t detect_memory();
/// Through libnvidia-ml.so.1, which is loaded when it is there and is no dependency of the build.
std::vector<std::string> detect_gpus();

/// "max 100000" or "150000 100000" (cpu.max of cgroup v2), in thousandths of a CPU; 0: no limit or not
/// readable.
std::uint64_t quota_millis(const std::string& cpu_max);

}  // namespace trainyard::executor
