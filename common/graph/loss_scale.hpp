// The factor of the loss in a training with fp16: large, so that small gradients do not vanish, and smaller
// when they overflow (Micikevicius and others, "Mixed Precision Training", 2018, section 3.2). It is not kept
// in checkpoints: a few steps find it again. A value.
#pragma once

#include <cstdint>

namespace trainyard::graph {

class LossScale {
 public:
  /// Powers of two, which change no fraction. Our losses are sums over a batch: 4096 of 16 samples is what
  /// 65536 is of a mean.
  static constexpr float kFirst = 4096, kMost = 16777216;
  static constexpr std::uint32_t kCleanSteps = 2000;

  float value() const { return value_; }
  /// Behind each step: twice as much after so many clean ones, half after one whose loss or gradients are not
  /// finite. Returns whether the scale is to blame and the step to be left out; at 1 it is not any more.
  bool overflows(bool finite);

 private:
  float value_ = kFirst;
  std::uint32_t clean_ = 0;
};

}  // namespace trainyard::graph
