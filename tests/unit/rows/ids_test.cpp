#include "common/rows/ids.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "common/base/random.hpp"

using namespace trainyard;
using namespace trainyard::rows;

namespace {

std::vector<std::byte> packed(const std::vector<std::uint64_t>& ids) {
  std::vector<std::byte> out;
  pack_ids(ids, out);
  return out;
}

std::vector<std::byte> bytes_of(std::initializer_list<int> values) {
  std::vector<std::byte> out;
  for (const int value : values) out.push_back(static_cast<std::byte>(value));
  return out;
}

}  // namespace

TEST_CASE("ids come back from the wire as they were sent, in no more bytes than they have", "[rows]") {
  Random random(1);
  constexpr std::uint64_t top = ~std::uint64_t{0};
  std::vector<std::vector<std::uint64_t>> lists{{}, {0}, {top}, {0, top}, {0, 1, top - 1, top}};
  for (int i = 0; i < 200; ++i) {
    std::vector<std::uint64_t> ids;
    const std::uint64_t mask = top >> random.below(64);
    for (std::uint64_t k = random.below(100); k > 0; --k) ids.push_back(random.next() & mask);
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    lists.push_back(ids);
  }
  for (const auto& ids : lists) {
    const auto bytes = packed(ids);
    CHECK(bytes.size() <= 1 + 8 * ids.size());
    const auto got = unpack_ids(bytes, ids.size());
    REQUIRE(got.has_value());
    CHECK(*got == ids);
    CHECK_FALSE(unpack_ids(bytes, ids.size() + 1).has_value());
    if (!ids.empty()) CHECK_FALSE(unpack_ids(bytes, ids.size() - 1).has_value());
    for (std::size_t cut = 0; cut < bytes.size(); ++cut)
      CHECK_FALSE(unpack_ids({bytes.data(), cut}, ids.size()).has_value());
  }
  CHECK(packed({100, 101, 102, 300}).size() == 6);
}

TEST_CASE("ids that are none are refused in words", "[rows]") {
  const auto fault = [](std::initializer_list<int> values, std::uint64_t count) {
    const auto got = unpack_ids(bytes_of(values), count);
    REQUIRE_FALSE(got.has_value());
    return got.error().message;
  };
  CHECK(fault({}, 0) == "there are no ids");
  CHECK(fault({2, 1}, 1) == "ids of a coding that there is not");
  CHECK(fault({1, 5, 0}, 2) == "the ids are not ascending");
  CHECK(fault({0, 5, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0}, 2) == "the ids are not ascending");
  CHECK(fault({1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2}, 1) == "an id of more than 64 bits");
  // The second one would lie beyond the last id that there is.
  CHECK(fault({1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 3}, 2) == "the ids are not ascending");
  CHECK(fault({1, 1, 1, 1}, ~std::uint64_t{0}) == "the ids are not as many as they should be");
}

TEST_CASE("random bytes are ids or an error", "[rows]") {
  Random random(2);
  for (int i = 0; i < 50'000; ++i) {
    std::vector<std::byte> bytes;
    for (std::uint64_t k = random.below(24); k > 0; --k)
      bytes.push_back(static_cast<std::byte>(random.chance(0.5) ? random.below(256) : random.below(3)));
    const auto got = unpack_ids(bytes, random.below(8));
    if (got) REQUIRE(std::is_sorted(got->begin(), got->end()));
  }
}
