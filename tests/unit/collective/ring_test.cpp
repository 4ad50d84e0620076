#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>

#include "common/base/random.hpp"
#include "common/base/text.hpp"
#include "common/collective/course.hpp"
#include "tests/unit/collective/rings.hpp"

namespace trainyard::collective {

namespace {

using test::Shape;

std::vector<float> drawn(std::uint32_t rank, std::size_t count) {
  Random random(mix(11, rank, count));
  std::vector<float> out(count);
  for (float& value : out)  // their sums need rounding
    value = static_cast<float>(static_cast<std::int64_t>(random.next()) >> 20) * 0x1p-40f;
  return out;
}

/// The sum as the documentation says it is made: a chunk's begins behind the rank with its number; an array
/// that goes round whole is summed in the order of the ranks.
std::vector<float> expected(std::uint32_t ranks, std::size_t count, bool whole) {
  std::vector<std::vector<float>> all;
  for (std::uint32_t rank = 0; rank < ranks; ++rank) all.push_back(drawn(rank, count));
  std::vector<float> out(count);
  for (std::uint32_t chunk = 0; chunk < ranks; ++chunk) {
    const Range range = chunk_of(count * 4, ranks, chunk);
    for (std::size_t i = range.begin / 4; i < (range.begin + range.bytes) / 4; ++i) {
      const std::uint32_t first = whole ? 0 : chunk + 1;
      out[i] = all[first % ranks][i];
      for (std::uint32_t turn = 1; turn < ranks; ++turn) out[i] += all[(first + turn) % ranks][i];
    }
  }
  return out;
}

Status same(const std::vector<float>& a, const std::vector<float>& b, const std::string& what) {
  if (a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * 4) == 0)) return {};
  return Error{Errc::corrupt, what};
}

constexpr std::size_t sizes[] = {0, 1, 63, 64, 65, 1'000'003};

}  // namespace

TEST_CASE("all ranks end with the same sum, bit for bit as documented, in place and out of place",
          "[collective]") {
  for (const std::uint32_t ranks : {1u, 2u, 3u, 4u, 5u, 7u, 8u}) {
    for (const bool shared : {false, true}) {
      for (const std::uint64_t whole_max : {std::uint64_t{0}, std::uint64_t{1} << 20}) {
        std::map<std::size_t, std::vector<float>> sums;
        for (const std::size_t count : sizes)
          sums[count] = expected(ranks, count, count * 4 * ranks <= whole_max);
        INFO(ranks << " ranks, shared memory " << shared << ", whole up to " << whole_max);
        test::require_all(
            test::run_ring({ranks, shared, 20s, whole_max}, [&](std::unique_ptr<Group> group) -> Status {
              for (const std::size_t count : sizes) {
                auto in_place = drawn(group->rank(), count);
                const auto own = in_place;
                std::vector<float> out(count, -1);
                const auto first = group->submit({piece_of(in_place)});
                const auto second = group->submit({piece_of(std::span(own), std::span(out))});
                if (const Status done = group->wait(second); !done) return done;
                if (const Status done = group->wait(first); !done) return done;
                if (const Status ok = same(in_place, sums[count], format("{} in place", count)); !ok)
                  return ok;
                if (const Status ok = same(out, sums[count], format("{} out of place", count)); !ok)
                  return ok;
                if (const Status ok = same(own, drawn(group->rank(), count), "own"); !ok) return ok;
              }
              return {};
            }));
      }
    }
  }
}

TEST_CASE("a bucket of many pieces is summed as one array", "[collective]") {
  for (const bool shared : {false, true}) {
    test::require_all(test::run_ring({3, shared, 20s, 0}, [](std::unique_ptr<Group> group) -> Status {
      constexpr std::size_t count = 300'001;
      const auto own = drawn(group->rank(), count);
      std::vector<float> out(count), tail(4, static_cast<float>(group->rank()));
      std::vector<Piece> pieces;
      for (std::size_t at = 0, length = 1; at < count; at += length, length = length * 3 + 1) {
        length = std::min(length, count - at);
        pieces.push_back(piece_of(std::span(own).subspan(at, length), std::span(out).subspan(at, length)));
      }
      pieces.push_back(piece_of(tail));
      if (const Status done = group->wait(group->submit(std::move(pieces))); !done) return done;
      if (tail != std::vector<float>(4, 3.0f)) return Error{Errc::corrupt, "the tail"};
      const auto a = drawn(0, count), b = drawn(1, count), c = drawn(2, count);
      for (std::size_t i = 0; i < count; ++i)
        if (std::abs(out[i] - (a[i] + b[i] + c[i])) > 1e-5f * 8)
          return Error{Errc::corrupt, format("value {}", i)};
      return {};
    }));
  }
}

TEST_CASE("parts that are summed and gathered give the sum, and a root's bytes reach everybody",
          "[collective]") {
  for (const std::uint32_t ranks : {1u, 2u, 3u, 5u}) {
    for (const bool shared : {false, true}) {
      INFO(ranks << " ranks");
      test::require_all(test::run_ring({ranks, shared}, [&](std::unique_ptr<Group> group) -> Status {
        for (const std::size_t count : sizes) {
          auto values = drawn(group->rank(), count);
          if (const Status done = group->reduce_scatter(values); !done) return done;
          if (const Status done = group->all_gather(values); !done) return done;
          if (const Status ok = same(values, expected(ranks, count, false), "the sum"); !ok) return ok;
          for (std::uint32_t root = 0; root < ranks; ++root) {
            auto bytes = drawn(group->rank(), count + 1);
            const auto all = std::as_writable_bytes(std::span(bytes));
            if (const Status done = group->broadcast(all.first(count * 4 + 3), root); !done) return done;
            auto wanted = drawn(root, count + 1);
            std::memcpy(std::as_writable_bytes(std::span(wanted)).data() + count * 4 + 3,
                        all.data() + count * 4 + 3, 1);
            if (const Status ok = same(bytes, wanted, format("from root {}", root)); !ok) return ok;
          }
        }
        return {};
      }));
    }
  }
}

TEST_CASE("buckets that are submitted one after the other are done in their order, however long a rank waits",
          "[collective]") {
  test::require_all(test::run_ring({3, true, 400ms}, [](std::unique_ptr<Group> group) -> Status {
    constexpr std::size_t buckets = 40, count = 20'000;
    std::vector<std::vector<float>> values;
    for (std::size_t i = 0; i < buckets; ++i)
      values.emplace_back(count, static_cast<float>(i * (group->rank() + 1)));
    // Longer than a rank may be silent: it computes, its group speaks for it.
    if (group->rank() == 1) std::this_thread::sleep_for(900ms);
    Group::Ticket last = 0;
    for (auto& bucket : values) last = group->submit({piece_of(bucket)});
    if (const Status done = group->wait(last); !done) return done;
    for (std::size_t i = 0; i < buckets; ++i)
      if (values[i] != std::vector<float>(count, static_cast<float>(i * 6)))
        return Error{Errc::corrupt, format("bucket {}", i)};
    return {};
  }));
}

}  // namespace trainyard::collective
