// One of the stripes of a table: an open-addressing index from ids to rows in slabs or spilled places, and
// the filter of ids that have no row yet. Exactly one thread works on a stripe that changes; several may look
// something up in one that does not.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/rows/filter.hpp"
#include "common/rows/index.hpp"
#include "common/rows/settings.hpp"
#include "common/rows/slabs.hpp"
#include "common/rows/spill.hpp"

namespace trainyard::rows {

/// What the stripes of a table have in common.
struct Common {
  const Settings& settings;
  const Layout& layout;
  Slabs& slabs;
  Spill* spill = nullptr;      // or null
  std::uint64_t rows_max = 0;  // of a stripe in memory; 0: no bound
};

struct Counts {
  std::uint64_t rows = 0;     // there are now, spilled ones included
  std::uint64_t spilled = 0;  // of these
  std::uint64_t made = 0;     // since the table was made or loaded
  std::uint64_t expired = 0;
  std::uint64_t turned_away = 0;  // gradient rows of ids that have no row yet
};

class Stripe {
 public:
  Stripe(const Settings& settings, Chunks& chunks);

  void prefetch(std::uint64_t hash) const { index_.prefetch(hash); }

  struct Found {
    const float* row = nullptr;          // in memory
    std::optional<std::uint32_t> place;  // or spilled
  };
  /// Neither: there is no row of this id at update `clock`.
  Found find(const Common& common, std::uint64_t id, std::uint64_t hash, std::uint64_t clock) const;

  /// The row for update `clock`; made if need be, brought back if it was spilled. Null when the id is not
  /// admitted yet, or when `status` becomes an error. Once an id and update.
  float* touch(const Common& common, std::uint64_t id, std::uint64_t hash, std::uint64_t clock,
               Status& status);

  /// Drops the rows that were not touched for too long.
  void expire(std::uint64_t clock);
  /// Spills the rows that were touched longest ago until there is room.
  Status spill(const Common& common, std::uint64_t clock);

  /// A row that a file holds, `age` updates after its last touch; the caller fills it. Null when the id is
  /// there already.
  float* add(const Common& common, std::uint64_t id, std::uint32_t age, std::uint64_t clock);

  struct Kept {
    std::uint64_t id = 0;
    std::uint32_t age = 0;
    const float* row = nullptr;
    std::optional<std::uint32_t> place;
  };
  /// The clock is set forward by so much: rows are no older for it.
  void shift(std::uint32_t by);

  /// What is there after update `clock`, by ascending ids.
  std::vector<Kept> list(const Common& common, std::uint64_t clock) const;

  CountingFilter& filter() { return filter_; }
  const CountingFilter& filter() const { return filter_; }
  Counts counts() const {
    Counts all = counts_;
    all.rows = index_.size();
    return all;
  }
  std::uint64_t index_bytes() const { return index_.bytes(); }

 private:
  bool is_expired(const Entry& entry, std::uint64_t clock) const {
    return expire_after_ > 0 && static_cast<std::uint32_t>(clock) - entry.touched > expire_after_;
  }
  std::uint32_t take_row(const Common& common);
  Result<std::uint32_t> take_place(Spill& spill);

  Index index_;
  std::uint64_t expire_after_;
  std::uint64_t in_memory_ = 0;
  std::vector<std::uint32_t> free_rows_, free_places_;
  CountingFilter filter_;
  Counts counts_;
};

}  // namespace trainyard::rows
