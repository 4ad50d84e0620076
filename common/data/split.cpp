#include "common/data/split.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "common/base/random.hpp"

namespace trainyard::data {

namespace {

/// FNV-1a, 64 bits (Fowler, Noll, Vo); names decide, so that a moved folder splits alike.
std::uint64_t hash(std::string_view text) {
  std::uint64_t value = 0xcbf29ce484222325ull;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return value;
}

constexpr std::uint64_t partitions_per_epoch_max = 8;

}  // namespace

Split split(const Dataset& dataset, const config::DataSection& data) {
  Split out;
  out.test = dataset.given_test();
  std::vector<bool> taken(dataset.size(), false);
  for (const std::uint32_t record : out.test) taken[record] = true;
  const bool test_given = !out.test.empty();

  std::vector<std::vector<std::uint32_t>> by_class(dataset.classes().size());
  for (std::uint32_t record = 0; record < dataset.size(); ++record) {
    if (!taken[record]) by_class[static_cast<std::size_t>(dataset.label(record))].push_back(record);
  }
  const double parts = data.train + data.validation + (test_given ? 0 : data.test);
  for (auto& records : by_class) {
    std::vector<std::pair<std::uint64_t, std::uint32_t>> keyed;
    keyed.reserve(records.size());
    for (const std::uint32_t record : records)
      keyed.emplace_back(mix(data.split_seed, hash(dataset.name(record))), record);
    std::sort(keyed.begin(), keyed.end());
    const auto count = static_cast<double>(keyed.size());
    const auto test = test_given ? 0 : static_cast<std::size_t>(std::lround(count * data.test / parts));
    const auto validation = static_cast<std::size_t>(std::lround(count * data.validation / parts));
    for (std::size_t i = 0; i < keyed.size(); ++i) {
      auto& part = i < test ? out.test : i < test + validation ? out.validation : out.train;
      part.push_back(keyed[i].second);
    }
  }
  for (auto* part : {&out.train, &out.validation, &out.test}) std::sort(part->begin(), part->end());
  return out;
}

std::vector<std::uint32_t> epoch_order(std::span<const std::uint32_t> train, std::uint64_t seed,
                                       std::uint64_t epoch) {
  std::vector<std::uint32_t> order(train.begin(), train.end());
  Random random(mix(seed, epoch));
  random.shuffle(order);
  return order;
}

std::uint64_t Geometry::steps_per_epoch() const {
  const std::uint64_t global = std::uint64_t{trainers} * batch;
  return (records + global - 1) / global;
}

std::uint64_t Geometry::steps_per_partition() const {
  return std::max<std::uint64_t>(
      1, (steps_per_epoch() + partitions_per_epoch_max - 1) / partitions_per_epoch_max);
}

std::uint32_t Geometry::partitions_per_epoch() const {
  const std::uint64_t each = steps_per_partition();
  return static_cast<std::uint32_t>((steps_per_epoch() + each - 1) / each);
}

std::span<const std::uint32_t> records_of(const Geometry& geometry, std::span<const std::uint32_t> order,
                                          std::uint64_t step_in_epoch, std::uint32_t rank) {
  check(rank < geometry.trainers, "a rank beyond the gang");
  const std::uint64_t global = std::uint64_t{geometry.trainers} * geometry.batch;
  const std::uint64_t first = std::min<std::uint64_t>(step_in_epoch * global, order.size());
  const std::uint64_t count = std::min<std::uint64_t>(global, order.size() - first);
  const std::uint64_t begin = first + count * rank / geometry.trainers;
  const std::uint64_t end = first + count * (rank + 1) / geometry.trainers;
  return order.subspan(begin, end - begin);
}

}  // namespace trainyard::data
