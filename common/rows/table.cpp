#include "common/rows/table.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/check.hpp"
#include "common/base/text.hpp"
#include "common/optim/row_step.hpp"

namespace trainyard::rows {

namespace {

/// Memory is far away: so many ids ahead their entries are fetched, and so many their rows.
constexpr std::size_t entries_ahead = 16;
constexpr std::size_t rows_ahead = 8;
constexpr std::size_t line_floats = 16;
/// A thread takes so many stripes at a time; a power of two.
constexpr std::uint32_t stripes_at_once = 16;
/// Below that a team costs more than it brings.
constexpr std::size_t parallel_ids_min = 4096;
constexpr std::size_t pull_block = 1024, step_block = 4096;
constexpr std::uint64_t ids_max = 0xffffffff;

template <int write>
void fetch(const float* row, std::size_t floats) {
  for (std::size_t i = 0; i < floats; i += line_floats) __builtin_prefetch(row + i, write);
  asm volatile("");  // or g++ takes this for a function without an effect, and leaves calls of it out
}

}  // namespace

Result<Table> Table::make(const Settings& settings, const Partition& partition, std::uint32_t shard) {
  if (const Status valid = validate(settings); !valid) return valid.error();
  if (partition.shards == 0 || shard >= partition.shards ||
      (partition.spread == Spread::hash && partition.shards > stripes)) {
    return Error{Errc::invalid, format("table of rows: shard {} of {}; there are 1 to {}", shard,
                                       partition.shards, stripes)};
  }
  Table table(settings, partition, shard);
  if (!settings.spill_directory.empty()) {
    auto spill = Spill::make(settings.spill_directory, table.layout_->floats());
    if (!spill) return spill.error();
    table.spill_ = std::move(*spill);
  }
  return table;
}

Table::Table(const Settings& settings, const Partition& partition, std::uint32_t shard)
    : settings_(std::make_unique<const Settings>(settings)),
      layout_(std::make_unique<const Layout>(settings)),
      partition_(partition),
      shard_(shard),
      slabs_(std::make_unique<Slabs>(layout_->stride())),
      chunks_(std::make_unique<Chunks>()) {
  stripes_.reserve(stripes);
  for (std::uint32_t i = 0; i < stripes; ++i) stripes_.emplace_back(settings, *chunks_);
  if (settings.memory_bytes_max == 0) return;
  std::uint64_t own = 0;
  for (std::uint32_t i = 0; i < stripes; ++i)
    own += partition.spread == Spread::range || i * partition.shards / stripes == shard ? 1 : 0;
  const std::uint64_t row_bytes = std::uint64_t{layout_->stride()} * sizeof(float);
  rows_max_ =
      std::max<std::uint64_t>(1, settings.memory_bytes_max / row_bytes / std::max<std::uint64_t>(own, 1));
}

Table::Table(Table&&) noexcept = default;
Table& Table::operator=(Table&&) noexcept = default;
Table::~Table() = default;

Common Table::common() const { return {*settings_, *layout_, *slabs_, spill_.get(), rows_max_}; }

Status Table::pull(std::span<const std::uint64_t> ids, std::span<float> out) const {
  const std::size_t width = layout_->width();
  if (out.size() != ids.size() * width) {
    return Error{Errc::invalid,
                 format("table of rows: {} ids of {} floats do not fill {}", ids.size(), width, out.size())};
  }
  const Common common = this->common();
  const auto blocks = static_cast<std::int64_t>((ids.size() + pull_block - 1) / pull_block);
  std::vector<Status> failures(static_cast<std::size_t>(blocks));
#pragma omp parallel for schedule(static) if (ids.size() >= parallel_ids_min)
  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::size_t begin = static_cast<std::size_t>(block) * pull_block;
    const std::size_t end = std::min(begin + pull_block, ids.size());
    std::array<Stripe::Found, pull_block> found;
    for (std::size_t i = begin; i < end + rows_ahead; ++i) {
      if (i + entries_ahead < end) {
        const std::uint64_t hash = hash_of(ids[i + entries_ahead]);
        stripes_[stripe_of(hash)].prefetch(hash);
      }
      if (i < end) {
        const std::uint64_t hash = hash_of(ids[i]);
        found[i - begin] = stripes_[stripe_of(hash)].find(common, ids[i], hash, clock_ + 1);
        if (found[i - begin].row != nullptr) fetch<0>(found[i - begin].row, width);
      }
      if (i < begin + rows_ahead) continue;
      const std::size_t at = i - rows_ahead;
      const Stripe::Found& one = found[at - begin];
      const std::span<float> to = out.subspan(at * width, width);
      if (one.row != nullptr) {
        std::copy_n(one.row, width, to.data());
      } else if (one.place) {
        std::vector<float> row(layout_->floats());
        if (Status read = spill_->read(*one.place, ids[at], row.data()); !read) {
          failures[static_cast<std::size_t>(block)] = std::move(read);
        }
        std::copy_n(row.data(), width, to.data());
      } else {
        first_values(settings_->first, settings_->seed, settings_->table, ids[at], to);
      }
    }
  }
  for (Status& failure : failures)
    if (!failure) return std::move(failure);
  return {};
}

