#include "common/protocol/data_compact.hpp"

#include <catch2/catch.hpp>

#include "common/base/random.hpp"

using namespace trainyard;
using namespace trainyard::protocol;

namespace {

DataHeader push() {
  return {.kind = DataKind::push,
          .job = 7,
          .incarnation = 3,
          .trainer = 2,
          .shard = 1,
          .sequence = 41,
          .samples = 32,
          .checkpoint = 5,
          .ending = Ending::stopped,
          .epoch = 4,
          .coding = config::Compression::topk,
          .cut = 2,
          .version = 40,
          .last = true,
          .staleness = 3};
}

/// The same header, which cannot go the short way.
DataHeader long_one(DataHeader header) {
  header.reason = "a reason";
  return header;
}

}  // namespace

TEST_CASE("the headers of a step are short and come back as they were sent", "[protocol]") {
  DataHeader header = push();
  for (const DataKind kind :
       {DataKind::push, DataKind::pull, DataKind::values, DataKind::norm, DataKind::leave}) {
    header.kind = kind;
    header.norm = kind == DataKind::norm ? 0.25 : 0;
    header.averages = kind == DataKind::pull;
    const std::string bytes = encode(header);
    CHECK(bytes.size() == 96);
    CHECK(is_compact(bytes));
    const auto got = decode_data_header(bytes);
    REQUIRE(got);
    CHECK(*got == header);
  }
}

TEST_CASE("a header with more in it than the short form holds goes the long way", "[protocol]") {
  DataHeader header = push();
  SECTION("slices") { header.slices = {{0, 10}}; }
  SECTION("a reason") { header.reason = "why"; }
  SECTION("sums of squares") { header.square_sums = {1.0}; }
  const std::string bytes = encode(header);
  CHECK_FALSE(is_compact(bytes));
  const auto got = decode_data_header(bytes);
  REQUIRE(got);
  CHECK(*got == header);
}

TEST_CASE("a short header of another length or version is refused", "[protocol]") {
  const std::string bytes = encode(push());
  for (std::size_t length = 1; length < bytes.size(); ++length)
    CHECK_FALSE(decode_data_header(bytes.substr(0, length)));
  CHECK_FALSE(decode_data_header(bytes + std::string(1, '\0')));
  std::string other = bytes;
  other[1] = 2;
  CHECK_FALSE(decode_data_header(other));
}

TEST_CASE("what the short form lets through the long form does too", "[protocol]") {
  Random random(9);
  int read = 0, refused = 0;
  for (int round = 0; round < 50'000; ++round) {
    std::string bytes = encode(push());
    for (std::uint64_t i = 1 + random.below(3); i > 0; --i)
      bytes[1 + random.below(bytes.size() - 1)] = static_cast<char>(random.below(256));
    const auto got = decode_data_header(bytes);
    if (!got) {
      ++refused;
      continue;
    }
    ++read;
    REQUIRE(decode_data_header(encode(*got)));
    REQUIRE(decode_data_header(encode(long_one(*got))));
  }
  CHECK(read > 1000);
  CHECK(refused > 1000);
}
