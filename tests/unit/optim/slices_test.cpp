#include "common/optim/slices.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "common/base/random.hpp"

using namespace trainyard;
using namespace trainyard::optim;

TEST_CASE("slices cover every float once, in order, and keep the kind", "[optim]") {
  Random random{11};
  for (int round = 0; round < 200; ++round) {
    std::vector<TensorSize> tensors(random.below(12));
    for (auto& tensor : tensors) tensor = {random.below(5000), static_cast<std::uint8_t>(random.below(3))};
    const auto shards = static_cast<std::uint32_t>(1 + random.below(5));
    const auto slices = slice_over(tensors, shards, 700);
    std::uint64_t begin = 0;
    std::size_t next = 0;
    for (const auto& tensor : tensors) {
      for (const std::uint64_t end = begin + tensor.length; begin < end; begin += slices[next++].length) {
        REQUIRE(next < slices.size());
        CHECK(slices[next].offset == begin);
        CHECK((slices[next].length > 0 && slices[next].length <= 700));
        CHECK(slices[next].offset + slices[next].length <= end);
        CHECK(slices[next].kind == tensor.kind);
        CHECK(slices[next].shard < shards);
      }
    }
    CHECK(next == slices.size());
  }
}

TEST_CASE("shards differ by at most one slice", "[optim]") {
  const std::vector<TensorSize> tensors{{1'000'000, 0}, {10, 1}, {300'000, 0}, {64, 2}, {70'000, 0}};
  const auto slices = slice_over(tensors, 3, 65536);
  std::vector<std::uint64_t> load(3, 0);
  for (const auto& slice : slices) load[slice.shard] += slice.length;
  const auto [least, most] = std::minmax_element(load.begin(), load.end());
  CHECK(*most - *least <= 65536);
  CHECK(load[0] + load[1] + load[2] == 1'370'074);
}

TEST_CASE("pieces of one tensor differ by at most one float", "[optim]") {
  const std::vector<TensorSize> tensors{{10, 0}};
  const auto slices = slice_over(tensors, 2, 4);
  CHECK(slices == std::vector<Slice>{{0, 0, 4, 0}, {1, 4, 3, 0}, {1, 7, 3, 0}});
}

TEST_CASE("nobody owns what is frozen, and a tensor stays whole where its norm is needed", "[optim]") {
  const std::vector<TensorSize> tensors{{.length = 10, .kind = 0, .rate = 0.5, .decay = 0.1},
                                        {.length = 7, .frozen = true},
                                        {.length = 100'000}};
  const auto slices = slice_over(tensors, 2, slice_floats_whole);
  CHECK(slices == std::vector<Slice>{{0, 0, 10, 0, 0.5, 0.1}, {1, 17, 100'000, 0, 1, 0}});
}
