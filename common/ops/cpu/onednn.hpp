// What the cpu kernels share: layouts that are oneDNN descriptors, and a kernel that brings operands into the
// layout it wants. Private to this backend; oneDNN comes in by onednn_version.hpp alone.
#pragma once

#include <unordered_map>

#include "common/ops/backend.hpp"
#include "common/ops/cpu/onednn_version.hpp"
#include "common/ops/cpu/primitive_call.hpp"
#include "common/tensor/buffer.hpp"

namespace trainyard::ops::cpu {

using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;

struct BlockedLayout final : Layout {
  explicit BlockedLayout(Desc of, Desc source_of = {}) : desc(of), source(source_of) {
    bytes = of.get_size();
  }
  bool same(const Layout& other) const override {
    const auto* blocked = dynamic_cast<const BlockedLayout*>(&other);
    return blocked && blocked->desc == desc;
  }
  Desc desc;
  Desc source;  // of a pool's workspace: how the pool's input lies
};

/// Row-major bytes that oneDNN does not arrange: whole numbers, labels, workspaces.
struct RawLayout final : Layout {
  explicit RawLayout(std::size_t size) { bytes = size; }
  bool same(const Layout& other) const override {
    return dynamic_cast<const RawLayout*>(&other) != nullptr && other.bytes == bytes;
  }
};

/// Row major; a scalar is a vector of one.
Desc plain_desc(const Shape& shape);
LayoutPtr plain_layout(const Shape& shape, DType type);
/// Does the operand lie row major?
bool is_plain(const Operand& operand);
Desc any_desc(const Shape& shape);
/// The same places for elements of another real type.
Desc with_type(const Desc& desc, DType type);
/// For a reorder that only moves values of `type`: f16, which oneDNN does not move, goes as bf16.
inline Desc to_move(const Desc& desc, DType type) {
  return with_type(desc, type == DType::f16 ? DType::bf16 : type);
}
/// The descriptor of an operand that this backend arranges.
const Desc& desc_of(const Operand& operand);
LayoutPtr layout_of(const Desc& desc, const Desc& source = {});

/// Binds operands to memories in the wanted layout, reordering through the scratch area where they differ.
class ArrangedKernel : public Kernel {
 public:
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) final;

 protected:
  ArrangedKernel();
  /// Input `index` lies as `have` and is wanted as `want`; `argument` is oneDNN's number, or any unique one.
  void input(int argument, std::size_t index, const Desc& have, const Desc& want);
  /// As above; the kernel reads the same bytes under the descriptor `as`.
  void input(int argument, std::size_t index, const Desc& have, const Desc& want, const Desc& as);
  void output(int argument, std::size_t index, const Desc& have, const Desc& want);
  /// Of a primitive; comes before other scratch memory.
  void scratchpad(const Desc& desc);
  void input(int argument, std::size_t index, const Desc& desc) { input(argument, index, desc, desc); }
  /// As the first, but an operand that never changes is arranged now, once.
  void weights(int argument, std::size_t index, const Operand& operand, const Desc& have, const Desc& want);
  /// Memory that keeps nothing between runs, under a number as the operands have.
  void scratch(int argument, std::size_t floats);
  /// An output that stays as it is made; the next consumer is told.
  void output(int argument, std::size_t index, const Desc& desc) { output(argument, index, desc, desc); }
  virtual void compute() = 0;

  template <typename T = float>
  T* data(int argument) const {
    return static_cast<T*>(arguments_.at(argument).get_data_handle());
  }

  dnnl::stream stream_;
  std::unordered_map<int, dnnl::memory> arguments_;

 private:
  struct Binding {
    dnnl::memory memory;  // shares its handle with arguments_
    std::size_t index = 0;
    PrimitiveCall reorder;         // where the operand does not lie as it is wanted
    dnnl::memory outside, inside;  // with a reorder: the operand as it lies, and its copy in the scratch
    std::size_t scratch = 0;
  };
  Binding bind(int argument, std::size_t index, const Desc& want);
  std::size_t reserve(std::size_t bytes);
  std::vector<Binding> inputs_, outputs_bound_, scratch_;
  std::vector<tensor::Buffer> arranged_;  // operands that never change
};

