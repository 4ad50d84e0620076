#include "daemons/master/records.hpp"

#include <array>
#include <functional>
#include <type_traits>

#include "common/base/json.hpp"
#include "common/base/text.hpp"

// Each record says its fields once, in `fields`; a writer and a reader visit them.
namespace trainyard::master {

namespace {

template <typename T>
struct is_vector : std::false_type {};
template <typename T>
struct is_vector<std::vector<T>> : std::true_type {};
template <typename T>
struct is_map : std::false_type {};
template <typename K, typename V>
struct is_map<std::map<K, V>> : std::true_type {};

// ---- fields, once
template <typename V>
void fields(V& v, protocol::ResourceSet& r) {
  v("cpu_millis", r.cpu_millis), v("memory", r.memory), v("gpus", r.gpus);
}
template <typename V>
void fields(V& v, TaskId& r) {
  v("job", r.job), v("role", r.role), v("index", r.index);
}
template <typename V>
void fields(V& v, protocol::TaskKey& r) {
  v("task", r.task), v("incarnation", r.incarnation);
}
template <typename V>
void fields(V& v, RoleOrder& r) {
  v("role", r.role), v("count", r.count), v("each", r.each);
}
template <typename V>
void fields(V& v, JobOrder& r) {
  v("name", r.name), v("kind", r.kind), v("queue", r.queue), v("priority", r.priority), v("roles", r.roles);
  v("require", r.require), v("spread", r.spread), v("restarts", r.restarts);
  v("time_limit_ms", r.time_limit_ms), v("output_dir", r.output_dir), v("checkpoint_dir", r.checkpoint_dir);
  v("yaml", r.yaml);
}
template <typename V>
void fields(V& v, Placed& r) {
  v("task", r.task), v("node", r.node), v("gpus", r.gpus);
}
template <typename V>
void fields(V& v, ClusterFounded& r) {
  v("identity", r.identity);
}
template <typename V>
void fields(V& v, IdsUsed& r) {
  v("next", r.next);
}
template <typename V>
void fields(V& v, JobAccepted& r) {
  v("job", r.job), v("order", r.order), v("secret", r.secret), v("at", r.at);
}
template <typename V>
void fields(V& v, GangPlaced& r) {
  v("job", r.job), v("incarnation", r.incarnation), v("tasks", r.tasks), v("at", r.at);
}
template <typename V>
void fields(V& v, GangComplete& r) {
  v("job", r.job), v("incarnation", r.incarnation), v("addresses", r.addresses), v("at", r.at);
}
template <typename V>
void fields(V& v, FirstStepDone& r) {
  v("job", r.job), v("at", r.at);
}
template <typename V>
void fields(V& v, EpochDone& r) {
  v("job", r.job), v("epoch", r.epoch), v("step", r.step), v("metrics", r.metrics);
}
template <typename V>
void fields(V& v, RecordsSkipped& r) {
  v("job", r.job), v("count", r.count), v("named", r.named), v("at", r.at);
}
template <typename V>
void fields(V& v, CheckpointCommitted& r) {
  v("job", r.job), v("step", r.step), v("epoch", r.epoch), v("directory", r.directory), v("at", r.at);
}
template <typename V>
void fields(V& v, TrainerFinished& r) {
  v("key", r.key), v("metrics", r.metrics), v("stopped", r.stopped), v("at", r.at);
}
template <typename V>
void fields(V& v, StopDecided& r) {
  v("job", r.job), v("stop", r.stop), v("cause", r.cause), v("blamed", r.blamed), v("at", r.at);
}
template <typename V>
void fields(V& v, TaskEnded& r) {
  v("key", r.key), v("end", r.end), v("exit_code", r.exit_code), v("signal", r.signal);
  v("memory_peak", r.memory_peak), v("cause", r.cause);
  v("last_lines", r.last_lines), v("at", r.at);
}
template <typename V>
void fields(V& v, GangDissolved& r) {
  v("job", r.job), v("at", r.at);
}
template <typename V>
void fields(V& v, JobEnded& r) {
  v("job", r.job), v("end", r.end), v("cause", r.cause), v("at", r.at);
}
template <typename V>
void fields(V& v, JobForgotten& r) {
  v("job", r.job);
}

// Names in the journal, in the order of the variant; never reused for anything else.
constexpr std::array kinds{"cluster_founded", "ids_used",        "job_accepted", "gang_placed",
                           "gang_complete",   "first_step_done", "epoch_done",   "records_skipped",
                           "checkpoint",      "finished",        "stop_decided", "task_ended",
                           "gang_dissolved",  "job_ended",       "job_forgotten"};
static_assert(kinds.size() == std::variant_size_v<Record>);

// ---- writing
struct Writer {
  Json out = Json::object();

