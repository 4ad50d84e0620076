// One oneDNN reorder as a kernel, without scratch memory. Private to this backend.
#pragma once

#include "common/ops/cpu/onednn.hpp"

namespace trainyard::ops::cpu {

class Reorder final : public Kernel {
 public:
  /// `result`: what output 0 is said to lie as; none where nobody asks.
  Reorder(const Desc& from, const Desc& to, LayoutPtr result = nullptr)
      : stream_(engine()),
        from_(from, engine(), nullptr),
        to_(to, engine(), nullptr),
        reorder_(PrimitiveCall::reorder(from_, to_)) {
    if (result) outputs_ = {std::move(result)};
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    from_.set_data_handle(inputs[0]);
    to_.set_data_handle(outputs[0]);
    reorder_(stream_);
  }

 private:
  dnnl::stream stream_;
  dnnl::memory from_, to_;
  PrimitiveCall reorder_;
};

}  // namespace trainyard::ops::cpu