void Table::put_in_order(std::span<const Part> parts) {
  const auto less = [](const Item& a, const Item& b) {
    if (a.id != b.id) return a.id < b.id;
    return a.part != b.part ? a.part < b.part : a.index < b.index;
  };
  items_.clear();
  for (std::uint32_t part = 0; part < parts.size(); ++part) {
    const std::size_t before = items_.size();
    bool ascending = true;
    for (std::uint32_t i = 0; i < parts[part].ids.size(); ++i) {
      items_.push_back({parts[part].ids[i], part, i});
      ascending = ascending && (i == 0 || parts[part].ids[i - 1] <= parts[part].ids[i]);
    }
    const auto middle = items_.begin() + static_cast<std::ptrdiff_t>(before);
    if (!ascending) std::sort(middle, items_.end(), less);
    if (before > 0) std::inplace_merge(items_.begin(), middle, items_.end(), less);
  }
  firsts_.clear();
  for (std::uint32_t i = 0; i < items_.size(); ++i)
    if (i == 0 || items_[i - 1].id != items_[i].id) firsts_.push_back(i);
  firsts_.push_back(static_cast<std::uint32_t>(items_.size()));
}

void Table::share_out() {
  const std::size_t count = firsts_.size() - 1;
  order_.resize(count);
  std::array<std::uint32_t, stripes> next{};
  hashes_.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    hashes_[i] = hash_of(items_[firsts_[i]].id);
    ++next[stripe_of(hashes_[i])];
  }
  std::uint32_t begin = 0;
  for (std::uint32_t stripe = 0; stripe < stripes; ++stripe) {
    begin += std::exchange(next[stripe], begin);
    ends_[stripe] = begin;
  }
  for (std::uint32_t i = 0; i < count; ++i)
    order_[next[stripe_of(hashes_[i])]++] = {items_[firsts_[i]].id, hashes_[i], i};
}

