#include "common/protocol/rows.hpp"

#include <google/protobuf/stubs/logging.h>

#include <cmath>

#include "common/base/text.hpp"
#include "common/protocol/bounds.hpp"
#include "common/protocol/scan.hpp"
#include "common/protocol/v1/rows.pb.h"

namespace trainyard::protocol {
namespace {

// As the tag of a field its first letter ends a group that never began: no message begins so.
constexpr std::string_view letters = "TYR1";
constexpr std::size_t header_bytes_max = std::size_t{128} << 10;

/// The numbers of v1::RowsKind are those of RowsKind, and one more.
v1::RowsKind kind(RowsKind kind) { return static_cast<v1::RowsKind>(static_cast<int>(kind) + 1); }

bool from_zero(double value) { return std::isfinite(value) && value >= 0; }

Error wrong(const char* field) {
  return {Errc::invalid, format("rows header: field \"{}\" is missing or out of range", field)};
}

Result<RowTable> table_of(const v1::RowTable& in) {
  if (in.first() > 2) return wrong("spec.first");
  if (in.spread() > 1) return wrong("spec.spread");
  if (!from_zero(static_cast<double>(in.scale()))) return wrong("spec.scale");
  if (!from_zero(in.rate())) return wrong("spec.rate");
  if (!from_zero(in.decay())) return wrong("spec.decay");
  if (in.steps_per_epoch() == 0 || in.steps_per_epoch() > count_max) return wrong("spec.steps_per_epoch");
  return RowTable{.width = in.width(),
                  .seed = in.seed(),
                  .first = static_cast<std::uint8_t>(in.first()),
                  .scale = in.scale(),
                  .rate = in.rate(),
                  .decay = in.decay(),
                  .admit_after = in.admit_after(),
                  .filter_cells = in.filter_cells(),
                  .expire_after = in.expire_after(),
                  .memory_bytes_max = in.memory_bytes_max(),
                  .spread = static_cast<std::uint8_t>(in.spread()),
                  .ids = in.ids(),
                  .on_arrival = in.on_arrival(),
                  .steps_per_epoch = in.steps_per_epoch()};
}

}  // namespace

std::string encode(const RowsHeader& header) {
  v1::RowsHeader out;
  out.set_kind(kind(header.kind));
  out.set_job(header.job);
  out.set_incarnation(header.incarnation);
  out.set_trainer(header.trainer);
  out.set_shard(header.shard);
  out.set_table(header.table);
  out.set_sequence(header.sequence);
  out.set_samples(header.samples);
  out.set_count(header.count);
  if (header.kind == RowsKind::create) {
    v1::RowTable& to = *out.mutable_spec();
    to.set_width(header.spec.width);
    to.set_seed(header.spec.seed);
    to.set_first(header.spec.first);
    to.set_scale(header.spec.scale);
    to.set_rate(header.spec.rate);
    to.set_decay(header.spec.decay);
    to.set_admit_after(header.spec.admit_after);
    to.set_filter_cells(header.spec.filter_cells);
    to.set_expire_after(header.spec.expire_after);
    to.set_memory_bytes_max(header.spec.memory_bytes_max);
    to.set_spread(header.spec.spread);
    to.set_ids(header.spec.ids);
    to.set_on_arrival(header.spec.on_arrival);
    to.set_steps_per_epoch(header.spec.steps_per_epoch);
  }
  out.set_reason(header.reason.substr(0, text_bytes_max));
  return std::string(letters) + out.SerializeAsString();
}

bool is_rows_header(std::string_view bytes) { return bytes.starts_with(letters); }

Result<RowsHeader> decode_rows_header(std::string_view bytes) {
  if (!is_rows_header(bytes)) return Error{Errc::corrupt, "rows header: not one"};
  bytes.remove_prefix(letters.size());
  if (bytes.size() > header_bytes_max)
    return Error{Errc::corrupt, format("a rows header of {} bytes is above the limit of {}", bytes.size(),
                                       header_bytes_max)};
  if (auto scanned = scan(bytes, *v1::RowsHeader::descriptor(), elements_max); !scanned)
    return scanned.error().with("rows header");
  google::protobuf::LogSilencer silence;  // a peer must not be able to fill our log
  v1::RowsHeader in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return Error{Errc::corrupt, "rows header: the bytes are not a message"};
  if (in.kind() < v1::ROWS_KIND_CREATE || in.kind() > v1::ROWS_KIND_REFUSED) return wrong("kind");
  if (in.job() == 0 || in.job() > count_max) return wrong("job");
  if (in.incarnation() == 0) return wrong("incarnation");
  if (in.trainer() >= members_max) return wrong("trainer");
  if (in.shard() >= members_max) return wrong("shard");
  if (in.sequence() > count_max) return wrong("sequence");
  if (in.count() > rows_bytes_max) return wrong("count");
  if (in.reason().size() > text_bytes_max) return wrong("reason");
  RowsHeader out{.kind = static_cast<RowsKind>(in.kind() - 1),
                 .job = in.job(),
                 .incarnation = in.incarnation(),
                 .trainer = in.trainer(),
                 .shard = in.shard(),
                 .table = in.table(),
                 .sequence = in.sequence(),
                 .samples = in.samples(),
                 .count = in.count(),
                 .spec = {},
                 .reason = in.reason()};
  if (out.kind != RowsKind::create) return out;
  auto spec = table_of(in.spec());
  if (!spec) return spec.error();
  out.spec = *spec;
  return out;
}

}  // namespace trainyard::protocol
