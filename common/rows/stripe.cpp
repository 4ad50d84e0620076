#include "common/rows/stripe.hpp"

#include <algorithm>
#include <bit>

#include "common/base/check.hpp"
#include "common/rows/partition.hpp"

namespace trainyard::rows {

Stripe::Stripe(const Settings& settings, Chunks& chunks)
    : index_(chunks),
      expire_after_(settings.expire_after),
      filter_(settings.admit_after > 1 ? settings.filter_cells / stripes : 2) {}

Stripe::Found Stripe::find(const Common& common, std::uint64_t id, std::uint64_t hash,
                           std::uint64_t clock) const {
  const Entry* const entry = index_.find(id, hash);
  if (entry == nullptr || is_expired(*entry, clock)) return {};
  if (entry->spilled()) return {nullptr, entry->place()};
  return {common.slabs.row(entry->where), std::nullopt};
}

std::uint32_t Stripe::take_row(const Common& common) {
  if (free_rows_.empty()) {
    const std::uint32_t first = common.slabs.take();
    for (std::uint32_t i = Slabs::piece_rows; i-- > 0;) free_rows_.push_back(first + i);
  }
  const std::uint32_t number = free_rows_.back();
  free_rows_.pop_back();
  ++in_memory_;
  return number;
}

float* Stripe::touch(const Common& common, std::uint64_t id, std::uint64_t hash, std::uint64_t clock,
                     Status& status) {
  Entry* entry = index_.find(id, hash);
  const bool held = entry != nullptr;  // if it is expired: until expire() looks at it
  const bool alive = held && !is_expired(*entry, clock);
  if (!alive && common.settings.admit_after > 1 && filter_.add(hash) < common.settings.admit_after) {
    ++counts_.turned_away;
    return nullptr;
  }
  if (!held) {
    const std::uint32_t number = take_row(common);
    entry = &index_.insert(id, hash);
    entry->where = number;
  } else if (entry->spilled()) {
    const std::uint32_t place = entry->place(), number = take_row(common);
    if (alive) {
      if (Status read = common.spill->read(place, id, common.slabs.row(number)); !read) {
        status = std::move(read);
        return nullptr;
      }
    }
    entry->where = number;
    free_places_.push_back(place);
    --counts_.spilled;
  }
  entry->touched = static_cast<std::uint32_t>(clock);
  float* const values = common.slabs.row(entry->where);
  if (alive) return values;
  ++counts_.made;
  counts_.expired += held ? 1 : 0;
  first_values(common.settings.first, common.settings.seed, common.settings.table, id,
               {values, common.layout.width()});
  common.layout.begin(values);
  return values;
}

void Stripe::expire(std::uint64_t clock) {
  index_.keep([&](const Entry& entry) {
    if (!is_expired(entry, clock)) return true;
    if (entry.spilled()) {
      free_places_.push_back(entry.place());
      --counts_.spilled;
    } else {
      free_rows_.push_back(entry.where);
      --in_memory_;
    }
    ++counts_.expired;
    return false;
  });
}

Result<std::uint32_t> Stripe::take_place(Spill& spill) {
  if (free_places_.empty()) {
    const auto first = spill.take_extent();
    if (!first) return first.error();
    for (std::uint32_t i = Spill::extent_places; i-- > 0;) free_places_.push_back(*first + i);
  }
  const std::uint32_t place = free_places_.back();
  free_places_.pop_back();
  return place;
}

Status Stripe::spill(const Common& common, std::uint64_t clock) {
  if (common.rows_max == 0 || in_memory_ <= common.rows_max) return {};
  std::vector<Entry*> old;
  for (Entry& entry : index_.all())
    if (entry.where != Entry::nowhere && !entry.spilled()) old.push_back(&entry);
  // An eighth below the bound, so that the next rows find room without another look at all of them.
  const std::size_t count = in_memory_ - (common.rows_max - common.rows_max / 8);
  const auto older = [clock](const Entry* a, const Entry* b) {
    const std::uint32_t now = static_cast<std::uint32_t>(clock);
    return now - a->touched != now - b->touched ? now - a->touched > now - b->touched : a->id < b->id;
  };
  std::nth_element(old.begin(), old.begin() + static_cast<std::ptrdiff_t>(count) - 1, old.end(), older);
  old.resize(count);
  std::vector<Spill::Record> records;
  for (const Entry* entry : old) {
    const auto place = take_place(*common.spill);
    if (!place) return place.error();
    records.push_back({*place, entry->id, common.slabs.row(entry->where)});
  }
  if (Status written = common.spill->write(records); !written) return written;
  for (std::size_t i = 0; i < old.size(); ++i) {
    free_rows_.push_back(old[i]->where);
    old[i]->where = records[i].place | Entry::spilled_bit;
  }
  in_memory_ -= count;
  counts_.spilled += count;
  return {};
}

float* Stripe::add(const Common& common, std::uint64_t id, std::uint32_t age, std::uint64_t clock) {
  const std::uint64_t hash = hash_of(id);
  if (index_.find(id, hash) != nullptr) return nullptr;
  const std::uint32_t number = take_row(common);
  Entry& entry = index_.insert(id, hash);
  entry.where = number;
  entry.touched = static_cast<std::uint32_t>(clock) - age;
  return common.slabs.row(number);
}

void Stripe::shift(std::uint32_t by) {
  for (Entry& entry : index_.all()) entry.touched += by;
}

std::vector<Stripe::Kept> Stripe::list(const Common& common, std::uint64_t clock) const {
  std::vector<Kept> out;
  out.reserve(index_.size());
  for (const Entry& entry : index_.all()) {
    if (entry.where == Entry::nowhere || is_expired(entry, clock + 1)) continue;
    Kept kept{.id = entry.id, .age = static_cast<std::uint32_t>(clock) - entry.touched};
    if (entry.spilled()) {
      kept.place = entry.place();
    } else {
      kept.row = common.slabs.row(entry.where);
    }
    out.push_back(kept);
  }
  std::sort(out.begin(), out.end(), [](const Kept& a, const Kept& b) { return a.id < b.id; });
  return out;
}

}  // namespace trainyard::rows
