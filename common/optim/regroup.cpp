// Values and state of tables that were cut over some shards, for tables that are cut over others.
#include <algorithm>
#include <map>
#include <type_traits>

#include "common/base/text.hpp"
#include "common/optim/table.hpp"

namespace trainyard::optim {

namespace {

/// Where floats of the flat array lie.
struct Run {
  std::uint64_t length = 0;
  std::size_t part = 0;
  std::size_t at = 0;  // in the part
  const Slice* slice = nullptr;
};

}  // namespace

template <typename Self>
auto Table::columns_of(Self& table) {
  using Column = std::conditional_t<std::is_const_v<Self>, const std::vector<float>, std::vector<float>>;
  std::vector<Column*> out{table.values_.get()};
  for (auto& array : table.arrays_) out.push_back(&array.floats);
  if (table.mean_square_) out.push_back(&*table.mean_square_);
  if (table.average_) out.push_back(&*table.average_);
  return out;
}

Result<Table> Table::regroup(const config::TrainSection& train, std::vector<Slice> slices,
                             std::span<const Table> parts, const Delayed& delayed) {
  check(!parts.empty(), "parts are regrouped that are there");
  std::map<std::uint64_t, Run> runs;  // by offset
  for (std::size_t part = 0; part < parts.size(); ++part) {
    const Table& table = parts[part];
    if (table.step_ != parts[0].step_ || table.updates_ != parts[0].updates_ ||
        table.steps_per_epoch_ != parts[0].steps_per_epoch_)
      return Error{Errc::corrupt, "parts of a checkpoint are of different steps"};
    for (std::size_t i = 0; i < table.slices_.size(); ++i)
      runs[table.slices_[i].offset] = {table.slices_[i].length, part, table.begins_[i], &table.slices_[i]};
  }
  std::uint64_t floats = 0;
  for (const Slice& slice : slices) floats += slice.length;
  auto made = make(train, slices, parts[0].steps_per_epoch_, std::vector<float>(floats), delayed);
  if (!made) return made.error();
  made->step_ = parts[0].step_;
  made->updates_ = parts[0].updates_;
  const auto to = columns_of(*made);
  for (std::size_t i = 0; i < slices.size(); ++i) {
    const Slice& slice = slices[i];
    for (std::uint64_t done = 0; done < slice.length;) {
      const std::uint64_t offset = slice.offset + done;
      auto run = runs.upper_bound(offset);
      const bool found = run != runs.begin() && (--run, offset - run->first < run->second.length);
      if (!found) return Error{Errc::corrupt, format("no part of the checkpoint has value {}", offset)};
      const Slice& from = *run->second.slice;
      if (from.kind != slice.kind || from.rate != slice.rate || from.decay != slice.decay ||
          from.row != slice.row)
        return Error{Errc::invalid, "the checkpoint is of another model or other settings of tensors"};
      const std::uint64_t skipped = offset - run->first;
      const std::uint64_t count = std::min(slice.length - done, run->second.length - skipped);
      const auto columns = columns_of(parts[run->second.part]);
      check(columns.size() == to.size(), "parts of one job keep the same arrays");
      for (std::size_t column = 0; column < to.size(); ++column)
        std::copy_n(columns[column]->data() + run->second.at + skipped, count,
                    to[column]->data() + made->begins_[i] + done);
      done += count;
    }
  }
  return made;
}

}  // namespace trainyard::optim
