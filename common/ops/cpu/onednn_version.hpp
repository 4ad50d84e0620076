// Where oneDNN 2 and 3 differ: the only place that asks which one it is. In 2 an operation is described first
// and the primitive then, in 3 both at once; descriptors' members became functions; Winograd is gone.
// Private to this backend.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

namespace trainyard::ops::cpu {

const dnnl::engine& engine();

#if DNNL_VERSION_MAJOR >= 3

inline constexpr bool kHasWinograd = false;

inline dnnl::memory::dims dims_of(const dnnl::memory::desc& desc) { return desc.get_dims(); }
/// The same places for elements of another type, of dense images and matrices as oneDNN lays them out.
inline dnnl::memory::desc retyped(const dnnl::memory::desc& desc, dnnl::memory::data_type type) {
  using Tag = dnnl::memory::format_tag;
  const auto dims = desc.get_dims();
  if (desc.get_inner_nblks() == 0) return {dims, type, desc.get_strides()};
  for (const Tag tag : {Tag::aBcd16b, Tag::aBcd8b, Tag::aBcd4b})
    if (dims.size() == 4 && dnnl::memory::desc(dims, desc.get_data_type(), tag) == desc)
      return {dims, type, tag};
  throw dnnl::error(dnnl_unimplemented, "a layout without a counterpart in another type");
}

/// P::primitive_desc of these operands and sizes, in oneDNN's order.
template <typename P, typename... Args>
typename P::primitive_desc described(const dnnl::primitive_attr& attr, const Args&... args) {
  return {engine(), args..., attr};
}
/// The same of a gradient, which is told of its forward.
template <typename P, typename Hint, typename... Args>
typename P::primitive_desc described_grad(const dnnl::primitive_attr& attr, const Hint& hint,
                                          const Args&... args) {
  return {engine(), args..., hint, attr};
}

using Sides = dnnl::memory::dims;  // top and left; bottom and right

template <typename P>
typename P::primitive_desc described_pool(const dnnl::primitive_attr& attr, dnnl::prop_kind kind,
                                          dnnl::algorithm how, const dnnl::memory::desc& x,
                                          const dnnl::memory::desc& y, const Sides& stride,
                                          const Sides& kernel, const Sides& begin, const Sides& end) {
  return {engine(), kind, how, x, y, stride, kernel, Sides(kernel.size(), 0), begin, end, attr};
}
template <typename P, typename Hint>
typename P::primitive_desc described_pool_grad(const dnnl::primitive_attr& attr, const Hint& hint,
                                               dnnl::algorithm how, const dnnl::memory::desc& dx,
                                               const dnnl::memory::desc& dy, const Sides& stride,
                                               const Sides& kernel, const Sides& begin, const Sides& end) {
  return {engine(), how, dx, dy, stride, kernel, Sides(kernel.size(), 0), begin, end, hint, attr};
}

inline void append_function(dnnl::post_ops& ops, dnnl::algorithm which, float alpha, float beta) {
  ops.append_eltwise(which, alpha, beta);
}
/// x relu6(x + 3) / 6.
inline void append_hard_swish(dnnl::post_ops& ops) {
  ops.append_eltwise(dnnl::algorithm::eltwise_hardswish, 1.0f / 6, 0.5f);
}

#else

inline constexpr bool kHasWinograd = true;

inline dnnl::memory::dims dims_of(const dnnl::memory::desc& desc) { return desc.dims(); }
/// The same places for elements of another type.
inline dnnl::memory::desc retyped(dnnl::memory::desc desc, dnnl::memory::data_type type) {
  desc.data.data_type = dnnl::memory::convert_to_c(type);
  return desc;
}

template <typename P, typename... Args>
typename P::primitive_desc described(const dnnl::primitive_attr& attr, const Args&... args) {
  return {typename P::desc(args...), attr, engine()};
}
template <typename P, typename Hint, typename... Args>
typename P::primitive_desc described_grad(const dnnl::primitive_attr& attr, const Hint& hint,
                                          const Args&... args) {
  return {typename P::desc(args...), attr, engine(), hint};
}

using Sides = dnnl::memory::dims;

template <typename P>
typename P::primitive_desc described_pool(const dnnl::primitive_attr& attr, dnnl::prop_kind kind,
                                          dnnl::algorithm how, const dnnl::memory::desc& x,
                                          const dnnl::memory::desc& y, const Sides& stride,
                                          const Sides& kernel, const Sides& begin, const Sides& end) {
  return described<P>(attr, kind, how, x, y, stride, kernel, begin, end);
}
template <typename P, typename Hint>
typename P::primitive_desc described_pool_grad(const dnnl::primitive_attr& attr, const Hint& hint,
                                               dnnl::algorithm how, const dnnl::memory::desc& dx,
                                               const dnnl::memory::desc& dy, const Sides& stride,
                                               const Sides& kernel, const Sides& begin, const Sides& end) {
  return described_grad<P>(attr, hint, how, dx, dy, stride, kernel, begin, end);
}

inline void append_function(dnnl::post_ops& ops, dnnl::algorithm which, float alpha, float beta) {
  ops.append_eltwise(1.0f, which, alpha, beta);
}
inline void append_hard_swish(dnnl::post_ops& ops) {
  ops.append_eltwise(1.0f, dnnl::algorithm::eltwise_hardswish, 0, 0);
}

#endif

}  // namespace trainyard::ops::cpu
