#include "common/ops/cpu/arrangement.hpp"
#include "common/ops/cpu/reorder.hpp"
#include "common/tensor/buffer.hpp"

namespace trainyard::ops::cpu {
namespace {

// Operands brought into the order that loops want: the reference's, which are row major, or own ones.

/// Whole numbers and what another fallback kept: they lie as the loops want them.
bool is_raw(const Layout& layout) { return dynamic_cast<const RawLayout*>(&layout) != nullptr; }

/// Brings operands into the order that `inner` wants.
class Arranged final : public Kernel {
 public:
  Arranged(const Operation& op, std::unique_ptr<Kernel> inner, const Arrangement& order,
           std::vector<LayoutPtr> outputs)
      : inner_(std::move(inner)), pointers_(op.inputs.size()) {
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      const Operand& operand = op.inputs[i];
      if (!operand.layout || is_raw(*operand.layout)) continue;
      const Desc have = to_move(desc_of(operand), operand.type),
                 want = to_move(order.desc(operand.shape), operand.type);
      if (have == want) continue;
      moves_.push_back({i, scratch_bytes_, std::make_unique<Reorder>(have, want)});
      scratch_bytes_ += tensor::aligned(want.get_size());
    }
    inner_scratch_ = scratch_bytes_;
    scratch_bytes_ += inner_->scratch_bytes();
    outputs_ = std::move(outputs);
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    auto* const area = static_cast<std::byte*>(scratch);
    std::copy(inputs.begin(), inputs.end(), pointers_.begin());
    for (const Move& move : moves_) {
      void* const to = area + move.scratch;
      move.reorder->run({&inputs[move.index], 1}, {&to, 1}, nullptr);
      pointers_[move.index] = to;
    }
    inner_->run(pointers_, outputs, area + inner_scratch_);
  }
  bool moves() const { return !moves_.empty(); }
  std::unique_ptr<Kernel> inner() && { return std::move(inner_); }

 private:
  struct Move {
    std::size_t index = 0, scratch = 0;
    std::unique_ptr<Kernel> reorder;
  };
  std::unique_ptr<Kernel> inner_;
  std::vector<Move> moves_;
  std::vector<void*> pointers_;
  std::size_t inner_scratch_ = 0;
};

}  // namespace

std::unique_ptr<Kernel> over_arranged(const Operation& op, std::unique_ptr<Kernel> kernel,
                                      const Arrangement& order) {
  std::vector<LayoutPtr> outputs = kernel->outputs();
  auto arranged = std::make_unique<Arranged>(op, std::move(kernel), order, std::move(outputs));
  return arranged->moves() ? std::move(arranged) : std::move(*arranged).inner();
}

std::unique_ptr<Kernel> fallback(const Operation& op) {
  static const std::unique_ptr<Backend> reference = reference_backend<float>();
  auto loops = reference->prepare(op);
  if (!loops) return nullptr;
  std::vector<LayoutPtr> outputs;
  for (std::size_t i = 0; i < op.outputs.size(); ++i) {
    const Signature& of = op.outputs[i];
    outputs.push_back(of.opaque ? std::make_shared<const RawLayout>((*loops)->outputs()[i]->bytes)
                                : plain_layout(of.shape, of.type));
  }
  return std::make_unique<Arranged>(op, std::move(*loops), Arrangement{}, std::move(outputs));
}

}  // namespace trainyard::ops::cpu
