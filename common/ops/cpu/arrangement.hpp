// How activations lie, as own loops see it: row major, channels last, or channels in blocks whose last one is
// padded with zeros. Private to this backend.
#pragma once

#include "common/ops/cpu/onednn.hpp"

namespace trainyard::ops::cpu {

struct Arrangement {
  enum class Kind : std::uint8_t { plain, channels_last, blocked } kind = Kind::plain;
  std::int64_t block = 1;  // channels of a block

  /// The descriptor of a tensor that lies so; four axes unless plain.
  Desc desc(const Shape& shape) const;
  /// The extents in memory, outermost first, of [N, C, H, W]; with one channel a block has one channel too.
  std::vector<std::int64_t> extents(const Shape& shape) const;
  friend bool operator==(const Arrangement&, const Arrangement&) = default;
};

/// Of a tensor of floats; nothing when it lies otherwise.
std::optional<Arrangement> arrangement_of(const Operand& operand);

/// `kernel`, which wants its operands of floats in this order, over operands that lie as those of `op`.
std::unique_ptr<Kernel> over_arranged(const Operation& op, std::unique_ptr<Kernel> kernel,
                                      const Arrangement& order);

/// Does every float of the layout belong to an element?
bool is_dense(const Desc& desc);

/// The floats of a blocked layout that belong to no channel.
class Padding {
 public:
  Padding() = default;
  Padding(const Arrangement& arrangement, const Shape& shape);
  void clear(float* data) const;

 private:
  std::int64_t images_ = 0, image_ = 0;              // and floats of one
  std::int64_t first_ = 0, pixels_ = 0, block_ = 0;  // the last block's place in an image
  std::int64_t used_ = 0;                            // channels of it
};

}  // namespace trainyard::ops::cpu
