#include "daemons/executor/sandbox.hpp"

#include <algorithm>
#include <filesystem>

#include "common/base/json.hpp"
#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/runtime/process.hpp"
#include "common/store/file.hpp"

namespace trainyard::executor {

namespace {

namespace fs = std::filesystem;
constexpr std::uint64_t chunk_bytes_max = 256 << 10;
constexpr Role all_roles[] = {Role::trainer, Role::ps, Role::evaluator, Role::predictor};

std::string cluster_spec(const protocol::LaunchTask& launch) {
  Json spec{{"gang", launch.gang}};
  for (const auto& [role, count] : launch.gang) spec[role] = Json::array();
  return to_text(spec);
}

std::string binary_of(Role role) { return role == Role::ps ? "trainyard-ps" : "trainyard-trainer"; }

Error io_error(const std::string& path, const char* what, const std::error_code& code) {
  return {Errc::io, format("{}: cannot {}: {}", path, what, code.message())};
}

}  // namespace

std::string directory_name(const TaskKey& key) {
  return format("{}-{}-{}", number(key.task.job), name(key.task), number(key.incarnation));
}

Result<TaskKey> parse_directory_name(const std::string& text) {
  const Error wrong{Errc::invalid, format("'{}' is not the directory of a task", text)};
  const std::vector<std::string> words = split(text, '-');
  if (words.size() != 4) return wrong;
  const auto job = parse_uint(words[0]), index = parse_uint(words[2]), incarnation = parse_uint(words[3]);
  const auto role = std::find_if(std::begin(all_roles), std::end(all_roles),
                                 [&](Role candidate) { return words[1] == name(candidate); });
  if (!job || !index || !incarnation || role == std::end(all_roles)) return wrong;
  if (*index > UINT32_MAX || *incarnation > UINT32_MAX) return wrong;
  return TaskKey{{JobId{*job}, *role, static_cast<std::uint32_t>(*index)},
                 Incarnation{static_cast<std::uint32_t>(*incarnation)}};
}

std::map<std::string, std::string> task_environment(const protocol::LaunchTask& launch,
                                                    const SandboxFacts& facts,
                                                    const std::map<std::string, std::string>& inherited) {
  const TaskKey& key = launch.key;
  const std::string task_dir = facts.work_dir + "/tasks/" + directory_name(key);
  std::vector<std::string> gpus;
  for (const std::uint32_t gpu : launch.gpus) gpus.push_back(std::to_string(gpu));
  std::map<std::string, std::string> all{
      {"TRAINYARD_JOB", std::to_string(number(key.task.job))},
      {"TRAINYARD_ROLE", name(key.task.role)},
      {"TRAINYARD_INDEX", std::to_string(key.task.index)},
      {"TRAINYARD_INCARNATION", std::to_string(number(key.incarnation))},
      {"TRAINYARD_CLUSTER_SPEC", cluster_spec(launch)},
      {"TRAINYARD_CHECKPOINT_DIR", launch.checkpoint_dir},
      {"TRAINYARD_OUTPUT_DIR", launch.output_dir},
      {"CUDA_VISIBLE_DEVICES", join(gpus, ",")},
      {"OMP_NUM_THREADS",
       std::to_string(std::max<std::uint64_t>((launch.granted.cpu_millis + 999) / 1000, 1))},
      {"TRAINYARD_MASTER", facts.master},
      {"TRAINYARD_TASK_SECRET", launch.secret},
      {"TRAINYARD_JOB_FILE", task_dir + "/job.yaml"},
      {"TRAINYARD_ADDRESS", facts.address},
      {"TRAINYARD_TASK_DIR", task_dir}};
  for (const char* variable : {"PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH"}) {
    if (const auto it = inherited.find(variable); it != inherited.end()) all.emplace(*it);
  }
  return all;
}

Status Sandbox::prepare() {
  if (const Status made = store::make_directories(facts_.work_dir + "/tasks"); !made) return made;
  return store::make_directories(facts_.work_dir + "/done");
}

std::string Sandbox::live(const TaskKey& key) const {
  return facts_.work_dir + "/tasks/" + directory_name(key);
}
std::string Sandbox::done(const TaskKey& key) const {
  return facts_.work_dir + "/done/" + directory_name(key);
}

Result<std::string> Sandbox::furnish(const protocol::LaunchTask& launch, const std::string& cluster) {
  const std::string directory = live(launch.key);
  std::error_code code;
  fs::remove_all(directory, code);  // of a launch that a crash cut short
  if (code) return io_error(directory, "remove", code);
  if (const Status made = store::make_directories(directory + "/work"); !made) return made.error();
  fs::permissions(directory, fs::perms::owner_all, code);  // launch.json holds the secret
  if (const Status s = store::write_atomic(directory + "/job.yaml", launch.job_yaml); !s) return s.error();
  const Status written = runtime::write_launch(
      directory, {.command = {facts_.binaries + "/" + binary_of(launch.key.task.role)},
                  .environment = task_environment(launch, facts_, runtime::environment()),
                  .directory = directory + "/work",
                  .log_bytes_max = facts_.log_bytes_max,
                  .grace = facts_.stop_grace,
                  .note = Json{{"cluster", cluster}}});
  if (!written) return written.error();
  return directory;
}

Status Sandbox::retire(const TaskKey& key) {
  const std::string from = live(key), to = done(key);
  std::error_code code;
  if (!fs::exists(from, code)) return {};
  fs::remove_all(to, code);
  fs::rename(from, to, code);
  if (code) return io_error(from, "move to done/", code);
  fs::remove_all(to + "/work", code);
  if (auto launch = runtime::read_launch(to)) {
    launch->environment.erase("TRAINYARD_TASK_SECRET");
    if (const Status s = runtime::write_launch(to, *launch); !s) fs::remove(to + "/launch.json", code);
  }
  trim_history();
  return {};
}

void Sandbox::trim_history() const {
  std::vector<std::pair<fs::file_time_type, fs::path>> entries;
  std::error_code code;
  for (fs::directory_iterator it(facts_.work_dir + "/done", code); !code && it != fs::directory_iterator{};
       it.increment(code)) {
    std::error_code ignored;
    entries.emplace_back(it->last_write_time(ignored), it->path());
  }
  if (entries.size() <= done_kept) return;
  std::sort(entries.begin(), entries.end());
  entries.resize(entries.size() - done_kept);
  for (const auto& [time, path] : entries) fs::remove_all(path, code);
}

std::vector<FoundTask> Sandbox::found_live() const { return found_in(facts_.work_dir + "/tasks"); }
std::vector<FoundTask> Sandbox::found_done() const { return found_in(facts_.work_dir + "/done"); }

std::vector<FoundTask> Sandbox::found_in(const std::string& directory) const {
  std::vector<FoundTask> found;
  std::error_code code;
  for (fs::directory_iterator it(directory, code); !code && it != fs::directory_iterator{};
       it.increment(code)) {
    const auto key = parse_directory_name(it->path().filename().string());
    if (!key) continue;
    FoundTask task{*key, "", it->path().string()};
    if (const auto launch = runtime::read_launch(task.directory)) {
      const auto cluster = launch->note.is_object() ? launch->note.find("cluster") : launch->note.end();
      if (cluster != launch->note.end() && cluster->is_string()) task.cluster = cluster->get<std::string>();
    }
    found.push_back(std::move(task));
  }
  std::sort(found.begin(), found.end(), [](const FoundTask& a, const FoundTask& b) { return a.key < b.key; });
  return found;
}

protocol::LogChunk Sandbox::read_log(const protocol::ReadLog& request) const {
  protocol::LogChunk chunk{.request = request.request};
  std::error_code code;
  std::string directory = live(request.key);
  if (!fs::exists(directory, code)) directory = done(request.key);
  if (!fs::exists(directory, code)) {
    chunk.error = format("{}: its logs are not on this node any more", name(request.key));
    return chunk;
  }
  const std::string file = directory + (request.error_stream ? "/stderr.log" : "/stdout.log");
  const auto part = runtime::read_log(file, request.offset, std::min(request.bytes_max, chunk_bytes_max),
                                      request.tail_lines);
  if (!part) {
    chunk.error = part.error().message;
    return chunk;
  }
  chunk.bytes = part->bytes;
  chunk.offset = part->offset;
  chunk.end = part->end;
  return chunk;
}

}  // namespace trainyard::executor
