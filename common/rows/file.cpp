// A table as the bytes of a checkpoint, and back.
#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>

#include "common/base/text.hpp"
#include "common/rows/table.hpp"
#include "common/store/file.hpp"

namespace trainyard::rows {

namespace {

// On disk, little-endian: a Header; for each stripe that holds something a Block, its rows by ascending ids
// (id 8 bytes, updates since the last touch 4 bytes, floats), its filter; at the end a Block of no stripe
// with the number of all rows. A CRC-32 of 4 bytes follows the header and each block.
constexpr char magic[4] = {'T', 'Y', 'R', '1'};
constexpr std::uint32_t end_of_file = 0xffffffff;
/// Below that a team costs more than it brings.
constexpr std::uint64_t parallel_rows_min = 4096;

struct Header {
  char magic[4];
  std::uint32_t width, floats, admit_after;
  std::uint64_t table, seed, filter_cells, clock;
  std::uint32_t first_kind;
  float first_scale;
  char rule[64];  // name of the optimizer and of its arrays
};
struct Block {
  std::uint32_t stripe, zero;
  std::uint64_t rows, filter_added, filter_bytes;
};
static_assert(std::has_unique_object_representations_v<Block>, "no padding is written");
static_assert(sizeof(Header) == 120, "no padding is written");

Error broken(const char* what) { return {Errc::corrupt, format("saved rows: {}", what)}; }

template <typename T>
void put(std::vector<std::byte>& out, const T& value) {
  const auto* const bytes = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof(value));
}

void put_checksum(std::vector<std::byte>& out) { put(out, store::crc32(out)); }

/// The front of `bytes`, which becomes shorter; nothing when there is less.
template <typename T>
bool take(std::string_view& bytes, T& value) {
  if (bytes.size() < sizeof(value)) return false;
  std::memcpy(&value, bytes.data(), sizeof(value));
  bytes.remove_prefix(sizeof(value));
  return true;
}

bool checks(std::string_view bytes, std::uint32_t sum) {
  return store::crc32(std::as_bytes(std::span(bytes))) == sum;
}

Header header_of(const Settings& settings, const Layout& layout, std::uint64_t clock) {
  Header header{};
  std::copy(std::begin(magic), std::end(magic), header.magic);
  header.width = layout.width();
  header.floats = layout.floats();
  header.admit_after = settings.admit_after;
  header.table = settings.table;
  header.seed = settings.seed;
  header.filter_cells = settings.filter_cells;
  header.clock = clock;
  header.first_kind = static_cast<std::uint32_t>(settings.first.kind);
  header.first_scale = settings.first.scale;
  std::string rule;
  for (const auto& [name, kind] : config::optimizer_names)
    if (kind == settings.optimizer.kind) rule = std::string(name) + ":" + layout.arrays();
  std::copy_n(rule.data(), std::min(rule.size(), sizeof(header.rule)), header.rule);
  return header;
}

}  // namespace

std::vector<std::byte> Table::block_of(std::uint32_t stripe, Status& status) const {
  std::vector<std::byte> out;
  const CountingFilter& filter = stripes_[stripe].filter();
  const auto kept = stripes_[stripe].list(common(), clock_);
  const bool counts = settings_->admit_after > 1 && filter.added() > 0;
  if (kept.empty() && !counts) return out;
  const std::size_t row_bytes = layout_->floats() * sizeof(float);
  out.reserve(sizeof(Block) + kept.size() * (12 + row_bytes) + filter.cells().size() + 4);
  put(out, Block{stripe, 0, kept.size(), counts ? filter.added() : 0, counts ? filter.cells().size() : 0});
  std::vector<float> spilled(layout_->floats());
  for (const Stripe::Kept& one : kept) {
    put(out, one.id);
    put(out, one.age);
    const float* row = one.row;
    if (one.place) {
      if (Status read = spill_->read(*one.place, one.id, spilled.data()); !read) status = std::move(read);
      row = spilled.data();
    }
    const auto* const bytes = reinterpret_cast<const std::byte*>(row);
    out.insert(out.end(), bytes, bytes + row_bytes);
  }
  if (counts) {
    const auto cells = std::as_bytes(std::span(filter.cells()));
    out.insert(out.end(), cells.begin(), cells.end());
  }
  put_checksum(out);
  return out;
}

