#include "daemons/trainer/chief_part.hpp"

#include <array>
#include <cstring>

#include "common/base/json.hpp"
#include "common/base/text.hpp"

namespace trainyard::trainer {

namespace {
constexpr const char* file_name = "chief.part";
}

Result<store::PartInfo> write_chief_part(const std::string& directory, const ChiefPart& part,
                                         const std::optional<optim::Table::Saved>& table) {
  const auto& sums = part.epoch_so_far;
  Json json{{"ended", part.ended},
            {"history", Json::array()},
            {"epoch_so_far", {{"loss", sums.loss}, {"correct", sums.correct}, {"samples", sums.samples}}}};
  for (const EpochRow& row : part.history) {
    Json metrics = Json::object();
    for (const auto& [key, value] : row.metrics) metrics[key] = value;
    json["history"].push_back(
        Json{{"epoch", row.epoch}, {"step", row.step}, {"metrics", std::move(metrics)}});
  }
  const std::string text = to_text(json);
  const std::uint64_t length = text.size();
  std::vector<std::span<const std::byte>> pieces{std::as_bytes(std::span(&length, 1)),
                                                 std::as_bytes(std::span(text))};
  if (table) {
    for (const auto piece : table->pieces()) pieces.push_back(piece);
  }
  return store::write_part(directory, file_name, pieces);
}

Result<ChiefPart> read_chief_part(const std::string& directory) {
  const auto manifest = store::read_manifest(directory);
  if (!manifest) return manifest.error();
  const auto corrupt = [&](const std::string& what) {
    return Error{Errc::corrupt, format("{}/{}: {}", directory, file_name, what)};
  };
  for (const store::PartInfo& info : manifest->parts) {
    if (info.file != file_name) continue;
    const auto bytes = store::read_part(directory, info);
    if (!bytes) return bytes.error();
    std::uint64_t length = 0;
    if (bytes->size() < sizeof length) return corrupt("too short");
    std::memcpy(&length, bytes->data(), sizeof length);
    if (length > bytes->size() - sizeof length) return corrupt("cut off");
    const auto json = parse_json(std::string_view(*bytes).substr(sizeof length, length));
    if (!json) return corrupt(json.error().message);
    ChiefPart part;
    part.table = bytes->substr(sizeof length + length);
    if (!json->is_object() || !json->contains("history") || !(*json)["history"].is_array())
      return corrupt("has no history");
    for (const Json& row : (*json)["history"]) {
      if (!row.is_object() || !row.contains("epoch") || !row["epoch"].is_number_unsigned() ||
          !row.contains("step") || !row["step"].is_number_unsigned() || !row.contains("metrics") ||
          !row["metrics"].is_object()) {
        return corrupt("a row of its history is not one");
      }
      EpochRow& out = part.history.emplace_back();
      out.epoch = row["epoch"].get<std::uint64_t>();
      out.step = row["step"].get<std::uint64_t>();
      for (const auto& [key, value] : row["metrics"].items()) {
        if (value.is_number()) out.metrics[key] = value.get<double>();
      }
    }
    const auto ended = json->find("ended");
    if (ended == json->end() || !ended->is_boolean())
      return corrupt("does not say whether training has ended");
    part.ended = ended->get<bool>();
    const auto sums = json->find("epoch_so_far");
    if (sums == json->end() || !sums->is_object() || !sums->contains("loss") ||
        !(*sums)["loss"].is_number() || !sums->contains("correct") ||
        !(*sums)["correct"].is_number_unsigned() || !sums->contains("samples") ||
        !(*sums)["samples"].is_number_unsigned()) {
      return corrupt("has no sums of the epoch");
    }
    part.epoch_so_far = {(*sums)["loss"].get<double>(), (*sums)["correct"].get<std::uint64_t>(),
                         (*sums)["samples"].get<std::uint64_t>()};
    return part;
  }
  return corrupt("not in the manifest");
}

}  // namespace trainyard::trainer
