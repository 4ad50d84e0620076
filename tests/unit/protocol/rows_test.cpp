#include "common/protocol/rows.hpp"

#include <catch2/catch.hpp>

#include "common/protocol/data.hpp"
#include "generate.hpp"

using namespace trainyard;
using namespace trainyard::protocol;
using Catch::Contains;

namespace {

RowsHeader drawn(Random& random) {
  RowsHeader header{.kind = static_cast<RowsKind>(random.below(7)),
                    .job = 1 + random.below(1000),
                    .incarnation = 1 + static_cast<std::uint32_t>(random.below(9)),
                    .trainer = static_cast<std::uint32_t>(random.below(64)),
                    .shard = static_cast<std::uint32_t>(random.below(64)),
                    .table = random.next(),
                    .sequence = random.next() >> 2,
                    .samples = static_cast<std::uint32_t>(random.next()),
                    .count = random.below(1 << 28),
                    .spec = {},
                    .reason = random.chance(0.3) ? "why not" : ""};
  if (header.kind != RowsKind::create) return header;
  header.spec = {.width = static_cast<std::uint32_t>(random.next()),
                 .seed = random.next(),
                 .first = static_cast<std::uint8_t>(random.below(3)),
                 .scale = static_cast<float>(random.uniform()),
                 .rate = random.uniform(),
                 .decay = random.uniform(),
                 .admit_after = static_cast<std::uint32_t>(random.next()),
                 .filter_cells = random.next(),
                 .expire_after = random.next(),
                 .memory_bytes_max = random.next(),
                 .spread = static_cast<std::uint8_t>(random.below(2)),
                 .ids = random.next(),
                 .on_arrival = random.chance(0.5),
                 .steps_per_epoch = 1 + random.below(1000)};
  return header;
}

}  // namespace

TEST_CASE("a rows header comes back as it was sent, and is never taken for a data header", "[protocol]") {
  Random random(3);
  for (int round = 0; round < 500; ++round) {
    const RowsHeader sent = drawn(random);
    const std::string bytes = encode(sent);
    const auto got = decode_rows_header(bytes);
    INFO((got ? "" : got.error().message));
    REQUIRE(got);
    REQUIRE(*got == sent);
    REQUIRE(is_rows_header(bytes));
    REQUIRE_FALSE(decode_data_header(bytes).has_value());
    const std::string other = encode(generate_header(random));
    REQUIRE_FALSE(is_rows_header(other));
    REQUIRE_FALSE(decode_rows_header(other).has_value());
  }
}

TEST_CASE("broken bytes of a rows header never crash", "[protocol]") {
  Random random(4);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = encode(drawn(random));
    if (random.chance(0.5)) bytes.resize(random.below(bytes.size() + 1));
    for (std::uint64_t i = random.below(4); i > 0 && !bytes.empty(); --i)
      bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
    const auto got = decode_rows_header(bytes);
    if (got) REQUIRE(decode_rows_header(encode(*got)));
  }
}

TEST_CASE("a rows header says which field is wrong", "[protocol]") {
  const auto fault = [](const RowsHeader& header) {
    const auto got = decode_rows_header(encode(header));
    REQUIRE_FALSE(got);
    CHECK(got.error().code == Errc::invalid);
    return got.error().message;
  };
  CHECK_THAT(fault({.job = 0, .incarnation = 1}), Contains("\"job\""));
  CHECK_THAT(fault({.job = 1, .incarnation = 0}), Contains("\"incarnation\""));
  CHECK_THAT(fault({.kind = static_cast<RowsKind>(9), .job = 1, .incarnation = 1}), Contains("\"kind\""));
  CHECK_THAT(fault({.job = 1, .incarnation = 1, .count = ~0ull}), Contains("\"count\""));
  RowsHeader create{.kind = RowsKind::create, .job = 1, .incarnation = 1};
  create.spec.rate = -1;
  CHECK_THAT(fault(create), Contains("\"spec.rate\""));
  create.spec = {.first = 3};
  CHECK_THAT(fault(create), Contains("\"spec.first\""));
  create.spec = {.steps_per_epoch = 0};
  CHECK_THAT(fault(create), Contains("\"spec.steps_per_epoch\""));
}
