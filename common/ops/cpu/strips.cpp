#include "common/ops/cpu/strips.hpp"

namespace trainyard::ops::cpu {
namespace {

constexpr std::int64_t kPieceRows = 1024;  // of 64 bytes: a walk's second look finds them in a cache

enum class Order : std::uint8_t { rows, last, blocks_8, blocks_16, other };

struct Tags {
  std::size_t rank;
  Tag rows, last, blocks_8, blocks_16;
};
constexpr Tags kTags[] = {
    {3, Tag::ncw, Tag::nwc, Tag::nCw8c, Tag::nCw16c},
    {4, Tag::nchw, Tag::nhwc, Tag::nChw8c, Tag::nChw16c},
    {5, Tag::ncdhw, Tag::ndhwc, Tag::nCdhw8c, Tag::nCdhw16c},
};

Order order_of(const Desc& desc) {
  const auto dims = dims_of(desc);
  const auto lies = [&](Tag tag) { return desc == Desc(dims, dnnl::memory::data_type::f32, tag); };
  if (desc == plain_desc(Shape(dims))) {
    // Of one pixel: the channels are the last axis.
    return Shape(dims).volume(2) == 1 ? Order::last : Order::rows;
  }
  for (const Tags& tags : kTags) {
    if (tags.rank != dims.size()) continue;
    if (lies(tags.last)) return Order::last;
    if (lies(tags.blocks_16)) return Order::blocks_16;
    if (lies(tags.blocks_8)) return Order::blocks_8;
  }
  return Order::other;
}

}  // namespace

Desc Strips::wanted(const Desc& desc) {
  return order_of(desc) == Order::other ? plain_desc(Shape(dims_of(desc))) : desc;
}

Strips::Strips(const Desc& desc) {
  const Shape shape(dims_of(desc));
  const std::int64_t samples = shape[0], pixels = shape.volume(2);
  channels_ = shape[1];
  count_ = samples * pixels;
  floats_ = static_cast<std::int64_t>(desc.get_size() / sizeof(float));
  const Order order = order_of(desc);
  check(order != Order::other, "the layout can be cut into strips");
  lanes::Strip plane;
  if (order == Order::last) {
    channels_last_ = true;
    groups_ = (channels_ + 15) / 16;
    group_floats_ = 16;
    group_mask_rows_ = 1;
    mask_rows_ = count_ * groups_;
    plane.rows = count_;
    plane.row_stride = channels_;
    plane.mask_row_stride = groups_;
    cut(1, 0, plane);
    return;
  }
  span_ = order == Order::blocks_16 ? 16 : order == Order::blocks_8 ? 8 : 1;
  groups_ = (channels_ + span_ - 1) / span_;
  group_floats_ = pixels * span_;
  plane.rows = group_floats_ / 16;
  plane.tail = static_cast<int>(group_floats_ % 16);
  group_mask_rows_ = plane.rows + (plane.tail > 0 ? 1 : 0);
  mask_rows_ = samples * groups_ * group_mask_rows_;
  plane.mask_plane_stride = groups_ * group_mask_rows_;
  plane.plane_stride = groups_ * group_floats_;
  cut(samples, plane.plane_stride, plane);
}

/// Long planes are cut into parts; of short ones a piece holds several.
void Strips::cut(std::int64_t planes, std::int64_t plane_floats, const lanes::Strip& plane) {
  const std::int64_t rows = plane.rows + (plane.tail > 0 ? 1 : 0);
  if (rows <= kPieceRows) {
    const std::int64_t together = std::max<std::int64_t>(1, kPieceRows / std::max<std::int64_t>(1, rows));
    for (std::int64_t first = 0; first < planes; first += together) {
      Piece piece{plane, first * plane_floats, first * plane.mask_plane_stride};
      piece.strip.planes = std::min(together, planes - first);
      pieces_.push_back(piece);
    }
    return;
  }
  const std::int64_t parts = (plane.rows + kPieceRows - 1) / kPieceRows;
  for (std::int64_t first = 0; first < planes; ++first)
    for (std::int64_t part = 0; part < parts; ++part) {
      const std::int64_t begin = plane.rows * part / parts, end = plane.rows * (part + 1) / parts;
      Piece piece{plane, first * plane_floats + begin * plane.row_stride,
                  first * plane.mask_plane_stride + begin * plane.mask_row_stride};
      piece.strip.rows = end - begin;
      if (part + 1 < parts) piece.strip.tail = 0;
      pieces_.push_back(piece);
    }
}

}  // namespace trainyard::ops::cpu
