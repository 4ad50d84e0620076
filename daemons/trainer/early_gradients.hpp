// Tells a ring exchange of gradients while the backward pass that makes them goes on; passes on to another
// observer what that wants to see. Belongs to the compute thread.
#pragma once

#include "common/graph/program.hpp"
#include "daemons/trainer/ring_exchange.hpp"

namespace trainyard::trainer {

class EarlyGradients final : public graph::Observer {
 public:
  explicit EarlyGradients(RingExchange& exchange) : exchange_(exchange) {}
  /// For the next pass; `other` may be null.
  graph::Observer* beside(graph::Observer* other) {
    other_ = other;
    return this;
  }

  void begins(std::size_t index) override {
    if (other_ != nullptr) other_->begins(index);
  }
  void ended(std::size_t index) override {
    if (other_ != nullptr) other_->ended(index);
  }
  void gradient(std::uint64_t offset, std::uint64_t length) override {
    exchange_.ready(offset, length);
    if (other_ != nullptr) other_->gradient(offset, length);
  }

 private:
  RingExchange& exchange_;
  graph::Observer* other_ = nullptr;
};

}  // namespace trainyard::trainer
