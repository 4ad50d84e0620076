#include "common/protocol/data.hpp"

#include <catch2/catch.hpp>

#include "generate.hpp"

using namespace trainyard;
using namespace trainyard::protocol;
using Catch::Contains;

TEST_CASE("a data header comes back as it was sent", "[protocol]") {
  Random random(3);
  for (int round = 0; round < 500; ++round) {
    const DataHeader sent = generate_header(random);
    const auto got = decode_data_header(encode(sent));
    INFO((got ? "" : got.error().message));
    REQUIRE(got);
    REQUIRE(*got == sent);
  }
}

TEST_CASE("broken bytes of a data header never crash", "[protocol]") {
  Random random(4);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = encode(generate_header(random));
    if (random.chance(0.5)) bytes.resize(random.below(bytes.size() + 1));
    for (std::uint64_t i = random.below(4); i > 0 && !bytes.empty(); --i)
      bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
    const auto got = decode_data_header(bytes);
    if (got) REQUIRE(decode_data_header(encode(*got)));
  }
}

TEST_CASE("a data header says which field is wrong", "[protocol]") {
  const auto fault = [](const DataHeader& header) {
    const auto got = decode_data_header(encode(header));
    REQUIRE_FALSE(got);
    CHECK(got.error().code == Errc::invalid);
    return got.error().message;
  };
  CHECK_THAT(decode_data_header("").error().message, Contains("\"kind\""));
  CHECK_THAT(fault({.job = 0, .incarnation = 1}), Contains("\"job\""));
  CHECK_THAT(fault({.job = 1, .incarnation = 0}), Contains("\"incarnation\""));
  CHECK_THAT(fault({.kind = static_cast<DataKind>(99), .job = 1, .incarnation = 1}), Contains("\"kind\""));
  CHECK_THAT(fault({.job = 1, .incarnation = 1, .slices = {{0, ~0ull, SliceKind::bias}}}),
             Contains("\"slices.length\""));
  CHECK_THAT(fault({.job = 1,
                    .incarnation = 1,
                    .slices = {{0, 1ull << 61, SliceKind::bias}, {0, 1ull << 62, SliceKind::bias}}}),
             Contains("\"slices.length\""));
  CHECK_THAT(fault({.job = 1, .incarnation = 1, .slices = {{0, 1, static_cast<SliceKind>(8)}}}),
             Contains("\"slices.kind\""));
}
