#include "daemons/trainer/chief_part.hpp"

#include <catch2/catch.hpp>
#include <limits>

#include "common/base/random.hpp"
#include "common/store/file.hpp"
#include "tests/support/temp_dir.hpp"

using namespace trainyard;
using namespace trainyard::trainer;
using Catch::Contains;

namespace {

ChiefPart part() {
  return {.ended = true,
          .history = {{1, 40, {{"train/loss", 0.1}, {"validation/accuracy", 1.0 / 3}}}, {2, 80, {}}},
          .epoch_so_far = {.loss = 123.456789012345678, .correct = 7, .samples = 12},
          .table = {}};
}

optim::Table table() {
  config::TrainSection train;
  train.optimizer = {.learning_rate = 0.5, .momentum = 0.9};
  auto made = optim::Table::make(train, {{0, 0, 3, 0}}, 10, {1, 2, 3});
  REQUIRE(made.has_value());
  const std::vector<float> gradients{1, -1, 0.5f};
  const optim::Contribution contribution{1, gradients};
  made->apply(std::span(&contribution, 1));
  return std::move(*made);
}

/// Writes the part and a manifest that names it.
store::PartInfo write(const std::string& directory, const ChiefPart& chief,
                      const std::optional<optim::Table::Saved>& saved = std::nullopt) {
  const auto info = write_chief_part(directory, chief, saved);
  REQUIRE(info.has_value());
  REQUIRE(store::write_manifest(directory, {.step = 80, .epoch = 2, .incarnation = 1, .parts = {*info}}));
  return *info;
}

/// Bytes in the place of the part, under a manifest that is right about them.
Result<ChiefPart> read_bytes(const std::string& directory, const std::string& bytes) {
  const std::span<const std::byte> piece = std::as_bytes(std::span(bytes));
  const auto info = store::write_part(directory, "chief.part", std::span(&piece, 1));
  REQUIRE(info.has_value());
  REQUIRE(store::write_manifest(directory, {.step = 80, .epoch = 2, .incarnation = 1, .parts = {*info}}));
  return read_chief_part(directory);
}

std::string with_length(const std::string& json, std::uint64_t length) {
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + json;
}
std::string with_length(const std::string& json) { return with_length(json, json.size()); }

}  // namespace

TEST_CASE("the chief's part gives back the history, bit for bit", "[trainer]") {
  const test::TempDir dir;
  const store::PartInfo info = write(dir / "step", part());
  CHECK(info.file == "chief.part");
  const auto read = read_chief_part(dir / "step");
  REQUIRE(read.has_value());
  CHECK(read->ended);
  CHECK(read->history == part().history);
  CHECK(read->epoch_so_far.loss == part().epoch_so_far.loss);
  CHECK(read->epoch_so_far.correct == 7);
  CHECK(read->epoch_so_far.samples == 12);
  CHECK(read->table.empty());
}

TEST_CASE("without shards the part carries the values and the optimizer's state", "[trainer]") {
  const test::TempDir dir;
  const optim::Table before = table();
  write(dir / "step", {}, before.save());
  const auto read = read_chief_part(dir / "step");
  REQUIRE(read.has_value());
  CHECK_FALSE(read->ended);
  config::TrainSection train;
  train.optimizer = {.learning_rate = 0.5, .momentum = 0.9};
  const auto after = optim::Table::load(train, read->table);
  REQUIRE(after.has_value());
  CHECK(after->step() == 1);
  CHECK(*after->values() == *before.values());
  CHECK(after->save().arrays == before.save().arrays);
}

TEST_CASE("a metric that is no number is left out of the history, the rest stays", "[trainer]") {
  const test::TempDir dir;
  ChiefPart chief;
  chief.history = {{1, 40, {{"a", 0.5}, {"b", std::numeric_limits<double>::quiet_NaN()}}}};
  write(dir / "step", chief);
  CHECK(read_chief_part(dir / "step").value().history == std::vector<EpochRow>{{1, 40, {{"a", 0.5}}}});
}

TEST_CASE("what is no part of a chief is refused, and says where and why", "[trainer]") {
  const test::TempDir dir;
  const auto fault = [&](const std::string& bytes) {
    const auto read = read_bytes(dir / "step", bytes);
    REQUIRE_FALSE(read.has_value());
    CHECK(read.error().code == Errc::corrupt);
    CHECK_THAT(read.error().message, Contains("step/chief.part: "));
    return read.error().message;
  };
  CHECK_THAT(fault(""), Contains("too short"));
  CHECK_THAT(fault("1234567"), Contains("too short"));
  CHECK_THAT(fault(with_length("{}", 3)), Contains("cut off"));
  CHECK_THAT(fault(with_length("{}", ~std::uint64_t{0})), Contains("cut off"));
  CHECK_THAT(fault(with_length("{")), Contains("JSON"));
  CHECK_THAT(fault(with_length("[]")), Contains("no history"));
  CHECK_THAT(fault(with_length("{\"history\":{}}")), Contains("no history"));
  for (const char* row : {"1", "{}", "{\"epoch\":-1,\"step\":1,\"metrics\":{}}",
                          "{\"epoch\":1,\"step\":\"1\",\"metrics\":{}}", "{\"epoch\":1,\"step\":1}"}) {
    CHECK_THAT(fault(with_length(std::string("{\"history\":[") + row + "]}")), Contains("row"));
  }
  CHECK_THAT(fault(with_length("{\"history\":[],\"ended\":3}")), Contains("ended"));
  CHECK_THAT(fault(with_length(R"({"history":[],"ended":true})")), Contains("sums of the epoch"));
  CHECK_THAT(fault(with_length(
                 R"({"history":[],"ended":true,"epoch_so_far":{"loss":"x","correct":0,"samples":0}})")),
             Contains("sums of the epoch"));
}

TEST_CASE("a damaged part of a chief is an error or a part, never a crash", "[trainer]") {
  const test::TempDir dir;
  write(dir / "step", part());
  const std::string bytes = store::read_file(dir / "step/chief.part").value();
  Random random(3);
  for (int round = 0; round < 300; ++round) {
    std::string broken = bytes;
    for (std::uint64_t n = 1 + random.below(3); n-- > 0;)
      broken[random.below(broken.size())] = static_cast<char>(random.below(256));
    (void)read_bytes(dir / "step", broken);
  }
}

TEST_CASE("a checkpoint without a manifest, or whose manifest names no chief, is none", "[trainer]") {
  const test::TempDir dir;
  REQUIRE(write_chief_part(dir / "step", part(), std::nullopt).has_value());
  CHECK_FALSE(read_chief_part(dir / "step").has_value());
  REQUIRE(store::write_manifest(dir / "step", {.step = 80, .epoch = 2, .incarnation = 1, .parts = {}}));
  CHECK_THAT(read_chief_part(dir / "step").error().message, Contains("not in the manifest"));
}
