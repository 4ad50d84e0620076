// Which pushes of one trainer a shard has applied, when they may come twice, late and in another order than
// they were sent: the first so many without a gap, and the next ones one by one. Pure.
#pragma once

#include <cstdint>

namespace trainyard::ps {

class PushWindow {
 public:
  /// So far beyond the first one that is missing a push may come.
  static constexpr std::uint64_t ahead_max = 64;

  enum class Verdict : std::uint8_t {
    fresh,  // to be applied; take() says that it was
    known,  // was applied: only to be answered
    far,    // too far ahead of one that is missing
  };
  /// `number` from 1.
  Verdict look(std::uint64_t number) const {
    if (number <= through_) return Verdict::known;
    const std::uint64_t place = number - through_ - 1;
    if (place >= ahead_max) return Verdict::far;
    return (beyond_ >> place & 1) != 0 ? Verdict::known : Verdict::fresh;
  }
  /// A fresh one.
  void take(std::uint64_t number) {
    beyond_ |= std::uint64_t{1} << (number - through_ - 1);
    for (; (beyond_ & 1) != 0; beyond_ >>= 1) ++through_;
  }
  /// All up to this one were applied.
  std::uint64_t through() const { return through_; }

 private:
  std::uint64_t through_ = 0;
  std::uint64_t beyond_ = 0;  // bit k: number through_ + 1 + k; bit 0 is never set
};

}  // namespace trainyard::ps
