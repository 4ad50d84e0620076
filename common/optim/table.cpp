#include "common/optim/table.hpp"

#include <cstring>
#include <limits>
#include <utility>

#include "common/base/json.hpp"
#include "common/base/text.hpp"
#include "common/optim/optimizer.hpp"

namespace trainyard::optim {

namespace {

// On disk: magic, uint32 length of the JSON header, the header, values, velocity; all little-endian, as
// x86-64 and AArch64 have it in memory.
constexpr std::string_view magic = "TYT1";
constexpr std::size_t prefix_bytes = 8;
constexpr std::size_t header_bytes_max = std::size_t{16} << 20;
constexpr std::size_t slices_max = 1'000'000;

Error broken(const std::string& what) { return {Errc::corrupt, "saved values: " + what}; }

std::optional<std::uint64_t> number_of(const Json& json, const char* key) {
  const auto it = json.find(key);
  if (it == json.end() || !it->is_number_unsigned()) return std::nullopt;
  return it->get<std::uint64_t>();
}

std::optional<std::vector<Slice>> slices_of(const Json& json) {
  const auto list = json.find("slices");
  if (list == json.end() || !list->is_array() || list->size() > slices_max) return std::nullopt;
  std::vector<Slice> slices;
  for (const Json& entry : *list) {
    if (!entry.is_array() || entry.size() != 4) return std::nullopt;
    for (const Json& field : entry) {
      if (!field.is_number_unsigned()) return std::nullopt;
    }
    const auto shard = entry[0].get<std::uint64_t>();
    const auto kind = entry[3].get<std::uint64_t>();
    if (shard > std::numeric_limits<std::uint32_t>::max() || kind > 2) return std::nullopt;
    slices.push_back({static_cast<std::uint32_t>(shard), entry[1].get<std::uint64_t>(),
                      entry[2].get<std::uint64_t>(), static_cast<std::uint8_t>(kind)});
  }
  return slices;
}

std::vector<float> floats_at(std::string_view bytes, std::size_t from, std::size_t count) {
  std::vector<float> floats(count);
  if (count > 0) std::memcpy(floats.data(), bytes.data() + from, count * sizeof(float));
  return floats;
}

}  // namespace

Table::Table(const config::TrainSection& train, std::vector<Slice> slices, std::uint64_t steps_per_epoch)
    : train_(train), slices_(std::move(slices)), steps_per_epoch_(steps_per_epoch) {}

Result<Table> Table::make(const config::TrainSection& train, std::vector<Slice> slices,
                          std::uint64_t steps_per_epoch, std::vector<float> values) {
  std::uint64_t left = values.size();
  for (const Slice& slice : slices) {
    if (slice.kind > static_cast<std::uint8_t>(ValueKind::buffer)) {
      return Error{Errc::invalid, format("a slice of unknown kind {}", slice.kind)};
    }
    // Subtracting keeps lengths from outside from overflowing a sum.
    if (slice.length > left) return Error{Errc::invalid, "the slices hold more than the values"};
    left -= slice.length;
  }
  if (left != 0) return Error{Errc::invalid, format("{} values belong to no slice", left)};
  if (steps_per_epoch == 0) return Error{Errc::invalid, "an epoch without steps"};
  Table table(train, std::move(slices), steps_per_epoch);
  if (train.optimizer.momentum != 0) table.velocity_.assign(values.size(), 0.0F);
  table.values_ = std::make_shared<const std::vector<float>>(std::move(values));
  return table;
}

double Table::rate(std::uint64_t step) const {
  return learning_rate(train_.schedule, train_.optimizer.learning_rate, step, steps_per_epoch_,
                       steps_per_epoch_ * train_.epochs);
}

void Table::apply(std::span<const Contribution> contributions) {
  ++step_;
  std::uint64_t samples = 0;
  std::vector<std::span<const float>> given;
  for (const Contribution& contribution : contributions) {
    if (contribution.samples == 0) continue;
    check(contribution.gradients.size() == size(), "a contribution has the table's size");
    samples += contribution.samples;
    given.push_back(contribution.gradients);
  }
  if (samples == 0) return;

  const auto scale = static_cast<float>(1.0 / static_cast<double>(samples));
  const double step_rate = rate(step_);
  auto next = std::make_shared<std::vector<float>>(*values_);
  std::vector<std::span<const float>> parts(given.size());
  std::size_t at = 0;
  for (const Slice& slice : slices_) {
    for (std::size_t i = 0; i < given.size(); ++i) parts[i] = given[i].subspan(at, slice.length);
    const auto values = std::span(*next).subspan(at, slice.length);
    if (slice.kind == static_cast<std::uint8_t>(ValueKind::buffer)) {
      mean(values, parts, scale);
    } else {
      const auto velocity =
          velocity_.empty() ? std::span<float>{} : std::span(velocity_).subspan(at, slice.length);
      const bool decay = slice.kind == static_cast<std::uint8_t>(ValueKind::weight);
      sgd(train_.optimizer, step_rate, decay, values, velocity, parts, scale);
    }
    at += slice.length;
  }
  values_ = std::move(next);
}

Table::Saved Table::save() const {
  Json slices = Json::array();
  for (const Slice& slice : slices_) {
    slices.push_back(Json::array({slice.shard, slice.offset, slice.length, slice.kind}));
  }
  const std::string json = to_text(Json{{"step", step_},
                                        {"steps_per_epoch", steps_per_epoch_},
                                        {"values", values_->size()},
                                        {"velocity", velocity_.size()},
                                        {"slices", std::move(slices)}});
  std::string header(magic);
  const auto length = static_cast<std::uint32_t>(json.size());
  header.append(reinterpret_cast<const char*>(&length), sizeof(length));
  return {step_, header + json, values_, velocity_};
}

std::array<std::span<const std::byte>, 3> Table::Saved::pieces() const {
  return {std::as_bytes(std::span(header)), std::as_bytes(std::span(*values)),
          std::as_bytes(std::span(velocity))};
}

Result<Table> Table::load(const config::TrainSection& train, std::string_view bytes) {
  if (bytes.size() < prefix_bytes || !bytes.starts_with(magic)) return broken("not what this program writes");
  std::uint32_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data() + magic.size(), sizeof(header_bytes));
  bytes.remove_prefix(prefix_bytes);
  if (header_bytes > bytes.size() || header_bytes > header_bytes_max) return broken("cut short");
  const auto json = parse_json(bytes.substr(0, header_bytes), header_bytes_max);
  if (!json || !json->is_object()) return broken("unreadable header");
  bytes.remove_prefix(header_bytes);

  const auto step = number_of(*json, "step");
  const auto steps_per_epoch = number_of(*json, "steps_per_epoch");
  const auto values = number_of(*json, "values");
  const auto velocity = number_of(*json, "velocity");
  auto slices = slices_of(*json);
  if (!step || !steps_per_epoch || !values || !velocity || !slices) return broken("incomplete header");
  const std::uint64_t floats = bytes.size() / sizeof(float);
  if (bytes.size() % sizeof(float) != 0 || *values > floats || *velocity != floats - *values) {
    return broken("its length does not fit its header");
  }
  auto table = make(train, std::move(*slices), *steps_per_epoch, floats_at(bytes, 0, *values));
  if (!table) return Error{Errc::corrupt, "saved values: " + table.error().message};
  if (*velocity != table->velocity_.size()) return broken("momentum differs from the job's");
  table->velocity_ = floats_at(bytes, *values * sizeof(float), *velocity);
  table->step_ = *step;
  return table;
}

}  // namespace trainyard::optim
