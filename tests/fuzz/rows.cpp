// libFuzzer: whatever a file of rows or packed ids hold, the readers give rows or an error; a table that was
// read makes an update and can be saved again. Sums are made right first where the lengths allow it, so that
// they do not stand before everything else.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "common/base/check.hpp"
#include "common/rows/ids.hpp"
#include "common/rows/table.hpp"
#include "common/store/file.hpp"

namespace {

using namespace trainyard;

constexpr std::size_t header_bytes = 120, block_bytes = 32, sum_bytes = 4;

/// As common/rows/file.cpp lays a file out.
void seal(std::string& file, std::size_t row_bytes) {
  const auto put = [&](std::size_t begin, std::size_t bytes) {
    if (begin + bytes + sum_bytes > file.size()) return false;
    const std::uint32_t sum = store::crc32(std::as_bytes(std::span(file.data() + begin, bytes)));
    std::memcpy(file.data() + begin + bytes, &sum, sizeof(sum));
    return true;
  };
  if (!put(0, header_bytes)) return;
  for (std::size_t at = header_bytes + sum_bytes; at + block_bytes <= file.size();) {
    std::uint32_t stripe = 0;
    std::uint64_t rows = 0, filter = 0;
    std::memcpy(&stripe, file.data() + at, sizeof(stripe));
    std::memcpy(&rows, file.data() + at + 8, sizeof(rows));
    std::memcpy(&filter, file.data() + at + 24, sizeof(filter));
    const bool last = stripe == 0xffffffff;
    const std::size_t most = file.size();
    const std::size_t bytes =
        block_bytes +
        (last ? 0 : std::min<std::size_t>(rows, most) * row_bytes + std::min<std::size_t>(filter, most));
    if (!put(at, bytes) || last) return;
    at += bytes + sum_bytes;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto ids = rows::unpack_ids(std::as_bytes(std::span(data, size)), size < 2 ? 0 : size / 2);
  if (ids) check(std::is_sorted(ids->begin(), ids->end()), "ids that were read are ascending");
  rows::Settings settings{.table = 1, .seed = 5, .width = 3, .first = {rows::FirstKind::uniform, 0.5F}};
  settings.optimizer = config::optimizer_defaults(config::OptimizerKind::adam);
  settings.admit_after = 2;
  settings.filter_cells = 512;
  settings.expire_after = 100;
  for (const bool sealed : {false, true}) {
    std::string file(reinterpret_cast<const char*>(data), size);
    if (sealed) seal(file, 12 + (3 * 3 + 1) * sizeof(float));
    auto table = rows::Table::make(settings).value();
    if (!table.load(file)) continue;
    const std::uint64_t id = size;
    const std::vector<float> row(3, 0.5F);
    const rows::Part part{{&id, 1}, row};
    check(table.push({&part, 1}, {.rate = 0.1}).has_value(), "a table that was read makes an update");
    check(table.save([](std::vector<std::byte>) { return Status{}; }).has_value(), "and is saved again");
  }
  return 0;
}