Status Table::save(const Write& write) const {
  std::vector<std::byte> piece;
  put(piece, header_of(*settings_, *layout_, clock_));
  put_checksum(piece);
  if (Status written = write(std::move(piece)); !written) return written;
  std::uint64_t rows = 0;
  const bool many = counts().rows >= parallel_rows_min;
  constexpr std::uint32_t at_once = 8;  // so many stripes are twice in memory
  for (std::uint32_t begin = 0; begin < stripes; begin += at_once) {
    std::array<std::vector<std::byte>, at_once> blocks;
    std::array<Status, at_once> statuses;
#pragma omp parallel for schedule(dynamic) if (many)
    for (std::uint32_t i = 0; i < at_once; ++i) blocks[i] = block_of(begin + i, statuses[i]);
    for (std::uint32_t i = 0; i < at_once; ++i) {
      if (!statuses[i]) return std::move(statuses[i]);
      if (blocks[i].empty()) continue;
      Block block{};
      std::memcpy(&block, blocks[i].data(), sizeof(block));
      rows += block.rows;
      if (Status written = write(std::move(blocks[i])); !written) return written;
    }
  }
  std::vector<std::byte> end;
  put(end, Block{end_of_file, 0, rows, 0, 0});
  put_checksum(end);
  return write(std::move(end));
}

Status Table::load(std::string_view file) {
  const std::string_view all = file;
  Header header{};
  std::uint32_t sum = 0;
  if (!take(file, header) || !take(file, sum) || std::memcmp(header.magic, magic, sizeof(magic)) != 0 ||
      !checks(all.substr(0, sizeof(header)), sum)) {
    return broken("not what this program writes");
  }
  const Header own = header_of(*settings_, *layout_, header.clock);
  if (std::memcmp(&header, &own, sizeof(own)) != 0) {
    return Error{Errc::invalid,
                 "saved rows: of another table, seed, width, optimizer or admission than this one has; go on "
                 "with the settings that saved them, or begin anew"};
  }
  if (header.clock > clock_) {
    for (Stripe& stripe : stripes_) stripe.shift(static_cast<std::uint32_t>(header.clock - clock_));
    clock_ = header.clock;
  }
  const std::size_t row_bytes = 12 + layout_->floats() * sizeof(float);
  std::uint64_t rows = 0;
  while (true) {
    const std::string_view rest = file;
    Block block{};
    if (!take(file, block)) return broken("cut short");
    const std::uint64_t filter_bytes = settings_->admit_after > 1 ? settings_->filter_cells / stripes : 0;
    if (block.rows > file.size() / row_bytes && block.stripe != end_of_file) return broken("cut short");
    if (block.filter_bytes != 0 && block.filter_bytes != filter_bytes)
      return broken("a filter of another size");
    const std::size_t bytes = block.stripe == end_of_file ? 0 : block.rows * row_bytes + block.filter_bytes;
    if (bytes + sizeof(sum) > file.size()) return broken("cut short");
    file.remove_prefix(bytes);
    if (!take(file, sum) || !checks(rest.substr(0, sizeof(block) + bytes), sum))
      return broken("a checksum does not hold");
    if (block.stripe == end_of_file) {
      if (block.rows != rows || !file.empty())
        return broken("rows are missing, or there is more than its end");
      return {};
    }
    if (block.stripe >= stripes) return broken("a stripe that there is not");
    if (Status loaded = load_block(block.stripe, rest.substr(0, sizeof(block) + bytes)); !loaded)
      return loaded;
    rows += block.rows;
  }
}

Status Table::load_block(std::uint32_t index, std::string_view bytes) {
  Block block{};
  take(bytes, block);
  Stripe& stripe = stripes_[index];
  std::uint64_t before = 0;
  bool owned = partition_.spread == Spread::range;
  for (std::uint64_t i = 0; i < block.rows; ++i) {
    std::uint64_t id = 0;
    std::uint32_t age = 0;
    take(bytes, id);
    take(bytes, age);
    const std::string_view row = bytes.substr(0, layout_->floats() * sizeof(float));
    bytes.remove_prefix(row.size());
    if (stripe_of(hash_of(id)) != index || (i > 0 && id <= before)) return broken("ids are out of order");
    before = id;
    if (owner_of(partition_, id) != shard_) continue;
    owned = true;
    float* const to = stripe.add(common(), id, age, clock_);
    if (to == nullptr) return Error{Errc::conflict, format("saved rows: row {} is there twice", id)};
    std::memcpy(to, row.data(), row.size());
  }
  // Under Spread::hash a filter belongs to whom the stripe belongs to; under range every shard has its share
  // of each stripe, and counts that are too high are allowed.
  owned = owned || index * partition_.shards / stripes == shard_;
  if (owned && block.filter_bytes > 0)
    stripe.filter().merge(reinterpret_cast<const std::uint8_t*>(bytes.data()), block.filter_added);
  return stripe.spill(common(), clock_);
}

}  // namespace trainyard::rows