Status Table::push(std::span<const Part> parts, const Update& update) {
  std::uint64_t count = 0;
  for (const Part& part : parts) {
    count += part.ids.size();
    if (part.rows.size() == part.ids.size() * layout_->width() && count <= ids_max) continue;
    return Error{Errc::invalid, format("table of rows: {} ids of {} floats go with {}", part.ids.size(),
                                       layout_->width(), part.rows.size())};
  }
  ++clock_;
  put_in_order(parts);
  share_out();
  rows_.resize(order_.size());
  std::array<Status, stripes / stripes_at_once> statuses;
#pragma omp parallel for schedule(dynamic) if (count >= parallel_ids_min)
  for (std::uint32_t group = 0; group < stripes / stripes_at_once; ++group)
    statuses[group] = find_rows(group * stripes_at_once, (group + 1) * stripes_at_once);
  for (Status& status : statuses)
    if (!status) return std::move(status);
  const std::size_t blocks = (order_.size() + step_block - 1) / step_block;
#pragma omp parallel for schedule(dynamic) if (count >= parallel_ids_min)
  for (std::size_t block = 0; block < blocks; ++block)
    step_rows(parts, update, block * step_block, std::min((block + 1) * step_block, order_.size()));
  if (settings_->expire_after > 0) stripes_[clock_ % stripes].expire(clock_);
  if (rows_max_ == 0) return {};
#pragma omp parallel for schedule(dynamic) if (count >= parallel_ids_min)
  for (std::uint32_t group = 0; group < stripes / stripes_at_once; ++group)
    for (std::uint32_t i = 0; i < stripes_at_once && statuses[group]; ++i)
      statuses[group] = stripes_[group * stripes_at_once + i].spill(common(), clock_);
  for (Status& status : statuses)
    if (!status) return std::move(status);
  return {};
}

/// The rows of the ids of stripes `begin` to `end`.
Status Table::find_rows(std::uint32_t begin, std::uint32_t end) {
  const Common common = this->common();
  Status status;
  const std::size_t last = ends_[end - 1];
  for (std::size_t i = begin == 0 ? 0 : ends_[begin - 1]; i < last && status; ++i) {
    if (i + entries_ahead < last) {
      const std::uint64_t hash = order_[i + entries_ahead].hash;
      stripes_[stripe_of(hash)].prefetch(hash);
    }
    const Wanted& wanted = order_[i];
    rows_[wanted.number] =
        stripes_[stripe_of(wanted.hash)].touch(common, wanted.id, wanted.hash, clock_, status);
  }
  return status;
}

/// The rows of ids `begin` to `end` take their step. By ascending ids, as gradients usually lie.
void Table::step_rows(std::span<const Part> parts, const Update& update, std::size_t begin,
                      std::size_t end) const {
  const std::size_t width = layout_->width();
  const auto fetch_row = [&](std::size_t i) {
    if (i < end && rows_[i] != nullptr) fetch<1>(rows_[i], layout_->floats());
  };
  const auto gradient_of = [&](const Item& item) {
    return parts[item.part].rows.data() + item.index * width;
  };
  optim::RowStep step(settings_->optimizer, update.rate, settings_->rule, update.scale, update.bound);
  std::vector<float> sum(width);
  for (std::size_t i = begin; i < begin + rows_ahead; ++i) fetch_row(i);
  for (std::size_t i = begin; i < end; ++i) {
    fetch_row(i + rows_ahead);
    if (rows_[i] == nullptr) continue;
    const float* gradient = gradient_of(items_[firsts_[i]]);
    if (firsts_[i + 1] - firsts_[i] > 1) {
      std::copy_n(gradient, width, sum.data());
      for (std::uint32_t k = firsts_[i] + 1; k < firsts_[i + 1]; ++k) {
        const float* const more = gradient_of(items_[k]);
        for (std::size_t at = 0; at < width; ++at) sum[at] += more[at];
      }
      gradient = sum.data();
    }
    step.apply(layout_->target(rows_[i]), gradient, width, layout_->count(rows_[i]));
  }
}

Counts Table::counts() const {
  Counts all;
  for (const Stripe& stripe : stripes_) {
    const Counts& one = stripe.counts();
    all.rows += one.rows;
    all.spilled += one.spilled;
    all.made += one.made;
    all.expired += one.expired;
    all.turned_away += one.turned_away;
  }
  return all;
}

std::uint64_t Table::memory_bytes() const {
  std::uint64_t bytes = slabs_->bytes();
  for (const Stripe& stripe : stripes_) bytes += stripe.index_bytes() + stripe.filter().cells().size();
  return bytes;
}

std::uint64_t Table::spilled_bytes() const { return spill_ ? spill_->bytes() : 0; }

}  // namespace trainyard::rows
