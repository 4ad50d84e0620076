// How the channels of an activation lie, cut into strips of sixteen lanes that inner loops walk through. The
// cut depends on the shape and the layout alone, so that sums over its pieces are the same for any number of
// threads. A value. Private to this backend.
#pragma once

#include <vector>

#include "common/ops/cpu/lanes/table.hpp"
#include "common/ops/cpu/onednn.hpp"

namespace trainyard::ops::cpu {

class Strips {
 public:
  /// `desc` of [N, C, ...], in blocks of 8 or 16 channels, channels last, or row major.
  explicit Strips(const Desc& desc);
  /// The layout in which an activation that lies as `desc` can be cut: its own, else row major.
  static Desc wanted(const Desc& desc);

  /// A part of a group. Offsets are in floats and mask rows from the
  /// beginning of the group.
  struct Piece {
    lanes::Strip strip;
    std::int64_t offset = 0, mask_offset = 0;
  };
  std::int64_t groups() const { return groups_; }
  /// The same of every group; see width().
  const std::vector<Piece>& pieces() const { return pieces_; }
  std::int64_t offset(std::int64_t group) const { return group * group_floats_; }
  std::int64_t mask_offset(std::int64_t group) const { return group * group_mask_rows_; }
  /// The strip of a piece with the width that its group has.
  lanes::Strip strip(std::int64_t group, const Piece& piece) const {
    lanes::Strip strip = piece.strip;
    if (channels_last_) strip.width = static_cast<int>(std::min<std::int64_t>(16, channels_ - 16 * group));
    return strip;
  }
  /// The channel of a lane; at least channels() for padding.
  std::int64_t channel(std::int64_t group, int lane) const { return group * span_ + slot(lane); }
  /// Which of its group's channels a lane is of.
  int slot(int lane) const { return lane & (span_ - 1); }
  std::int64_t channels() const { return channels_; }
  /// Values of a channel.
  std::int64_t count() const { return count_; }
  std::size_t mask_bytes() const { return static_cast<std::size_t>(mask_rows_) * sizeof(std::uint16_t); }
  std::int64_t floats() const { return floats_; }
  /// Is each full row aligned to 64 bytes when the tensor is?
  bool aligned() const { return group_floats_ % 16 == 0 && (!channels_last_ || channels_ % 16 == 0); }
  /// Are the strips of several groups woven into the same lines of memory?
  bool woven() const { return channels_last_ && groups_ > 1; }

 private:
  void cut(std::int64_t planes, std::int64_t plane_floats, const lanes::Strip& plane);

  std::int64_t channels_ = 0, count_ = 0, floats_ = 0, groups_ = 0, group_floats_ = 0;
  std::int64_t group_mask_rows_ = 0, mask_rows_ = 0;
  int span_ = 16;  // channels of a group
  bool channels_last_ = false;
  std::vector<Piece> pieces_;
};

}  // namespace trainyard::ops::cpu
