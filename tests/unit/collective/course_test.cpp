#include "common/collective/course.hpp"

#include <catch2/catch.hpp>
#include <numeric>

#include "common/collective/greeting.hpp"
#include "common/collective/notice.hpp"
#include "common/collective/pieces.hpp"

namespace trainyard::collective {

namespace {

std::uint64_t bytes_of(const std::vector<Range>& ranges) {
  return std::accumulate(ranges.begin(), ranges.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const Range& range) { return sum + range.bytes; });
}

}  // namespace

TEST_CASE("chunks are whole values, differ by one value at most and cover the array", "[collective]") {
  for (const std::uint64_t bytes : {0u, 4u, 28u, 32u, 4000u, 4004u}) {
    std::uint64_t at = 0;
    for (std::uint32_t i = 0; i < 7; ++i) {
      const Range chunk = chunk_of(bytes, 7, i);
      CHECK(chunk.begin == at);
      CHECK(chunk.bytes % 4 == 0);
      CHECK(chunk.bytes / 4 - bytes / 4 / 7 <= 1);
      at += chunk.bytes;
    }
    CHECK(at == bytes);
  }
}

TEST_CASE("what a rank sends is what the next one receives, and nothing leaves before it came",
          "[collective]") {
  for (const std::uint32_t ranks : {2u, 3u, 5u, 8u}) {
    for (std::uint32_t rank = 0; rank < ranks; ++rank) {
      const std::uint32_t next = (rank + 1) % ranks;
      constexpr std::uint64_t bytes = 4 * 103;
      const auto pairs = {
          std::pair{all_reduce_course(rank, ranks, bytes), all_reduce_course(next, ranks, bytes)},
          std::pair{reduce_scatter_course(rank, ranks, bytes), reduce_scatter_course(next, ranks, bytes)},
          std::pair{all_gather_course(rank, ranks, bytes), all_gather_course(next, ranks, bytes)},
          std::pair{broadcast_course(rank, ranks, bytes, 1), broadcast_course(next, ranks, bytes, 1)}};
      for (const auto& [own, theirs] : pairs) {
        REQUIRE(own.sends.size() == theirs.receives.size());
        for (std::size_t i = 0; i < own.sends.size(); ++i) {
          CHECK(own.sends[i].begin == theirs.receives[i].begin);
          CHECK(own.sends[i].bytes == theirs.receives[i].bytes);
        }
        CHECK(bytes_of(own.sends) <= own.head + bytes_of(own.receives));
      }
      // 2 (N - 1) / N of the array, the least that there is.
      CHECK(bytes_of(all_reduce_course(rank, ranks, 4 * 120).sends) == 2 * (ranks - 1) * 4 * 120 / ranks);
    }
  }
}

TEST_CASE("pieces of a bucket are one array", "[collective]") {
  std::vector<float> a(3), b(5);
  const Pieces pieces({piece_of(a), piece_of(std::span<float>()),
                       piece_of(std::span<const float>(a), std::span(b).first(3)),
                       piece_of(std::span(b).subspan(3))});
  CHECK(pieces.bytes() == 32);
  const auto* const a_at = reinterpret_cast<const std::byte*>(a.data());
  const auto* const b_at = reinterpret_cast<const std::byte*>(b.data());
  CHECK(pieces.run(4, 100).in == a_at + 4);
  CHECK(pieces.run(4, 100).bytes == 8);
  CHECK(pieces.run(4, 5).bytes == 5);
  CHECK(pieces.run(12, 100).in == a_at);
  CHECK(pieces.run(12, 100).out == b_at);
  CHECK(pieces.run(31, 100).bytes == 1);
  CHECK(pieces.run(31, 100).out == b_at + 19);
}

TEST_CASE("a greeting comes back as it was sent, and one that does not fit is refused by name",
          "[collective]") {
  const Hello own{ring_version, 7, 3, 1, 2, "secret"};
  Hello hello{ring_version, 7, 3, 0, 2, "secret"};
  const auto sent = encode(hello);
  const auto came = decode_hello(sent);
  REQUIRE(came.has_value());
  CHECK(came->secret == "secret");
  CHECK_FALSE(refusal(own, *came));
  hello.incarnation = 2;
  CHECK(refusal(own, hello) == "this is incarnation 3; 2 is over");
  hello = {ring_version, 8, 3, 0, 2, "secret"};
  CHECK(refusal(own, hello) == "this is job 7, not 8");
  hello = {ring_version, 7, 3, 0, 2, "Secret"};
  CHECK(refusal(own, hello) == "wrong secret");
  hello = {ring_version + 1, 7, 3, 0, 2, "secret"};
  CHECK(refusal(own, hello) == "the ring speaks version 1, not 2");
  hello = {ring_version, 7, 3, 1, 2, "secret"};
  CHECK(refusal(own, hello) == "rank 1 of 2 waits for rank 0, not for rank 1 of 2");
  auto torn = sent;
  torn[27] = std::byte{0xff};  // the length of the secret
  CHECK_FALSE(decode_hello(torn).has_value());
}

TEST_CASE("notices are put together from any pieces, and what is none is an error", "[collective]") {
  std::vector<std::byte> bytes;
  append(bytes, {Notice::Kind::alive, {}});
  append(bytes, {Notice::Kind::failed, "rank 2 is gone"});
  NoticeReader reader;
  std::vector<Notice> came;
  for (const std::byte one : bytes) {
    reader.add(std::span(&one, 1));
    const auto next = reader.next();
    REQUIRE(next.has_value());
    if (*next) came.push_back(**next);
  }
  REQUIRE(came.size() == 2);
  CHECK(came[1].kind == Notice::Kind::failed);
  CHECK(came[1].text == "rank 2 is gone");
  const std::byte wrong[] = {std::byte{9}, std::byte{0}, std::byte{0}};
  reader.add(wrong);
  CHECK_FALSE(reader.next().has_value());
}

}  // namespace trainyard::collective
