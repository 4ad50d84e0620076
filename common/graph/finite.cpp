#include "common/graph/finite.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <optional>

#include "common/base/text.hpp"
#include "common/ops/backend.hpp"
#include "common/tensor/half.hpp"

namespace trainyard::graph {
namespace {

struct Bad {
  std::size_t count = 0;
  bool infinite = false;  // the first of them
};

Bad bad_of(std::span<const float> values) {
  Bad bad;
  if (all_finite(values)) return bad;
  for (const float value : values) {
    if (std::isfinite(value)) continue;
    if (bad.count++ == 0) bad.infinite = std::isinf(value);
  }
  return bad;
}

const char* name_of(const Bad& bad) { return bad.infinite ? "infinity" : "not-a-number"; }

class Search final : public Observer {
 public:
  Search(const Network& network, const Program& program)
      : network_(network), program_(program), origins_(network.model().graph.origins) {}

  void ended(std::size_t index) override {
    if (!found_.empty()) return;
    const Program::Step& step = program_.steps()[index];
    const auto at = program_.outputs(index);
    for (std::size_t k = 0; k < step.outputs.size(); ++k) {
      const Signature& of = step.outputs[k];
      if (of.opaque) {
        look_at_outcome(step, k, at[k], index);
      } else if (tensor::is_real(of.type)) {
        const Bad bad = bad_of(copied(of.type, at[k], step.output_bytes[k]));
        if (bad.count == 0) continue;
        found_ = format("the first {} comes from {}, in {} of {} values", name_of(bad), place_of(index),
                        bad.count, of.shape.elements());
      }
      if (!found_.empty()) return;
    }
  }
  const std::string& found() const { return found_; }

 private:
  /// The elements of an output, where this program can read them.
  std::span<const float> copied(DType type, const void* at, std::size_t bytes) {
    copy_.resize(bytes / tensor::size_of(type));
    if (type == DType::f32) {
      network_.read(at, copy_.data(), bytes);
      return copy_;
    }
    std::vector<std::uint16_t> narrow(copy_.size());
    network_.read(at, narrow.data(), bytes);
    for (std::size_t i = 0; i < narrow.size(); ++i)
      copy_[i] = type == DType::f16 ? tensor::float_from_f16(narrow[i]) : tensor::float_from_bf16(narrow[i]);
    return copy_;
  }

  /// A loss writes its sum beside its gradient.
  void look_at_outcome(const Program::Step& step, std::size_t k, const void* at, std::size_t index) {
    if (step.kind < Kind::crf_loss || step.kind == Kind::viterbi || k + 1 != step.outputs.size() ||
        step.output_bytes[k] != sizeof(ops::Outcome))
      return;
    ops::Outcome outcome;
    network_.read(at, &outcome, sizeof(outcome));
    if (!std::isfinite(outcome.loss_sum))
      found_ = format("the loss itself, {}, is the first that is not finite", place_of(index));
  }

  std::string place_of(std::size_t index) const {
    const Program::Step& step = program_.steps()[index];
    std::string name = ops::name_of(step.kind);
    if (step.kind == Kind::unary || step.kind == Kind::unary_grad)
      name = std::string(ops::name_of(step.attributes.function)) + (step.kind == Kind::unary ? "" : "_grad");
    if (step.kind == Kind::binary) name = ops::name_of(step.attributes.arithmetic);
    const Origin& origin = origins_[std::min<std::size_t>(step.origin, origins_.size() - 1)];
    if (origin.place.empty()) return name;
    return format("{} of {}", name, origin.place);
  }

  const Network& network_;
  const Program& program_;
  const std::span<const Origin> origins_;
  std::vector<float> copy_;  // of an output
  std::string found_;
};

/// Of the model's own inputs, in the words of the error; empty when they are finite.
std::string bad_input(const Network& network, const Feed& feed) {
  const auto& externals = network.model().graph.externals;
  for (std::size_t i = 0; i < externals.size() && i < feed.inputs.size(); ++i) {
    if (externals[i].of.type != DType::f32 || externals[i].bytes > 0) continue;
    const auto count = static_cast<std::size_t>(externals[i].of.shape.with_batch(feed.count).elements());
    const std::span values(static_cast<const float*>(feed.inputs[i]), count);
    if (all_finite(values)) continue;
    const Bad bad = bad_of(values);
    return format("the data are not finite: {} in {} of {} values of '{}'", name_of(bad), bad.count, count,
                  externals[i].name);
  }
  return "";
}

std::string bad_value(Network& network) {
  for (const TensorInfo& tensor : network.tensors()) {
    const auto values = std::span<const float>(network.values()).subspan(tensor.offset, tensor.length);
    if (all_finite(values)) continue;
    const Bad bad = bad_of(values);
    return format("'{}' is not finite any more after the update before: {} in {} of {} values", tensor.name,
                  name_of(bad), bad.count, tensor.length);
  }
  return "";
}

}  // namespace

bool all_finite(std::span<const float> values) {
  // The bits of a number that is not finite have all ones in their exponent.
  std::uint32_t bad = 0;
  for (const float value : values) {
    const auto exponent = std::bit_cast<std::uint32_t>(value) & 0x7f800000u;
    bad |= static_cast<std::uint32_t>(exponent == 0x7f800000u);
  }
  return bad == 0;
}

bool finite_gradients(const Network& network, std::span<const std::uint64_t> row_widths) {
  const auto tensors = network.tensors();
  for (std::size_t i = 0; i < tensors.size(); ++i)
    if (row_widths[i] == 0 && !all_finite(network.gradients().subspan(tensors[i].offset, tensors[i].length)))
      return false;
  for (const tensor::RowGradient& part : network.row_gradients())
    if (!all_finite(part.rows)) return false;
  return true;
}

bool all_finite_fp16(const void* values, std::size_t bytes) {
  constexpr std::uint16_t exponent = 0x7c00;  // all of its bits: no finite number
  const std::span halves(static_cast<const std::uint16_t*>(values), bytes / sizeof(std::uint16_t));
  return std::ranges::none_of(halves, [](std::uint16_t half) { return (half & exponent) == exponent; });
}

void Fp16Overflow::begins(std::size_t index) {
  if (inner_ != nullptr) inner_->begins(index);
}

void Fp16Overflow::ended(std::size_t index) {
  if (inner_ != nullptr) inner_->ended(index);
  const Program::Step& step = program_.steps()[index];
  if (found_ || step.kind != Kind::cast || step.outputs[0].type != DType::f16) return;
  found_ = !all_finite_fp16(program_.outputs(index)[0], step.output_bytes[0]);
}

NotFinite not_finite_cause(Network& network, const Feed& feed) {
  using Source = NotFinite::Source;
  if (std::string text = bad_input(network, feed); !text.empty()) return {Source::data, std::move(text)};
  if (std::string text = bad_value(network); !text.empty()) return {Source::values, std::move(text)};
  Search search(network, network.program(true, feed.count));
  (void)network.train_step(feed, &search);
  if (!search.found().empty()) return {Source::operation, search.found()};
  return {Source::nothing, "it did not happen again when the step was repeated"};
}

}  // namespace trainyard::graph
