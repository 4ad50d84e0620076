// A table as the bytes of a checkpoint, and back.
#include <cstring>
#include <limits>
#include <utility>

#include "common/base/json.hpp"
#include "common/base/text.hpp"
#include "common/optim/table.hpp"

namespace trainyard::optim {

namespace {

// On disk: magic, uint32 length of the JSON header, the header, the values, then each array of the header;
// all little-endian, as x86-64 and AArch64 have it in memory.
constexpr std::string_view magic = "TYT2";
constexpr std::string_view magic_before = "TYT1";
constexpr std::string_view average_name = "average";
constexpr std::string_view mean_square_name = "delay_mean_square";
constexpr std::size_t prefix_bytes = 8;
constexpr std::size_t header_bytes_max = std::size_t{64} << 20;
constexpr std::size_t slices_max = 1'000'000;
constexpr std::size_t arrays_max = 8;

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
    if (!entry.is_array() || (entry.size() != 6 && entry.size() != 7)) return std::nullopt;
    for (std::size_t i = 0; i < 4; ++i) {
      if (!entry[i].is_number_unsigned()) return std::nullopt;
    }
    if (!entry[4].is_number() || !entry[5].is_number()) return std::nullopt;
    const auto shard = entry[0].get<std::uint64_t>();
    const auto kind = entry[3].get<std::uint64_t>();
    if (entry.size() == 7 && !entry[6].is_number_unsigned()) return std::nullopt;
    if (shard > std::numeric_limits<std::uint32_t>::max() || kind > 2) return std::nullopt;
    slices.push_back({static_cast<std::uint32_t>(shard), entry[1].get<std::uint64_t>(),
                      entry[2].get<std::uint64_t>(), static_cast<std::uint8_t>(kind), entry[4].get<double>(),
                      entry[5].get<double>(), entry.size() == 7 ? entry[6].get<std::uint64_t>() : 0});
  }
  return slices;
}

std::optional<std::vector<std::string>> names_of(const Json& json) {
  const auto list = json.find("arrays");
  if (list == json.end() || !list->is_array() || list->size() > arrays_max) return std::nullopt;
  std::vector<std::string> names;
  for (const Json& entry : *list) {
    if (!entry.is_string()) return std::nullopt;
    names.push_back(entry.get<std::string>());
  }
  return names;
}

std::string optimizer_name(config::OptimizerKind kind) {
  for (const auto& [name, each] : config::optimizer_names) {
    if (each == kind) return name;
  }
  return "?";
}

std::string with_arrays(const std::string& optimizer, const std::vector<std::string>& arrays) {
  return arrays.empty() ? optimizer : format("{} ({})", optimizer, join(arrays, ", "));
}

std::vector<float> floats_at(std::string_view bytes, std::size_t from, std::size_t count) {
  std::vector<float> floats(count);
  if (count > 0) std::memcpy(floats.data(), bytes.data() + from, count * sizeof(float));
  return floats;
}

}  // namespace

std::vector<std::string> Table::array_names() const {
  std::vector<std::string> names;
  for (const Array& array : arrays_) names.emplace_back(array.name);
  if (mean_square_) names.emplace_back(mean_square_name);
  if (average_) names.emplace_back(average_name);
  return names;
}

Table::Saved Table::save() const {
  Json slices = Json::array();
  for (const Slice& slice : slices_) {
    Json entry = Json::array({slice.shard, slice.offset, slice.length, slice.kind, slice.rate, slice.decay});
    if (slice.row > 0) entry.push_back(slice.row);
    slices.push_back(std::move(entry));
  }
  const std::string json = to_text(Json{{"step", step_},
                                        {"updates", updates_},
                                        {"steps_per_epoch", steps_per_epoch_},
                                        {"optimizer", optimizer_name(train_.optimizer.kind)},
                                        {"values", values_->size()},
                                        {"arrays", array_names()},
                                        {"slices", std::move(slices)}});
  std::string header(magic);
  const auto length = static_cast<std::uint32_t>(json.size());
  header.append(reinterpret_cast<const char*>(&length), sizeof(length));
  Saved saved{step_, header + json, values_, {}};
  for (const Array& array : arrays_) saved.arrays.push_back(array.floats);
  if (mean_square_) saved.arrays.push_back(*mean_square_);
  if (average_) saved.arrays.push_back(*average_);
  return saved;
}

std::vector<std::span<const std::byte>> Table::Saved::pieces() const {
  std::vector<std::span<const std::byte>> out{std::as_bytes(std::span(header)),
                                              std::as_bytes(std::span(*values))};
  for (const auto& array : arrays) out.push_back(std::as_bytes(std::span(array)));
  return out;
}

Result<Table> Table::load(const config::TrainSection& train, std::string_view bytes, const Delayed& delayed) {
  if (bytes.starts_with(magic_before)) return broken("written by an earlier version; start the job anew");
  if (bytes.size() < prefix_bytes || !bytes.starts_with(magic)) return broken("not what this program writes");
  std::uint32_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data() + magic.size(), sizeof(header_bytes));
  bytes.remove_prefix(prefix_bytes);
  if (header_bytes > bytes.size() || header_bytes > header_bytes_max) return broken("cut short");
  const auto json = parse_json(bytes.substr(0, header_bytes), header_bytes_max);
  if (!json || !json->is_object()) return broken("unreadable header");
  bytes.remove_prefix(header_bytes);

  const auto step = number_of(*json, "step");
  const auto updates = number_of(*json, "updates");
  const auto steps_per_epoch = number_of(*json, "steps_per_epoch");
  const auto values = number_of(*json, "values");
  const auto optimizer = json->find("optimizer");
  const auto arrays = names_of(*json);
  auto slices = slices_of(*json);
  if (!step || !updates || *updates > *step || !steps_per_epoch || !values || !arrays || !slices ||
      optimizer == json->end() || !optimizer->is_string()) {
    return broken("incomplete header");
  }
  const std::uint64_t floats = bytes.size() / sizeof(float);
  if (bytes.size() % sizeof(float) != 0 || *values > floats || floats != *values * (1 + arrays->size())) {
    return broken("its length does not fit its header");
  }
  auto table = make(train, std::move(*slices), *steps_per_epoch, floats_at(bytes, 0, *values), delayed);
  if (!table) return Error{Errc::corrupt, "saved values: " + table.error().message};
  const std::string own = optimizer_name(train.optimizer.kind);
  if (optimizer->get<std::string>() != own || *arrays != table->array_names()) {
    return Error{
        Errc::invalid,
        format("the checkpoint was saved by optimizer {}, the job has {}; go on with the one that "
               "saved it, or submit the job anew",
               with_arrays(optimizer->get<std::string>(), *arrays), with_arrays(own, table->array_names()))};
  }
  std::size_t from = *values * sizeof(float);
  const auto take = [&](std::vector<float>& into) {
    into = floats_at(bytes, from, *values);
    from += *values * sizeof(float);
  };
  for (Array& array : table->arrays_) take(array.floats);
  if (table->mean_square_) take(*table->mean_square_);
  if (table->average_) take(*table->average_);
  table->step_ = *step;
  table->updates_ = *updates;
  return table;
}

}  // namespace trainyard::optim
