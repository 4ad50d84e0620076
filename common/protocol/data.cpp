#include "common/protocol/data.hpp"

#include <google/protobuf/stubs/logging.h>

#include <cmath>

#include "common/base/text.hpp"
#include "common/protocol/bounds.hpp"
#include "common/protocol/data_compact.hpp"
#include "common/protocol/scan.hpp"
#include "common/protocol/v1/data.pb.h"

namespace trainyard::protocol {
namespace {

constexpr std::size_t header_bytes_max = std::size_t{1} << 20;

v1::DataKind kind(DataKind kind) {
  switch (kind) {
    case DataKind::init:
      return v1::DATA_KIND_INIT;
    case DataKind::pull:
      return v1::DATA_KIND_PULL;
    case DataKind::push:
      return v1::DATA_KIND_PUSH;
    case DataKind::values:
      return v1::DATA_KIND_VALUES;
    case DataKind::refused:
      return v1::DATA_KIND_REFUSED;
    case DataKind::squares:
      return v1::DATA_KIND_SQUARES;
    case DataKind::norm:
      return v1::DATA_KIND_NORM;
    case DataKind::mark:
      return v1::DATA_KIND_MARK;
    case DataKind::leave:
      return v1::DATA_KIND_LEAVE;
    case DataKind::cut:
      return v1::DATA_KIND_CUT;
    case DataKind::follow:
      return v1::DATA_KIND_FOLLOW;
    case DataKind::logged:
      return v1::DATA_KIND_LOGGED;
  }
  return v1::DATA_KIND_UNSPECIFIED;
}

std::optional<DataKind> kind(v1::DataKind kind) {
  switch (kind) {
    case v1::DATA_KIND_INIT:
      return DataKind::init;
    case v1::DATA_KIND_PULL:
      return DataKind::pull;
    case v1::DATA_KIND_PUSH:
      return DataKind::push;
    case v1::DATA_KIND_VALUES:
      return DataKind::values;
    case v1::DATA_KIND_REFUSED:
      return DataKind::refused;
    case v1::DATA_KIND_SQUARES:
      return DataKind::squares;
    case v1::DATA_KIND_NORM:
      return DataKind::norm;
    case v1::DATA_KIND_MARK:
      return DataKind::mark;
    case v1::DATA_KIND_LEAVE:
      return DataKind::leave;
    case v1::DATA_KIND_CUT:
      return DataKind::cut;
    case v1::DATA_KIND_FOLLOW:
      return DataKind::follow;
    case v1::DATA_KIND_LOGGED:
      return DataKind::logged;
    default:
      return std::nullopt;
  }
}

v1::SliceKind kind(SliceKind kind) {
  switch (kind) {
    case SliceKind::weight:
      return v1::SLICE_KIND_WEIGHT;
    case SliceKind::bias:
      return v1::SLICE_KIND_BIAS;
    case SliceKind::buffer:
      return v1::SLICE_KIND_BUFFER;
  }
  return v1::SLICE_KIND_UNSPECIFIED;
}

std::optional<SliceKind> kind(v1::SliceKind kind) {
  switch (kind) {
    case v1::SLICE_KIND_WEIGHT:
      return SliceKind::weight;
    case v1::SLICE_KIND_BIAS:
      return SliceKind::bias;
    case v1::SLICE_KIND_BUFFER:
      return SliceKind::buffer;
    default:
      return std::nullopt;
  }
}

v1::Ending kind(Ending ending) {
  switch (ending) {
    case Ending::none:
      return v1::ENDING_NONE;
    case Ending::done:
      return v1::ENDING_DONE;
    case Ending::stopped:
      return v1::ENDING_STOPPED;
  }
  return v1::ENDING_NONE;
}

std::optional<Ending> kind(v1::Ending ending) {
  switch (ending) {
    case v1::ENDING_NONE:
      return Ending::none;
    case v1::ENDING_DONE:
      return Ending::done;
    case v1::ENDING_STOPPED:
      return Ending::stopped;
    default:
      return std::nullopt;
  }
}

v1::Coding kind(config::Compression coding) {
  switch (coding) {
    case config::Compression::none:
      return v1::CODING_NONE;
    case config::Compression::bf16:
      return v1::CODING_BF16;
    case config::Compression::fp16:
      return v1::CODING_FP16;
    case config::Compression::int8:
      return v1::CODING_INT8;
    case config::Compression::topk:
      return v1::CODING_TOPK;
  }
  return v1::CODING_NONE;
}

std::optional<config::Compression> kind(v1::Coding coding) {
  switch (coding) {
    case v1::CODING_NONE:
      return config::Compression::none;
    case v1::CODING_BF16:
      return config::Compression::bf16;
    case v1::CODING_FP16:
      return config::Compression::fp16;
    case v1::CODING_INT8:
      return config::Compression::int8;
    case v1::CODING_TOPK:
      return config::Compression::topk;
    default:
      return std::nullopt;
  }
}

bool from_zero(double value) { return std::isfinite(value) && value >= 0; }

Error wrong(const char* field) {
  return {Errc::invalid, format("data header: field \"{}\" is missing or out of range", field)};
}

}  // namespace

std::string encode(const DataHeader& header) {
  if (auto compact = encode_compact(header)) return std::move(*compact);
  v1::DataHeader out;
  out.set_kind(kind(header.kind));
  out.set_job(header.job);
  out.set_incarnation(header.incarnation);
  out.set_trainer(header.trainer);
  out.set_shard(header.shard);
  out.set_sequence(header.sequence);
  out.set_samples(header.samples);
  out.set_checkpoint(header.checkpoint);
  out.set_ending(kind(header.ending));
  out.set_epoch(header.epoch);
  out.set_steps_per_epoch(header.steps_per_epoch);
  for (const auto& slice : header.slices) {
    auto& to = *out.add_slices();
    to.set_offset(slice.offset);
    to.set_length(slice.length);
    to.set_kind(kind(slice.kind));
    to.set_rate(slice.rate);
    to.set_decay(slice.decay);
  }
  out.set_reason(header.reason.substr(0, text_bytes_max));
  out.set_averages(header.averages);
  for (const double sum : header.square_sums) out.add_square_sums(sum);
  out.set_norm(header.norm);
  out.set_coding(kind(header.coding));
  out.set_cut(header.cut);
  out.set_version(header.version);
  out.set_last(header.last);
  out.set_log(header.log);
  out.set_staleness(header.staleness);
  return out.SerializeAsString();
}

Result<DataHeader> decode_data_header(std::string_view bytes) {
  if (is_compact(bytes)) return decode_compact(bytes);
  if (bytes.size() > header_bytes_max)
    return Error{Errc::corrupt, format("a data header of {} bytes is above the limit of {}", bytes.size(),
                                       header_bytes_max)};
  if (auto scanned = scan(bytes, *v1::DataHeader::descriptor(), elements_max); !scanned)
    return scanned.error().with("data header");
  google::protobuf::LogSilencer silence;  // a peer must not be able to fill our log
  v1::DataHeader in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return Error{Errc::corrupt, "data header: the bytes are not a message"};

  const auto what = kind(in.kind());
  if (!what) return wrong("kind");
  if (in.job() == 0 || in.job() > count_max) return wrong("job");
  if (in.incarnation() == 0) return wrong("incarnation");
  if (in.trainer() >= members_max) return wrong("trainer");
  if (in.shard() >= members_max) return wrong("shard");
  if (in.sequence() > count_max) return wrong("sequence");
  if (in.checkpoint() > count_max) return wrong("checkpoint");
  if (in.cut() > count_max) return wrong("cut");
  const auto coding = kind(in.coding());
  if (!coding) return wrong("coding");
  const auto ending = kind(in.ending());
  if (!ending) return wrong("ending");
  if (in.epoch() > count_max) return wrong("epoch");
  if (in.steps_per_epoch() > count_max) return wrong("steps_per_epoch");
  if (in.reason().size() > text_bytes_max) return wrong("reason");
  DataHeader out{.kind = *what,
                 .job = in.job(),
                 .incarnation = in.incarnation(),
                 .trainer = in.trainer(),
                 .shard = in.shard(),
                 .sequence = in.sequence(),
                 .samples = in.samples(),
                 .checkpoint = in.checkpoint(),
                 .ending = *ending,
                 .epoch = in.epoch(),
                 .steps_per_epoch = in.steps_per_epoch(),
                 .slices = {},
                 .reason = in.reason(),
                 .averages = in.averages(),
                 .square_sums = {},
                 .norm = in.norm(),
                 .coding = *coding,
                 .cut = in.cut(),
                 .version = in.version(),
                 .last = in.last(),
                 .log = in.log(),
                 .staleness = in.staleness()};
  std::uint64_t total = 0;
  for (const auto& slice : in.slices()) {
    const auto slice_kind = kind(slice.kind());
    if (!slice_kind) return wrong("slices.kind");
    if (slice.offset() > count_max) return wrong("slices.offset");
    if (slice.length() > count_max - total) return wrong("slices.length");
    total += slice.length();
    if (!from_zero(slice.rate())) return wrong("slices.rate");
    if (!from_zero(slice.decay())) return wrong("slices.decay");
    out.slices.push_back({slice.offset(), slice.length(), *slice_kind, slice.rate(), slice.decay()});
  }
  // A gradient that is not finite has no finite norm; its trainers hear of it through their next loss.
  for (const double sum : in.square_sums()) out.square_sums.push_back(sum);
  return out;
}

}  // namespace trainyard::protocol
