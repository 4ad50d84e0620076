// Where trainers do not step together: how many pushes of each are in the values, who may go on to read
// (staleness), who has left, and when a checkpoint's cut is whole. Exactly once, whatever arrives twice or
// late. Pure; holds no tensors.
//
// A cut holds, of every trainer, the pushes up to its mark and none after. Rank 0 begins it with a push; a
// trainer marks it as soon as it hears of it, at every shard after its newest push, so that all shards save
// the same pushes. What a trainer pushes after its mark waits until the cut is whole. Chandy, Lamport 1985.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace trainyard::ps {

class Clocks {
 public:
  /// `pushes`: of each rank, that are in the values. `bound`: how many pushes a trainer may be ahead of the
  /// slowest that has not left when it reads; none: any.
  Clocks(std::vector<std::uint64_t> pushes, std::optional<std::uint64_t> bound);

  std::uint64_t pushes(std::uint32_t rank) const { return ranks_[rank].pushes; }
  std::vector<std::uint64_t> all_pushes() const;
  /// A push of `rank` is in the values now.
  void applied(std::uint32_t rank) { ++ranks_[rank].pushes; }

  /// It will push no more: nobody waits for it.
  void leave(std::uint32_t rank) { ranks_[rank].left = true; }
  bool left(std::uint32_t rank) const { return ranks_[rank].left; }
  bool all_left() const;

  /// Ho and others 2013: at clock c a trainer reads when all others are at c - bound or beyond.
  bool may_read(std::uint32_t rank) const;
  /// How far the first is ahead of the last of those who have not left.
  std::uint64_t spread() const;

  /// The checkpoint that is being cut.
  std::optional<std::uint64_t> cut() const { return cut_; }
  /// /// The pushes of `rank` up to number `at`, which may still be under way, are before `cut`, what comes
  /// after is not. A mark holds once it is made; of a cut that is over, or of one beyond the present one, it
  /// is no news.
  void mark(std::uint32_t rank, std::uint64_t cut, std::uint64_t at);
  bool marked(std::uint32_t rank) const { return ranks_[rank].mark.has_value(); }
  /// What `rank` pushes now is after the cut, which is not whole yet.
  bool is_beyond_cut(std::uint32_t rank) const {
    return cut_ && ranks_[rank].mark && ranks_[rank].pushes >= *ranks_[rank].mark;
  }
  /// All pushes before it are here.
  bool cut_is_whole() const;
  /// The cut was saved.
  void end_cut();

 private:
  struct Rank {
    std::uint64_t pushes = 0;
    bool left = false;
    std::optional<std::uint64_t> mark;  // of the cut: its last push before it
  };
  std::vector<Rank> ranks_;
  std::optional<std::uint64_t> bound_;
  std::optional<std::uint64_t> cut_;
  std::uint64_t last_cut_ = 0;  // that is over
};

}  // namespace trainyard::ps