  template <typename T>
  void operator()(const char* key, T& value) {
    out[key] = json(value);
  }

  template <typename T>
  static Json json(T& value) {
    if constexpr (std::is_enum_v<T>) {
      return static_cast<std::underlying_type_t<T>>(value);
    } else if constexpr (is_vector<T>::value) {
      Json list = Json::array();
      for (auto& item : value) list.push_back(json(item));
      return list;
    } else if constexpr (is_map<T>::value) {
      Json list = Json::array();
      for (auto& [key, item] : value) {
        auto copy = key;
        list.push_back(Json::array({json(copy), json(item)}));
      }
      return list;
    } else if constexpr (std::is_arithmetic_v<T> || std::is_same_v<T, std::string>) {
      return value;
    } else {
      Writer inner;
      fields(inner, value);
      return std::move(inner.out);
    }
  }
};

// ---- reading
struct Reader {
  const Json& in;
  std::string problem{};

  template <typename T>
  void operator()(const char* key, T& value) {
    if (!problem.empty()) return;
    const auto it = in.find(key);
    if (it == in.end()) return;
    if (!read(*it, value, problem)) {
      problem = problem.empty() ? format("'{}' has the wrong type", key) : format("{}: {}", key, problem);
    }
  }

  template <typename T>
  static bool read(const Json& json, T& value, std::string& problem) {
    if constexpr (std::is_enum_v<T>) {
      std::underlying_type_t<T> plain{};
      if (!read(json, plain, problem)) return false;
      value = static_cast<T>(plain);
      return true;
    } else if constexpr (is_vector<T>::value) {
      if (!json.is_array()) return false;
      for (const Json& item : json) {
        if (!read(item, value.emplace_back(), problem)) return false;
      }
      return true;
    } else if constexpr (is_map<T>::value) {
      if (!json.is_array()) return false;
      for (const Json& pair : json) {
        typename T::key_type key{};
        typename T::mapped_type item{};
        if (!pair.is_array() || pair.size() != 2 || !read(pair[0], key, problem) ||
            !read(pair[1], item, problem)) {
          return false;
        }
        value.emplace(std::move(key), std::move(item));
      }
      return true;
    } else if constexpr (std::is_same_v<T, bool>) {
      if (!json.is_boolean()) return false;
      value = json.get<bool>();
      return true;
    } else if constexpr (std::is_integral_v<T>) {
      if (!json.is_number_integer()) return false;
      value = json.get<T>();
      return true;
    } else if constexpr (std::is_floating_point_v<T>) {
      if (json.is_null()) return true;  // JSON has no infinities
      if (!json.is_number()) return false;
      value = json.get<T>();
      return true;
    } else if constexpr (std::is_same_v<T, std::string>) {
      if (!json.is_string()) return false;
      value = json.get<std::string>();
      return true;
    } else {
      if (!json.is_object()) return false;
      Reader inner{json};
      fields(inner, value);
      problem = inner.problem;
      return problem.empty();
    }
  }
};

template <std::size_t I>
Result<Record> read_as(const Json& json) {
  std::variant_alternative_t<I, Record> record;
  std::string problem;
  if (!Reader::read(json, record, problem)) {
    return Error{Errc::corrupt, format("record '{}': {}", kinds[I], problem)};
  }
  return Record{std::move(record)};
}

template <std::size_t... I>
Result<Record> read_kind(std::size_t kind, const Json& json, std::index_sequence<I...>) {
  Result<Record> result = Error{Errc::corrupt, "no such record"};
  (void)((I == kind ? (result = read_as<I>(json), true) : false) || ...);
  return result;
}

}  // namespace

std::string encode(const Record& record) {
  Writer writer;
  writer.out["record"] = kinds[record.index()];
  Record copy = record;
  std::visit([&](auto& r) { fields(writer, r); }, copy);
  return to_text(writer.out);
}

Result<Record> decode_record(std::string_view text) {
  const auto json = parse_json(text);
  if (!json) return Error{Errc::corrupt, "a record is not JSON: " + json.error().message};
  const auto kind = json->is_object() ? json->find("record") : json->end();
  if (!json->is_object() || kind == json->end() || !kind->is_string()) {
    return Error{Errc::corrupt, "a record does not say what it is"};
  }
  const auto name = kind->get<std::string>();
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    if (name == kinds[i]) return read_kind(i, *json, std::make_index_sequence<kinds.size()>{});
  }
  return Error{Errc::corrupt, format("record '{}' is not known to this release", name)};
}

JobId job_of(const Record& record) {
  return std::visit(
      [](const auto& r) {
        if constexpr (requires { r.job; }) {
          return r.job;
        } else if constexpr (requires { r.key.task.job; }) {
          return r.key.task.job;
        } else {
          return JobId{};
        }
      },
      record);
}

}  // namespace trainyard::master