/// A kernel that is one oneDNN primitive.
class PrimitiveKernel final : public ArrangedKernel {
 public:
  template <typename PrimitiveDesc, typename Primitive>
  PrimitiveKernel(const PrimitiveDesc& desc, Primitive primitive, std::vector<LayoutPtr> outputs)
      : primitive_(std::move(primitive)) {
    outputs_ = std::move(outputs);
    scratchpad(desc.scratchpad_desc());
  }
  using ArrangedKernel::input;
  using ArrangedKernel::output;
  using ArrangedKernel::weights;
  /// The result is computed over the operand `index`, which lies as `have`, by a post-op that adds.
  void accumulate(std::size_t index, const Desc& have, const Desc& want);

 private:
  void compute() override;
  dnnl::primitive primitive_;
  PrimitiveCall call_;  // made at the first run, when all operands are bound
  bool accumulates_ = false;
  std::size_t result_bytes_ = 0;
};

/// The attributes of every primitive: scratch memory comes from the caller.
dnnl::primitive_attr attributes();
/// The same for a linear map: its addend and activation follow as post-ops.
dnnl::primitive_attr attributes(const Operation& op);

std::unique_ptr<Kernel> conv2d(const Operation&);
std::unique_ptr<Kernel> conv2d_grad_data(const Operation&);
std::unique_ptr<Kernel> conv2d_grad_weights(const Operation&);
std::unique_ptr<Kernel> conv2d_grad_weights_in_chunks(const Operation&);  // deterministic
std::unique_ptr<Kernel> dense(const Operation&);
std::unique_ptr<Kernel> dense_grad_data(const Operation&);
std::unique_ptr<Kernel> dense_grad_weights(const Operation&);
std::unique_ptr<Kernel> batch_norm(const Operation&);
std::unique_ptr<Kernel> batch_norm_training(const Operation&);
std::unique_ptr<Kernel> batch_norm_grad(const Operation&);
std::unique_ptr<Kernel> pool(const Operation&);
std::unique_ptr<Kernel> pool_grad(const Operation&);
/// Row-major values in another shape; a view when they lie so already.
std::unique_ptr<Kernel> reshape(const Operation&);
/// The reference loops over row-major operands: for what has no kernel of its own. nullptr when there are
/// none.
std::unique_ptr<Kernel> fallback(const Operation&);
std::unique_ptr<Kernel> dropout(const Operation&);           // and its gradient
std::unique_ptr<Kernel> recurrent_kernel(const Operation&);  // nullptr when the kind is not of the family
std::unique_ptr<Kernel> softmax_cross_entropy(const Operation&);
std::unique_ptr<Kernel> narrow_kernel(const Operation&);  // of bf16; nullptr or dnnl::error: there is none

// nullptr: the reference loops do it.
std::unique_ptr<Kernel> unary(const Operation&);
std::unique_ptr<Kernel> unary_grad(const Operation&);
std::unique_ptr<Kernel> binary(const Operation&);
std::unique_ptr<Kernel> where(const Operation&);
std::unique_ptr<Kernel> cast(const Operation&);
std::unique_ptr<Kernel> reduce(const Operation&);
std::unique_ptr<Kernel> softmax(const Operation&);  // its logarithm and their gradients too
std::unique_ptr<Kernel> matmul(const Operation&);
// One dispatch a family; nullptr also when the kind is not of it.
std::unique_ptr<Kernel> elementwise_kernel(const Operation&);
std::unique_ptr<Kernel> along_kernel(const Operation&);
std::unique_ptr<Kernel> movement_kernel(const Operation&);
std::unique_ptr<Kernel> index_kernel(const Operation&);
// nullptr also where the reference does it.
std::unique_ptr<Kernel> attention_kernel(const Operation&);
std::unique_ptr<Kernel> layer_norm_kernel(const Operation&);
std::unique_ptr<Kernel> rows_kernel(const Operation&);  // bags, and gradients as rows

}  // namespace trainyard::ops::cpu
