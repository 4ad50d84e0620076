#include "daemons/master/records.hpp"

#include "daemons/master/record_fields.hpp"

namespace trainyard::master {

namespace {

// Names in the journal, in the order of the variant.
constexpr VariantFields<Record> record_fields{
    "record",
    {"cluster_founded", "ids_used", "job_accepted", "gang_placed", "gang_complete", "first_step_done",
     "epoch_done", "records_skipped", "checkpoint", "finished", "stop_decided", "task_ended",
     "gang_dissolved", "job_ended", "job_forgotten", "checkpoint_lost", "shard_moved"}};

}  // namespace

std::string encode(const Record& record) { return to_text(record_fields.write(record)); }

Result<Record> decode_record(std::string_view text) {
  const auto json = parse_json(text);
  if (!json) return Error{Errc::corrupt, "a record is not JSON: " + json.error().message};
  return record_fields.read(*json);
}

const char* name(const Record& record) { return record_fields.name(record); }

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
