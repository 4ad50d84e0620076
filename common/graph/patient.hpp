// Shows an observer the kernels of a device. Private to this layer.
#pragma once

#include <functional>

#include "common/base/check.hpp"
#include "common/graph/padded.hpp"
#include "common/graph/program.hpp"
#include "common/ops/device.hpp"

namespace trainyard::graph {

/// Waits after each kernel, so that times are its own and its results can be looked at. `changed` is called
/// in front of each announcement: gradients that were brought in are no longer those of the device.
class Patient final : public Observer {
 public:
  Patient(Observer& inner, ops::Device& device, const Padded& padded, std::function<void()> changed)
      : inner_(inner), device_(device), padded_(padded), changed_(std::move(changed)) {}
  void begins(std::size_t index) override { inner_.begins(index); }
  void ended(std::size_t index) override {
    const Status done = device_.wait();
    check(done.has_value(), done ? "" : done.error().message);
    inner_.ended(index);
  }
  void gradient(std::uint64_t offset, std::uint64_t length) override {
    changed_();
    inner_.gradient(padded_.offset(offset), length);
  }

 private:
  Observer& inner_;
  ops::Device& device_;
  const Padded& padded_;
  const std::function<void()> changed_;
};

}  // namespace trainyard::graph
