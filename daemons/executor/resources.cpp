#include "daemons/executor/resources.hpp"

#include <dlfcn.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "common/base/text.hpp"
#include "common/store/file.hpp"

namespace trainyard::executor {

namespace {

std::string small_file(const std::string& path) {
  auto text = store::read_file(path, 65536);
  return text ? std::move(*text) : std::string();
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

/// The directories of this process's control group, innermost first, up to the root: any of them may limit.
std::vector<std::string> cgroup_directories() {
  std::vector<std::string> directories;
  for (const std::string& line : split(small_file("/proc/self/cgroup"), '\n')) {
    if (!line.starts_with("0::/")) continue;
    for (std::string path = line.substr(3); !path.empty(); path = path.substr(0, path.rfind('/'))) {
      if (path != "/") directories.push_back("/sys/fs/cgroup" + path);
      if (path == "/") break;
    }
  }
  directories.push_back("/sys/fs/cgroup");
  return directories;
}

// The part of NVML that is used, declared by hand from its documented C interface.
using NvmlReturn = int;
using NvmlDevice = void*;
struct Nvml {
  NvmlReturn (*init)() = nullptr;
  NvmlReturn (*shutdown)() = nullptr;
  NvmlReturn (*count)(unsigned int*) = nullptr;
  NvmlReturn (*handle)(unsigned int, NvmlDevice*) = nullptr;
  NvmlReturn (*name)(NvmlDevice, char*, unsigned int) = nullptr;
};

template <typename Function>
bool find(void* library, const char* symbol, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, symbol));
  return function != nullptr;
}

}  // namespace

std::uint64_t quota_millis(const std::string& cpu_max) {
  const std::vector<std::string> words = split(first_line(cpu_max), ' ');
  if (words.size() != 2) return 0;
  const auto quota = parse_uint(words[0]), period = parse_uint(words[1]);
  if (!quota || !period || *period == 0 || *quota > 1'000'000'000'000) return 0;
  return *quota * 1000 / *period;
}

std::uint64_t detect_cpu_millis() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  const bool known = ::sched_getaffinity(0, sizeof allowed, &allowed) == 0;
  const long configured = std::max(::sysconf(_SC_NPROCESSORS_ONLN), 1L);
  std::uint64_t millis = 1000ull * static_cast<std::uint64_t>(known ? CPU_COUNT(&allowed) : configured);
  for (const std::string& directory : cgroup_directories()) {
    if (const std::uint64_t quota = quota_millis(small_file(directory + "/cpu.max")))
      millis = std::min(millis, quota);
  }
  const std::string quota = first_line(small_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"));
  const std::string period = first_line(small_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us"));
  if (const std::uint64_t limit = quota_millis(quota + " " + period)) millis = std::min(millis, limit);
  return std::max<std::uint64_t>(millis, 1);
}

std::uint64_t detect_memory() {
  std::uint64_t bytes = static_cast<std::uint64_t>(std::max(::sysconf(_SC_PHYS_PAGES), 0L)) *
                        static_cast<std::uint64_t>(std::max(::sysconf(_SC_PAGESIZE), 0L));
  std::vector<std::string> files{"/sys/fs/cgroup/memory/memory.limit_in_bytes"};
  for (const std::string& directory : cgroup_directories()) files.push_back(directory + "/memory.max");
  for (const std::string& file : files) {
    const auto limit = parse_uint(first_line(small_file(file)));
    if (limit && *limit > 0) bytes = std::min(bytes, *limit);
  }
  return bytes;
}

std::vector<std::string> detect_gpus() {
  void* library = ::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return {};
  Nvml nvml;
  const bool complete = find(library, "nvmlInit_v2", nvml.init) &&
                        find(library, "nvmlShutdown", nvml.shutdown) &&
                        find(library, "nvmlDeviceGetCount_v2", nvml.count) &&
                        find(library, "nvmlDeviceGetHandleByIndex_v2", nvml.handle) &&
                        find(library, "nvmlDeviceGetName", nvml.name);
  std::vector<std::string> models;
  if (complete && nvml.init() == 0) {
    unsigned int count = 0;
    if (nvml.count(&count) != 0) count = 0;
    for (unsigned int index = 0; index < count; ++index) {
      NvmlDevice device = nullptr;
      std::array<char, 96> name{};
      const bool named =
          nvml.handle(index, &device) == 0 && nvml.name(device, name.data(), name.size() - 1) == 0;
      models.emplace_back(named ? name.data() : "unknown");
    }
    nvml.shutdown();
  }
  ::dlclose(library);
  return models;
}

Machine detect_machine(const config::ExecutorSection& config) {
  Machine machine;
  machine.gpu_models =
      config.fake_gpus > 0 ? std::vector<std::string>(config.fake_gpus, "fake") : detect_gpus();
  machine.capacity.cpu_millis =
      config.cpus > 0 ? static_cast<std::uint64_t>(std::llround(config.cpus * 1000)) : detect_cpu_millis();
  machine.capacity.memory = config.memory > 0 ? config.memory : detect_memory();
  machine.capacity.gpus = static_cast<std::uint32_t>(machine.gpu_models.size());
  return machine;
}

}  // namespace trainyard::executor
