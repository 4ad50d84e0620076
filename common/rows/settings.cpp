#include "common/rows/settings.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "common/base/text.hpp"
#include "common/optim/row_step.hpp"
#include "common/rows/partition.hpp"

namespace trainyard::rows {

namespace {

constexpr std::uint32_t line_floats = 16;

Error wrong(const char* what) { return {Errc::invalid, format("table of rows: {}", what)}; }

}  // namespace

Status validate(const Settings& settings) {
  if (settings.width == 0 || settings.width > width_max) return wrong("width is from 1 to 16384 floats");
  if (optim::needs_whole_tensors(settings.optimizer.kind))
    return wrong("lars and lamb need whole tensors; choose another optimizer");
  if (settings.rule.kind == optim::ValueKind::buffer) return wrong("running statistics have no rows");
  if (!std::isfinite(settings.first.scale) || settings.first.scale < 0)
    return wrong("the scale of first values is a number from 0 on");
  if (settings.admit_after == 0 || settings.admit_after > admit_after_max)
    return wrong("admit_after is from 1 to 255");
  if (!std::has_single_bit(settings.filter_cells) || settings.filter_cells < 2 * stripes ||
      settings.filter_cells > filter_cells_max)
    return wrong("filter_cells is a power of two from 512 to 2^32");
  if (settings.expire_after > expire_after_max) return wrong("expire_after is at most 2^30 updates");
  if ((settings.memory_bytes_max > 0) != !settings.spill_directory.empty())
    return wrong("memory_bytes_max and the directory to spill to go together");
  return {};
}

Layout::Layout(const Settings& settings)
    : width_(settings.width), counts_(optim::counts_updates(settings.optimizer.kind)) {
  std::uint32_t at = width_;
  for (const optim::RuleArray& array : optim::rule_arrays(settings.optimizer)) {
    offsets_[array.place] = at;
    firsts_[array.place] = array.first;
    arrays_ += (arrays_.empty() ? "" : ",") + std::string(array.name);
    at += width_;
  }
  if (counts_) arrays_ += ",updates";
  floats_ = at + (counts_ ? 1 : 0);
  stride_ = floats_ < line_floats ? std::bit_ceil(floats_)
                                  : (floats_ + line_floats - 1) / line_floats * line_floats;
}

std::uint64_t Layout::count(float* row) const {
  if (!counts_) return 1;
  std::uint32_t number = 0;
  std::memcpy(&number, row + floats_ - 1, sizeof(number));
  number = number == std::numeric_limits<std::uint32_t>::max() ? number : number + 1;
  std::memcpy(row + floats_ - 1, &number, sizeof(number));
  return number;
}

void Layout::begin(float* row) const {
  for (std::size_t k = 0; k < offsets_.size(); ++k)
    if (offsets_[k] != 0) std::fill_n(row + offsets_[k], width_, firsts_[k]);
  if (counts_) row[floats_ - 1] = 0;  // whose bits are the integer's
}

}  // namespace trainyard::rows
