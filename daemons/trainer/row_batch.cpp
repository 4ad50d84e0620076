#include "daemons/trainer/row_batch.hpp"

#include <algorithm>

#include "common/base/check.hpp"

namespace trainyard::trainer {

RowBatch::RowBatch(std::span<const std::uint64_t> ids, const rows::Partition& partition) {
  check(ids.size() < 0xffffffff, "a batch names fewer than 2^32 rows");
  struct Named {
    std::uint64_t id;
    std::uint32_t place, shard;
  };
  std::vector<Named> named(ids.size());
  for (std::uint32_t i = 0; i < ids.size(); ++i) named[i] = {ids[i], i, rows::owner_of(partition, ids[i])};
  std::sort(named.begin(), named.end(), [](const Named& a, const Named& b) {
    if (a.shard != b.shard) return a.shard < b.shard;
    return a.id != b.id ? a.id < b.id : a.place < b.place;
  });
  places_.reserve(ids.size());
  begins_.push_back(0);
  for (std::size_t i = 0; i < named.size(); ++i) {
    const Named& one = named[i];
    while (begins_.size() <= one.shard) begins_.push_back(static_cast<std::uint32_t>(ids_.size()));
    if (i == 0 || named[i - 1].id != one.id) {
      ids_.push_back(one.id);
      firsts_.push_back(static_cast<std::uint32_t>(i));
    }
    places_.push_back(one.place);
  }
  while (begins_.size() <= partition.shards) begins_.push_back(static_cast<std::uint32_t>(ids_.size()));
  firsts_.push_back(static_cast<std::uint32_t>(places_.size()));
}

void RowBatch::sum(std::uint32_t shard, std::span<const float> rows, std::size_t width,
                   std::span<float> out) const {
  float* to = out.data();
  for (std::uint32_t i = begins_[shard]; i < begins_[shard + 1]; ++i, to += width) {
    std::copy_n(rows.data() + places_[firsts_[i]] * width, width, to);
    for (std::uint32_t k = firsts_[i] + 1; k < firsts_[i + 1]; ++k) {
      const float* const more = rows.data() + places_[k] * width;
      for (std::size_t at = 0; at < width; ++at) to[at] += more[at];
    }
  }
}

void RowBatch::spread(std::uint32_t shard, std::span<const float> rows, std::size_t width,
                      std::span<float> out) const {
  const float* from = rows.data();
  for (std::uint32_t i = begins_[shard]; i < begins_[shard + 1]; ++i, from += width)
    for (std::uint32_t k = firsts_[i]; k < firsts_[i + 1]; ++k)
      std::copy_n(from, width, out.data() + places_[k] * width);
}

}  // namespace trainyard::trainer
