#include "common/ops/cpu/onednn.hpp"

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
    binding.reorder.emplace(dnnl::reorder::primitive_desc(engine(), have, engine(), want));
    binding.scratch = reserve(want.get_size());
  }
  inputs_.push_back(std::move(binding));
}

void ArrangedKernel::output(int argument, std::size_t index, const Desc& have, const Desc& want) {
  Binding binding = bind(argument, index, have);
  if (have != want) {
    binding.outside = dnnl::memory(want, engine(), nullptr);
    binding.reorder.emplace(dnnl::reorder::primitive_desc(engine(), have, engine(), want));
    binding.scratch = reserve(have.get_size());
  }
  outputs_bound_.push_back(std::move(binding));
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
  for (auto& binding : inputs_) {
    if (!binding.reorder) {
      point(binding.memory, inputs[binding.index]);
      continue;
    }
    point(binding.outside, inputs[binding.index]);
    point(binding.inside, area + binding.scratch);
    point(binding.memory, area + binding.scratch);
    binding.reorder->execute(stream_, binding.outside, binding.inside);
  }
  for (auto& binding : outputs_bound_)
    point(binding.memory, binding.reorder ? area + binding.scratch : outputs[binding.index]);
  compute();
  for (auto& binding : outputs_bound_) {
    if (!binding.reorder) continue;
    point(binding.outside, outputs[binding.index]);
    binding.reorder->execute(stream_, binding.memory, binding.outside);
  }
}

}  // namespace trainyard::ops::cpu
