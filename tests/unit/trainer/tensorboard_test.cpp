#include "daemons/trainer/bundle/tensorboard.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>

using namespace trainyard;
using namespace trainyard::trainer;

namespace {

/// Payloads of the records, each checked against its length.
std::vector<std::string> payloads(const std::string& file) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < file.size();) {
    std::uint64_t length = 0;
    REQUIRE(at + 12 <= file.size());
    std::memcpy(&length, file.data() + at, 8);
    REQUIRE(at + 16 + length <= file.size());
    out.push_back(file.substr(at + 12, length));
    at += 16 + length;
  }
  return out;
}

}  // namespace

TEST_CASE("CRC-32C gives the values of RFC 3720", "[trainer]") {
  CHECK(crc32c("123456789") == 0xe3069283);
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aa);
  CHECK(crc32c(std::string(32, '\xff')) == 0x62a8ab43);
}

TEST_CASE("an event file begins with its version and has an event for each epoch and the end", "[trainer]") {
  const std::vector<EpochRow> history = {
      {1, 7, {{"train/loss", 0.5}, {"seconds", 2}}},
      {2, 14, {{"train/loss", 0.25}, {"validation/loss", NAN}, {"seconds", 3}}}};
  const auto events = payloads(tensorboard_events(history, {{"test/accuracy", 0.75}}, 100'000));
  REQUIRE(events.size() == 4);
  CHECK_THAT(events[0], Catch::EndsWith("brain.Event:2"));
  CHECK_THAT(events[1], Catch::Contains("train/loss"));
  CHECK_THAT(events[2], !Catch::Contains("validation/loss"));
  CHECK_THAT(events[3], Catch::Contains("test/accuracy"));
  const double walls[] = {95, 97, 100, 100};
  for (std::size_t i = 0; i < events.size(); ++i) {
    CHECK(events[i][0] == 0x09);  // field 1, a double
    double wall = 0;
    std::memcpy(&wall, events[i].data() + 1, sizeof wall);
    CHECK(wall == Approx(walls[i]));
  }
  CHECK(events[1].substr(9, 2) == std::string("\x10\x07"));  // field 2, step 7
}
