// Where the first number that is not finite comes from: the inputs, the values of the network, or an
// operator. One thread, that of the network.
#pragma once

#include <span>
#include <string>

#include "common/graph/network.hpp"

namespace trainyard::graph {

/// No infinity and no not-a-number; as fast as memory is read.
bool all_finite(std::span<const float> values);
/// The same of numbers in fp16.
bool all_finite_fp16(const void* values, std::size_t bytes);

/// The same of all gradients of the last step; `row_widths` are the network's.
bool finite_gradients(const Network& network, std::span<const std::uint64_t> row_widths);

/// Watches a prediction for numbers that fp16 does not hold where operands are cast to it: what follows may
/// hide them, as a rectifier does. Hands on what `inner` wants to see; that may be null.
class Fp16Overflow final : public Observer {
 public:
  Fp16Overflow(const Program& program, Observer* inner) : program_(program), inner_(inner) {}
  void begins(std::size_t index) override;
  void ended(std::size_t index) override;
  bool found() const { return found_; }

 private:
  const Program& program_;
  Observer* const inner_;
  bool found_ = false;
};

struct NotFinite {
  enum class Source { nothing, data, values, operation } source = Source::nothing;
  std::string text;  // "the first infinity comes from exp of model.layers[3] (12:7), in 2 of 320 values"
};

/// Runs a step again that gave a loss or gradients that are not finite, and looks at every result. Values
/// stay as they are; gradients are made again. Slow.
NotFinite not_finite_cause(Network& network, const Feed& feed);

}  // namespace trainyard::graph
