#include "common/runtime/task_files.hpp"

#include <algorithm>
#include <fstream>
#include <limits>

#include "common/base/text.hpp"
#include "common/store/file.hpp"

namespace trainyard::runtime {

namespace {

constexpr std::uint64_t file_bytes_max = std::uint64_t{8} << 20;
constexpr std::uint64_t log_file_bytes_max = std::uint64_t{8} << 30;

/// Reads fields and remembers the first that is missing or of another type, so that callers check once.
class Fields {
 public:
  Fields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {}

  std::uint64_t number(const char* key) {
    const Json* value = find(key);
    if (value != nullptr && value->is_number_unsigned()) return value->get<std::uint64_t>();
    return wrong(key), 0;
  }
  std::string text(const char* key) {
    const Json* value = find(key);
    if (value != nullptr && value->is_string()) return value->get<std::string>();
    return wrong(key), "";
  }
  std::vector<std::string> texts(const char* key) {
    std::vector<std::string> out;
    const Json* value = find(key);
    if (value == nullptr || !value->is_array()) return wrong(key), out;
    for (const Json& item : *value) {
      if (!item.is_string()) return wrong(key), out;
      out.push_back(item.get<std::string>());
    }
    return out;
  }
  std::map<std::string, std::string> table(const char* key) {
    std::map<std::string, std::string> out;
    const Json* value = find(key);
    if (value == nullptr || !value->is_object()) return wrong(key), out;
    for (const auto& [name, item] : value->items()) {
      if (!item.is_string()) return wrong(key), out;
      out.emplace(name, item.get<std::string>());
    }
    return out;
  }
  Json any(const char* key) {
    const Json* value = find(key);
    return value == nullptr ? Json() : *value;
  }
  template <typename T>
  Result<T> result(T value) {
    if (wrong_.empty()) return value;
    return Error{Errc::corrupt, format("{}: '{}' is missing or wrong", path_, wrong_)};
  }

 private:
  const Json* find(const char* key) const {
    if (!object_.is_object()) return nullptr;
    const auto it = object_.find(key);
    return it == object_.end() ? nullptr : &*it;
  }
  void wrong(const char* key) {
    if (wrong_.empty()) wrong_ = key;
  }
  const Json& object_;
  const std::string path_;
  std::string wrong_;
};

Result<Json> load(const std::string& path) {
  const auto text = store::read_file(path, file_bytes_max);
  if (!text) return text.error();
  auto json = parse_json(*text, file_bytes_max);
  if (!json) return Error{Errc::corrupt, format("{}: {}", path, json.error().message)};
  return json;
}

std::uint64_t log_start(const std::string& file) {
  const auto text = store::read_file(file + ".start", 64);
  return text ? parse_uint(*text).value_or(0) : 0;
}

/// At most `bytes_max` of a file from `offset`, and its size.
struct Piece {
  std::string bytes;
  std::uint64_t size = 0;
};
Piece read_piece(const std::string& path, std::uint64_t offset, std::uint64_t bytes_max) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return {};
  const auto end = file.tellg();
  Piece piece{{}, end < 0 ? 0 : static_cast<std::uint64_t>(end)};
  if (offset >= piece.size) return piece;
  piece.bytes.resize(std::min({bytes_max, piece.size - offset, log_file_bytes_max}));
  file.seekg(static_cast<std::streamoff>(offset));
  file.read(piece.bytes.data(), static_cast<std::streamsize>(piece.bytes.size()));
  piece.bytes.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return piece;
}

/// The bytes after the line feed that comes before the last `lines` lines.
std::size_t start_of_last(const std::string& bytes, std::uint32_t lines) {
  std::size_t at = bytes.size();
  if (at > 0 && bytes[at - 1] == '\n') --at;
  for (std::uint32_t seen = 0; at > 0; --at) {
    if (bytes[at - 1] == '\n' && ++seen == lines) return at;
  }
  return 0;
}

}  // namespace

Status write_launch(const std::string& task_dir, const ShimLaunch& launch) {
  const auto grace = std::chrono::duration_cast<std::chrono::milliseconds>(launch.grace).count();
  const Json json{{"command", launch.command},
                  {"environment", launch.environment},
                  {"directory", launch.directory},
                  {"log_bytes_max", launch.log_bytes_max},
                  {"grace_ms", static_cast<std::uint64_t>(std::max<std::int64_t>(grace, 0))},
                  {"note", launch.note}};
  return store::write_atomic(task_dir + "/launch.json", to_text(json, 1));
}

