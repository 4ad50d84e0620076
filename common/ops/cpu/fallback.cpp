#include "common/ops/cpu/onednn.hpp"
#include "common/tensor/buffer.hpp"

namespace trainyard::ops::cpu {
namespace {

/// Whole numbers and what another fallback kept: they lie as the loops want them.
bool is_raw(const Layout& layout) { return dynamic_cast<const RawLayout*>(&layout) != nullptr; }

/// Brings operands into row-major order and runs the reference loops, whose results are row major.
class Fallback final : public Kernel {
 public:
  Fallback(const Operation& op, std::unique_ptr<Kernel> loops)
      : loops_(std::move(loops)), pointers_(op.inputs.size()) {
    std::size_t scratch = 0;
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      if (!op.inputs[i].layout || is_raw(*op.inputs[i].layout) || is_plain(op.inputs[i])) continue;
      const Desc want = plain_desc(op.inputs[i].shape);
      moves_.push_back({i, scratch, reorder_of(desc_of(op.inputs[i]), want)});
      scratch += tensor::aligned(want.get_size());
    }
    scratch_bytes_ = scratch;
    for (std::size_t i = 0; i < op.outputs.size(); ++i) {
      const Signature& of = op.outputs[i];
      outputs_.push_back(of.opaque ? std::make_shared<const RawLayout>(loops_->outputs()[i]->bytes)
                                   : plain_layout(of.shape, of.type));
    }
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    std::copy(inputs.begin(), inputs.end(), pointers_.begin());
    for (const Move& move : moves_) {
      void* const to = static_cast<std::byte*>(scratch) + move.scratch;
      const void* const from = inputs[move.index];
      move.reorder->run({const_cast<void* const*>(&from), 1}, {&to, 1}, nullptr);
      pointers_[move.index] = to;
    }
    loops_->run(pointers_, outputs, nullptr);
  }

 private:
  struct Move {
    std::size_t index = 0, scratch = 0;
    std::unique_ptr<Kernel> reorder;
  };
  static std::unique_ptr<Kernel> reorder_of(const Desc& from, const Desc& to);

  std::unique_ptr<Kernel> loops_;
  std::vector<Move> moves_;
  std::vector<void*> pointers_;
};

/// One oneDNN reorder, without scratch memory.
class Reorder final : public Kernel {
 public:
  Reorder(const Desc& from, const Desc& to)
      : stream_(engine()),
        from_(from, engine(), nullptr),
        to_(to, engine(), nullptr),
        reorder_(dnnl::reorder::primitive_desc(engine(), from, engine(), to)) {}
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    from_.set_data_handle(inputs[0]);
    to_.set_data_handle(outputs[0]);
    reorder_.execute(stream_, from_, to_);
  }

 private:
  dnnl::stream stream_;
  dnnl::memory from_, to_;
  dnnl::reorder reorder_;
};

std::unique_ptr<Kernel> Fallback::reorder_of(const Desc& from, const Desc& to) {
  return std::make_unique<Reorder>(from, to);
}

}  // namespace

std::unique_ptr<Kernel> fallback(const Operation& op) {
  static const std::unique_ptr<Backend> reference = reference_backend<float>();
  auto loops = reference->prepare(op);
  if (!loops) return nullptr;
  return std::make_unique<Fallback>(op, std::move(*loops));
}

}  // namespace trainyard::ops::cpu
