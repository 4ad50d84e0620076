// A shard's part of an embedding table: rows of floats by 64-bit ids, with what the update rule keeps for
// each. A pull changes nothing; a row is made by the first push of its id that is let in, and begins with
// what a pull of it gave. Belongs to one thread; the threads of OpenMP share large pulls and pushes, and no
// number depends on how many there are, on the order of ids in a push, or on the number of shards.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "common/base/result.hpp"
#include "common/rows/partition.hpp"
#include "common/rows/settings.hpp"
#include "common/rows/slabs.hpp"
#include "common/rows/spill.hpp"
#include "common/rows/stripe.hpp"

namespace trainyard::rows {

/// What one trainer pushes: ids in any order, doubles allowed, and a row of gradients for each.
struct Part {
  std::span<const std::uint64_t> ids;
  std::span<const float> rows;  // [ids, width]
};

struct Update {
  double rate = 0;             // of the step; the table's settings have their own share in it
  float scale = 1;             // times the sum of the gradients of an id this is its mean
  std::optional<float> bound;  // of each value of the mean
};

class Table {
 public:
  /// `partition` and `shard` say which ids are to be expected, and how memory is shared out over the stripes.
  static Result<Table> make(const Settings& settings, const Partition& partition = {},
                            std::uint32_t shard = 0);
  Table(Table&&) noexcept;
  Table& operator=(Table&&) noexcept;
  ~Table();

  /// out [ids, width]: the rows in the order of the ids; first values where there is no row. Errors: a
  /// spilled row that cannot be read.
  Status pull(std::span<const std::uint64_t> ids, std::span<float> out) const;

  /// One update: gradients of the same id are added up in the order of the parts, and in a part in the order
  /// in which they stand there; each row takes one step. An id that is not let in yet drops its gradient.
  /// Errors: invalid sizes (nothing happens); io or corrupt of spilled rows, after which the table must not
  /// be used any more.
  Status push(std::span<const Part> parts, const Update& update);

  /// How many updates there were; what is dropped for its age is told by it.
  std::uint64_t clock() const { return clock_; }

  /// Several pieces in a row make a file. Errors: of `write`, and of spilled rows.
  using Write = std::function<Status(std::vector<std::byte> piece)>;
  Status save(const Write& write) const;
  /// Adds what a file of this table holds of the ids that this shard owns; call it with the files of all
  /// shards, of which there may have been another number. Errors: corrupt; invalid when the file is of
  /// another table, width, rule or of other settings of admission; conflict when a row is there already.
  /// After an error the table must not be used.
  Status load(std::string_view file);

  Counts counts() const;
  std::uint64_t memory_bytes() const;  // of rows, index and filters
  std::uint64_t spilled_bytes() const;
  const Settings& settings() const { return *settings_; }

 private:
  struct Item {
    std::uint64_t id = 0;
    std::uint32_t part = 0, index = 0;
  };
  struct Wanted {
    std::uint64_t id = 0, hash = 0;
    std::uint32_t number = 0;  // of the id in firsts_
  };
  Table(const Settings& settings, const Partition& partition, std::uint32_t shard);
  Common common() const;
  void put_in_order(std::span<const Part> parts);
  void share_out();
  Status find_rows(std::uint32_t begin, std::uint32_t end);
  void step_rows(std::span<const Part> parts, const Update& update, std::size_t begin, std::size_t end) const;
  std::vector<std::byte> block_of(std::uint32_t stripe, Status& status) const;
  Status load_block(std::uint32_t stripe, std::string_view block);

  std::unique_ptr<const Settings> settings_;
  std::unique_ptr<const Layout> layout_;
  Partition partition_;
  std::uint32_t shard_ = 0;
  std::unique_ptr<Slabs> slabs_;
  std::unique_ptr<Chunks> chunks_;
  std::unique_ptr<Spill> spill_;
  std::uint64_t rows_max_ = 0;  // of a stripe in memory
  std::vector<Stripe> stripes_;
  std::uint64_t clock_ = 0;

  // Of a push, kept for the next one:
  std::vector<Item> items_;            // by ascending ids; of the same id in the order of their sum
  std::vector<std::uint32_t> firsts_;  // in items_, of each id, and their end
  std::vector<std::uint64_t> hashes_;
  std::vector<Wanted> order_;                  // by stripes
  std::array<std::uint32_t, stripes> ends_{};  // of the stripes in order_
  std::vector<float*> rows_;                   // of each id; null where it is turned away
};

}  // namespace trainyard::rows
