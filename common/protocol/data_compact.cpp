#include "common/protocol/data_compact.hpp"

#include <bit>
#include <cstring>

#include "common/base/text.hpp"
#include "common/protocol/bounds.hpp"

namespace trainyard::protocol {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::uint8_t version_now = 1;
constexpr std::uint8_t flag_averages = 1, flag_last = 2;

struct Compact {
  std::uint8_t mark = 0;
  std::uint8_t version = version_now;
  std::uint8_t kind = 0;
  std::uint8_t flags = 0;
  std::uint8_t ending = 0;
  std::uint8_t coding = 0;
  std::uint16_t unused = 0;
  std::uint32_t incarnation = 0, trainer = 0, shard = 0, samples = 0;
  std::uint64_t job = 0, sequence = 0, epoch = 0, steps_per_epoch = 0;
  double norm = 0;
  std::uint64_t checkpoint = 0, cut = 0, of_values = 0, staleness = 0;
};
static_assert(sizeof(Compact) == 96 && std::is_trivially_copyable_v<Compact>);

DataHeader header_of(const Compact& in) {
  DataHeader out;
  out.kind = static_cast<DataKind>(in.kind);
  out.job = in.job;
  out.incarnation = in.incarnation;
  out.trainer = in.trainer;
  out.shard = in.shard;
  out.sequence = in.sequence;
  out.samples = in.samples;
  out.checkpoint = in.checkpoint;
  out.ending = static_cast<Ending>(in.ending);
  out.epoch = in.epoch;
  out.steps_per_epoch = in.steps_per_epoch;
  out.averages = (in.flags & flag_averages) != 0;
  out.norm = in.norm;
  out.coding = static_cast<config::Compression>(in.coding);
  out.cut = in.cut;
  out.version = in.of_values;
  out.last = (in.flags & flag_last) != 0;
  out.staleness = in.staleness;
  return out;
}

/// The first field that is out of its range, or null.
const char* wrong_field(const Compact& in) {
  if (in.version != version_now || in.unused != 0) return "version";
  if (in.kind > static_cast<std::uint8_t>(DataKind::leave)) return "kind";
  if (in.flags > (flag_averages | flag_last)) return "flags";
  if (in.ending > static_cast<std::uint8_t>(Ending::stopped)) return "ending";
  if (in.coding > static_cast<std::uint8_t>(config::Compression::topk)) return "coding";
  if (in.job == 0 || in.job > count_max) return "job";
  if (in.incarnation == 0) return "incarnation";
  if (in.trainer >= members_max) return "trainer";
  if (in.shard >= members_max) return "shard";
  if (in.sequence > count_max) return "sequence";
  if (in.epoch > count_max) return "epoch";
  if (in.steps_per_epoch > count_max) return "steps_per_epoch";
  if (in.checkpoint > count_max) return "checkpoint";
  if (in.cut > count_max) return "cut";
  return nullptr;
}

}  // namespace

std::optional<std::string> encode_compact(const DataHeader& header) {
  if (!header.slices.empty() || !header.reason.empty() || !header.square_sums.empty()) return std::nullopt;
  Compact out;
  out.kind = static_cast<std::uint8_t>(header.kind);
  out.flags =
      static_cast<std::uint8_t>((header.averages ? flag_averages : 0) | (header.last ? flag_last : 0));
  out.ending = static_cast<std::uint8_t>(header.ending);
  out.coding = static_cast<std::uint8_t>(header.coding);
  out.incarnation = header.incarnation;
  out.trainer = header.trainer;
  out.shard = header.shard;
  out.samples = header.samples;
  out.job = header.job;
  out.sequence = header.sequence;
  out.epoch = header.epoch;
  out.steps_per_epoch = header.steps_per_epoch;
  out.norm = header.norm;
  out.checkpoint = header.checkpoint;
  out.cut = header.cut;
  out.of_values = header.version;
  out.staleness = header.staleness;
  // A header with more in it than is said here goes the long way, whatever that more is.
  if (wrong_field(out) != nullptr || header_of(out) != header) return std::nullopt;
  return std::string(reinterpret_cast<const char*>(&out), sizeof(out));
}

bool is_compact(std::string_view bytes) { return !bytes.empty() && bytes.front() == '\0'; }

Result<DataHeader> decode_compact(std::string_view bytes) {
  Compact in;
  if (bytes.size() != sizeof(in))
    return Error{Errc::corrupt,
                 format("a short data header of {} bytes instead of {}", bytes.size(), sizeof(in))};
  std::memcpy(&in, bytes.data(), sizeof(in));
  if (const char* const field = wrong_field(in))
    return Error{Errc::invalid, format("data header: field \"{}\" is missing or out of range", field)};
  return header_of(in);
}

}  // namespace trainyard::protocol
