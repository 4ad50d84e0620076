#include "daemons/ps/clocks.hpp"

#include <algorithm>
#include <utility>

#include "common/base/check.hpp"

namespace trainyard::ps {

Clocks::Clocks(std::vector<std::uint64_t> pushes, std::optional<std::uint64_t> bound) : bound_(bound) {
  check(!pushes.empty(), "clocks need trainers");
  for (const std::uint64_t each : pushes) ranks_.push_back({each, false, std::nullopt});
}

std::vector<std::uint64_t> Clocks::all_pushes() const {
  std::vector<std::uint64_t> out;
  for (const Rank& rank : ranks_) out.push_back(rank.pushes);
  return out;
}

bool Clocks::all_left() const {
  return std::all_of(ranks_.begin(), ranks_.end(), [](const Rank& rank) { return rank.left; });
}

bool Clocks::may_read(std::uint32_t rank) const {
  if (!bound_) return true;
  return std::all_of(ranks_.begin(), ranks_.end(), [&](const Rank& other) {
    return other.left || other.pushes + *bound_ >= ranks_[rank].pushes;
  });
}

std::uint64_t Clocks::spread() const {
  std::uint64_t first = 0, last = ~std::uint64_t{0};
  for (const Rank& rank : ranks_) {
    if (rank.left) continue;
    first = std::max(first, rank.pushes);
    last = std::min(last, rank.pushes);
  }
  return first > last ? first - last : 0;
}

void Clocks::mark(std::uint32_t rank, std::uint64_t cut, std::uint64_t at) {
  if (cut <= last_cut_) return;
  if (!cut_) cut_ = cut;
  if (*cut_ == cut && !ranks_[rank].mark) ranks_[rank].mark = at;
}

bool Clocks::cut_is_whole() const {
  return cut_ && std::all_of(ranks_.begin(), ranks_.end(), [](const Rank& rank) {
           return rank.left || (rank.mark && rank.pushes >= *rank.mark);
         });
}

void Clocks::end_cut() {
  check(cut_.has_value(), "a cut ends that was begun");
  last_cut_ = *std::exchange(cut_, std::nullopt);
  for (Rank& rank : ranks_) rank.mark.reset();
}

}  // namespace trainyard::ps
