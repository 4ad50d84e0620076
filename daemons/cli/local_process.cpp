#include "daemons/cli/local_process.hpp"

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <thread>

#include "common/base/text.hpp"
#include "common/runtime/process.hpp"

namespace trainyard::cli {

namespace {

std::string read_proc(pid_t pid, const char* file) {
  std::ifstream stream(format("/proc/{}/{}", pid, file), std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

std::string proc_link(pid_t pid, const char* link) {
  std::array<char, 4096> target{};
  const ssize_t length = readlink(format("/proc/{}/{}", pid, link).c_str(), target.data(), target.size());
  return length <= 0 ? "" : std::string(target.data(), static_cast<std::size_t>(length));
}

bool is_below(const std::string& path, const std::string& directory) {
  return path == directory || path.rfind(directory + "/", 0) == 0;
}

bool belongs(pid_t pid, const std::string& directory) {
  std::string binary = proc_link(pid, "exe");
  binary = binary.substr(binary.rfind('/') + 1);
  const bool works_there = is_below(proc_link(pid, "cwd"), directory);
  if (binary.rfind("trainyard-", 0) == 0) {
    return works_there || read_proc(pid, "cmdline").find(directory + "/") != std::string::npos;
  }
  return works_there && ("\0" + read_proc(pid, "environ")).find("TRAINYARD_JOB=") != std::string::npos;
}

}  // namespace

bool process_runs(pid_t pid) {
  const std::string stat = read_proc(pid, "stat");
  const std::size_t name_end = stat.rfind(") ");  // the name may hold blanks and brackets
  if (name_end == std::string::npos || name_end + 2 >= stat.size()) return false;
  const char state = stat[name_end + 2];
  return state != 'Z' && state != 'X';
}

std::vector<pid_t> processes_below(const std::string& directory) {
  std::vector<pid_t> found;
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return found;
  while (const dirent* entry = readdir(proc)) {
    const auto pid = parse_int(entry->d_name);
    if (!pid || *pid == getpid()) continue;
    if (process_runs(static_cast<pid_t>(*pid)) && belongs(static_cast<pid_t>(*pid), directory)) {
      found.push_back(static_cast<pid_t>(*pid));
    }
  }
  closedir(proc);
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<pid_t> end_processes(const std::vector<pid_t>& pids, Duration patience) {
  std::vector<pid_t> left = pids;
  const auto drop_gone = [&left] {
    std::erase_if(left, [](pid_t pid) {
      (void)runtime::reap(pid);
      return !process_runs(pid);
    });
  };
  for (const int signal : {SIGTERM, SIGKILL}) {
    drop_gone();
    for (const pid_t pid : left) kill(pid, signal);
    const auto deadline = std::chrono::steady_clock::now() + (signal == SIGTERM ? patience : Duration(5s));
    while (!left.empty() && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(20ms);
      drop_gone();
    }
  }
  return left;
}

std::string last_lines(const std::string& file, std::size_t lines) {
  constexpr std::streamoff bytes_max = 8192;
  std::ifstream stream(file, std::ios::binary | std::ios::ate);
  if (!stream) return "";
  const std::streamoff size = stream.tellg();
  stream.seekg(std::max<std::streamoff>(0, size - bytes_max));
  const std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  std::vector<std::string> all = split(text, '\n');
  if (!all.empty() && all.back().empty()) all.pop_back();
  const std::size_t first = all.size() > lines ? all.size() - lines : 0;
  return join(std::span(all).subspan(first), "\n");
}

}  // namespace trainyard::cli