Result<ShimLaunch> read_launch(const std::string& task_dir) {
  const std::string path = task_dir + "/launch.json";
  const auto json = load(path);
  if (!json) return json.error();
  Fields fields(*json, path);
  ShimLaunch launch;
  launch.command = fields.texts("command");
  launch.environment = fields.table("environment");
  launch.directory = fields.text("directory");
  launch.log_bytes_max = fields.number("log_bytes_max");
  launch.grace = std::chrono::milliseconds(std::min<std::uint64_t>(fields.number("grace_ms"), 3'600'000));
  launch.note = fields.any("note");
  return fields.result(std::move(launch));
}

Status write_status(const std::string& task_dir, const ShimStatus& status) {
  const Json json{{"shim", static_cast<std::uint64_t>(status.shim)},
                  {"shim_start", status.shim_start},
                  {"child", static_cast<std::uint64_t>(status.child)},
                  {"child_start", status.child_start}};
  return store::write_atomic(task_dir + "/status.json", to_text(json));
}

Result<ShimStatus> read_status(const std::string& task_dir) {
  const std::string path = task_dir + "/status.json";
  const auto json = load(path);
  if (!json) return json.error();
  Fields fields(*json, path);
  const auto pid = [&](const char* key) {
    return static_cast<pid_t>(std::min<std::uint64_t>(fields.number(key), std::numeric_limits<pid_t>::max()));
  };
  const ShimStatus status{pid("shim"), pid("child"), fields.number("shim_start"),
                          fields.number("child_start")};
  return fields.result(status);
}

Status write_exit(const std::string& task_dir, const ExitRecord& record) {
  const Json json{{"exit_code", static_cast<std::uint64_t>(record.exit_code)},
                  {"signal", static_cast<std::uint64_t>(record.signal)},
                  {"memory_peak", record.memory_peak},
                  {"ended_ms", static_cast<std::uint64_t>(record.ended)},
                  {"log_bytes_dropped", record.log_bytes_dropped},
                  {"error", record.error},
                  {"last_lines", record.last_lines}};
  return store::write_atomic(task_dir + "/exit.json", to_text(json));
}

Result<ExitRecord> read_exit(const std::string& task_dir) {
  const std::string path = task_dir + "/exit.json";
  const auto json = load(path);
  if (!json) return json.error();
  Fields fields(*json, path);
  ExitRecord record;
  record.exit_code = static_cast<int>(std::min<std::uint64_t>(fields.number("exit_code"), 255));
  record.signal = static_cast<int>(std::min<std::uint64_t>(fields.number("signal"), 64));
  record.memory_peak = fields.number("memory_peak");
  record.ended = static_cast<WallMillis>(fields.number("ended_ms"));
  record.log_bytes_dropped = fields.number("log_bytes_dropped");
  record.error = fields.text("error");
  record.last_lines = fields.texts("last_lines");
  if (record.last_lines.size() > last_lines_max) record.last_lines.resize(last_lines_max);
  for (std::string& line : record.last_lines) line.resize(std::min(line.size(), last_line_bytes_max));
  return fields.result(std::move(record));
}

Result<LogPart> read_log(const std::string& file, std::uint64_t offset, std::uint64_t bytes_max,
                         std::uint32_t tail_lines) {
  const std::uint64_t start = log_start(file);
  const std::uint64_t older_size = read_piece(file + ".1", 0, 0).size;
  const std::uint64_t current_size = read_piece(file, 0, 0).size;
  const std::uint64_t first = start - std::min(start, older_size);
  LogPart part{{}, offset, start + current_size};
  if (tail_lines != 0) part.offset = part.end - std::min(part.end, bytes_max);
  part.offset = std::clamp(part.offset, first, part.end);
  if (part.offset < start) {
    // The older file ends where the current one begins.
    const std::uint64_t within = part.offset - first;
    part.bytes = read_piece(file + ".1", within, std::min(bytes_max, start - part.offset)).bytes;
  }
  if (part.bytes.size() < bytes_max && part.offset + part.bytes.size() >= start) {
    part.bytes +=
        read_piece(file, part.offset + part.bytes.size() - start, bytes_max - part.bytes.size()).bytes;
  }
  if (tail_lines != 0) {
    const std::size_t skipped = start_of_last(part.bytes, tail_lines);
    part.bytes.erase(0, skipped);
    part.offset += skipped;
  }
  part.end = std::max(part.end, part.offset + part.bytes.size());
  return part;
}

Status write_log_start(const std::string& file, std::uint64_t start) {
  return store::write_atomic(file + ".start", std::to_string(start));
}

}  // namespace trainyard::runtime
