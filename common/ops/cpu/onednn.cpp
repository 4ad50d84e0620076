#include "common/ops/cpu/onednn.hpp"

#include <cstring>

#include "common/tensor/buffer.hpp"

namespace trainyard::ops::cpu {

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

Desc plain_desc(const Shape& shape) {
  static constexpr Tag kTags[] = {Tag::a, Tag::ab, Tag::abc, Tag::abcd, Tag::abcde, Tag::abcdef};
  if (shape.rank() == 0) return Desc({1}, dnnl::memory::data_type::f32, Tag::a);
  if (shape.rank() <= std::size(kTags))
    return Desc(shape.dims(), dnnl::memory::data_type::f32, kTags[shape.rank() - 1]);
  return Desc({shape.elements()}, dnnl::memory::data_type::f32, Tag::a);
}

LayoutPtr plain_layout(const Shape& shape, DType type) {
  if (type == DType::f32) return layout_of(plain_desc(shape));
  return std::make_shared<const RawLayout>(static_cast<std::size_t>(shape.elements()) *
                                           tensor::size_of(type));
}

bool is_plain(const Operand& operand) {
  return operand.layout->same(*plain_layout(operand.shape, operand.type));
}

Desc any_desc(const Shape& shape) { return Desc(shape.dims(), dnnl::memory::data_type::f32, Tag::any); }

Desc with_type(const Desc& desc, DType type) {
  using Type = dnnl::memory::data_type;
  return retyped(desc, type == DType::bf16 ? Type::bf16 : type == DType::f16 ? Type::f16 : Type::f32);
}

const Desc& desc_of(const Operand& operand) {
  const auto* blocked = dynamic_cast<const BlockedLayout*>(operand.layout.get());
  check(blocked != nullptr, "the operand has a layout of the cpu backend");
  return blocked->desc;
}

LayoutPtr layout_of(const Desc& desc, const Desc& source) {
  return std::make_shared<const BlockedLayout>(desc, source);
}

dnnl::primitive_attr attributes() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

namespace {

/// The post-op of a function that follows_linear.
void append(dnnl::post_ops& ops, Function function, const Attributes& a) {
  using dnnl::algorithm;
  const auto add = [&](algorithm which, double alpha = 0, double beta = 0) {
    append_function(ops, which, static_cast<float>(alpha), static_cast<float>(beta));
  };
  switch (function) {
    case Function::relu:
      return add(algorithm::eltwise_relu);
    case Function::relu6:
      return add(algorithm::eltwise_clip, 0, 6);
    case Function::leaky_relu:
      return add(algorithm::eltwise_relu, a.alpha);
    case Function::elu:
      return add(algorithm::eltwise_elu, a.alpha);
    case Function::gelu:
      return add(algorithm::eltwise_gelu_erf);
    case Function::gelu_tanh:
      return add(algorithm::eltwise_gelu_tanh);
    case Function::silu:
      return add(algorithm::eltwise_swish, 1);
    case Function::hard_swish:
      return append_hard_swish(ops);
    case Function::sigmoid:
      return add(algorithm::eltwise_logistic);
    case Function::tanh:
      return add(algorithm::eltwise_tanh);
    case Function::clip:
      return add(algorithm::eltwise_clip, a.alpha, a.beta);
    default:
      check(function == Function::identity, "an activation that is fused has a post-op");
  }
}

}  // namespace

dnnl::primitive_attr attributes(const Operation& op) {
  dnnl::primitive_attr attr = attributes();
  dnnl::post_ops ops;
  if (present(op.inputs, 3)) ops.append_sum();
  append(ops, op.attributes.activation, op.attributes);
  attr.set_post_ops(ops);
  return attr;
}

constexpr int kAddend = 1 << 21;  // not oneDNN's number

void PrimitiveKernel::accumulate(std::size_t index, const Desc& have, const Desc& want) {
  input(kAddend, index, have, want);
  accumulates_ = true;
  result_bytes_ = want.get_size();
  if (have == want) in_place_ = static_cast<int>(index);
}

void PrimitiveKernel::compute() {
  if (accumulates_) {
    void *const from = data<void>(kAddend), *const to = data<void>(DNNL_ARG_DST);
    if (from != to) std::memcpy(to, from, result_bytes_);
  }
  if (!call_) call_ = PrimitiveCall(primitive_, arguments_);
  call_(stream_);
}

ArrangedKernel::ArrangedKernel() : stream_(engine()) {}

std::size_t ArrangedKernel::reserve(std::size_t bytes) {
  const std::size_t at = scratch_bytes_;
  scratch_bytes_ += tensor::aligned(bytes);
  return at;
}

ArrangedKernel::Binding ArrangedKernel::bind(int argument, std::size_t index, const Desc& want) {
  dnnl::memory memory(want, engine(), nullptr);
  arguments_.insert_or_assign(argument, memory);
  return {.memory = memory, .index = index};
}

void ArrangedKernel::scratchpad(const Desc& desc) {
  check(scratch_bytes_ == 0, "the scratchpad comes first");
  reserve(desc.get_size());
  arguments_.emplace(DNNL_ARG_SCRATCHPAD, dnnl::memory(desc, engine(), nullptr));
}

void ArrangedKernel::input(int argument, std::size_t index, const Desc& have, const Desc& want) {
  input(argument, index, have, want, want);
}

void ArrangedKernel::input(int argument, std::size_t index, const Desc& have, const Desc& want,
                           const Desc& as) {
  Binding binding = bind(argument, index, as);
  if (have != want) {
    binding.outside = dnnl::memory(have, engine(), nullptr);
    binding.inside = dnnl::memory(want, engine(), nullptr);
    binding.reorder = PrimitiveCall::reorder(binding.outside, binding.inside);
    binding.scratch = reserve(want.get_size());
  }
  inputs_.push_back(std::move(binding));
}

void ArrangedKernel::weights(int argument, std::size_t index, const Operand& operand, const Desc& have,
                             const Desc& want) {
  if (operand.constant == nullptr || have == want) return input(argument, index, have, want);
  arranged_.emplace_back(want.get_size());
  dnnl::memory from(have, engine(), const_cast<void*>(operand.constant));
  dnnl::memory to(want, engine(), arranged_.back().data());
  PrimitiveCall::reorder(from, to)(stream_);
  stream_.wait();
  arguments_.insert_or_assign(argument, to);
}

void ArrangedKernel::output(int argument, std::size_t index, const Desc& have, const Desc& want) {
  Binding binding = bind(argument, index, have);
  if (have != want) {
    binding.outside = dnnl::memory(want, engine(), nullptr);
    binding.reorder = PrimitiveCall::reorder(binding.memory, binding.outside);
    binding.scratch = reserve(have.get_size());
  }
  outputs_bound_.push_back(std::move(binding));
}

void ArrangedKernel::scratch(int argument, std::size_t floats) {
  const Desc desc = plain_desc(Shape{static_cast<std::int64_t>(floats)});
  Binding binding = bind(argument, 0, desc);
  binding.scratch = reserve(desc.get_size());
  scratch_.push_back(std::move(binding));
}

namespace {

/// Setting a handle zeroes the padding of a blocked memory, so it is done only when the address changed.
void point(dnnl::memory& memory, void* at) {
  if (memory.get_data_handle() != at) memory.set_data_handle(at);
}

}  // namespace

void ArrangedKernel::run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) {
  auto* const area = static_cast<std::byte*>(scratch);
  if (const auto pad = arguments_.find(DNNL_ARG_SCRATCHPAD); pad != arguments_.end())
    point(pad->second, area);
  for (auto& binding : scratch_) point(binding.memory, area + binding.scratch);
  for (auto& binding : inputs_) {
    if (!binding.reorder) {
      point(binding.memory, inputs[binding.index]);
      continue;
    }
    point(binding.outside, inputs[binding.index]);
    point(binding.inside, area + binding.scratch);
    point(binding.memory, area + binding.scratch);
    binding.reorder(stream_);
  }
  for (auto& binding : outputs_bound_)
    point(binding.memory, binding.reorder ? area + binding.scratch : outputs[binding.index]);
  compute();
  for (auto& binding : outputs_bound_) {
    if (!binding.reorder) continue;
    point(binding.outside, outputs[binding.index]);
    binding.reorder(stream_);
  }
}

}  // namespace trainyard::ops::cpu
