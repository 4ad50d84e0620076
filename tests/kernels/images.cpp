#include "tests/kernels/images.hpp"

#include <algorithm>
#include <cstring>

#include "common/ops/cpu/arrangement.hpp"

namespace trainyard::ops {
namespace {

using cpu::Arrangement;

const cpu::BlockedLayout* blocked(const LayoutPtr& layout) {
  return dynamic_cast<const cpu::BlockedLayout*>(layout.get());
}

}  // namespace

LayoutPtr image_layout(const Shape& shape, Images order) {
  const Arrangement arrangement = order == Images::channels_last
                                      ? Arrangement{Arrangement::Kind::channels_last, 1}
                                      : Arrangement{Arrangement::Kind::blocked, 8};
  return cpu::layout_of(arrangement.desc(shape));
}

void arrange_image(const Held& plain, const Held& to) {
  dnnl::memory from(cpu::plain_desc(plain.shape), cpu::engine(), plain.bytes->data());
  dnnl::memory into(blocked(to.layout)->desc, cpu::engine(), to.bytes->data());
  dnnl::stream stream(cpu::engine());
  dnnl::reorder(from, into).execute(stream, from, into);
}

bool padding_is_zero(const Shape& shape, const LayoutPtr& layout, const tensor::Buffer& bytes) {
  if (blocked(layout) == nullptr || shape.rank() != 4 || layout->bytes == 0) return true;
  const auto arrangement = cpu::arrangement_of({shape, layout, DType::f32});
  if (!arrangement) return true;
  std::vector<float> copy(layout->bytes / sizeof(float));
  std::memcpy(copy.data(), bytes.data(), layout->bytes);
  cpu::Padding(*arrangement, shape).clear(copy.data());
  return std::memcmp(copy.data(), bytes.data(), layout->bytes) == 0;
}

}  // namespace trainyard::ops
