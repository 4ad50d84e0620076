#include "common/ops/cpu/primitive_call.hpp"

namespace trainyard::ops::cpu {

PrimitiveCall::PrimitiveCall(dnnl::primitive primitive,
                             const std::unordered_map<int, dnnl::memory>& arguments)
    : primitive_(std::move(primitive)) {
  for (const auto& [number, memory] : arguments) {
    memories_.push_back(memory);
    list_.push_back({number, memory.get()});
  }
}

PrimitiveCall PrimitiveCall::reorder(const dnnl::memory& from, const dnnl::memory& to) {
  return {dnnl::reorder(dnnl::reorder::primitive_desc(engine(), from.get_desc(), engine(), to.get_desc())),
          {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}}};
}

void PrimitiveCall::operator()(const dnnl::stream& stream) const {
  dnnl::error::wrap_c_api(
      dnnl_primitive_execute(primitive_.get(), stream.get(), static_cast<int>(list_.size()), list_.data()),
      "a primitive could not be executed");
}

}  // namespace trainyard::ops::cpu
