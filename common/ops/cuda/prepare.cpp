#include "common/base/text.hpp"
#include "common/ops/cuda/backend.hpp"
#include "common/ops/cuda/kernel.hpp"
#include "common/ops/cuda/update.hpp"
#include "common/ops/widened.hpp"

namespace trainyard::ops::cuda {
namespace {

bool is_image(const Operand& operand) {
  return operand.layout != nullptr && operand.shape.rank() == 4 &&
         static_cast<const DeviceLayout&>(*operand.layout).order != Order::raw;
}

bool any_last(const Operation& op, std::initializer_list<std::size_t> indices) {
  for (const std::size_t i : indices)
    if (present(op.inputs, i) && is_channels_last(op.inputs[i])) return true;
  return false;
}

/// Which operands the kernel wants channels last; all others row major.
std::vector<bool> wants_last(const Operation& op) {
  std::vector<bool> wants(op.inputs.size(), false);
  const auto set = [&](std::initializer_list<std::size_t> indices, bool last) {
    for (const std::size_t i : indices)
      if (i < wants.size()) wants[i] = last;
  };
  switch (op.kind) {
    case Kind::unary:
    case Kind::cast:
    case Kind::reshape:
    case Kind::max_pool:
    case Kind::avg_pool:
    case Kind::avg_pool_grad:
      set({0}, any_last(op, {0}));
      break;
    case Kind::max_pool_grad:  // as the forward pass left its places
      set({0}, static_cast<const DeviceLayout&>(*op.inputs[1].layout).last);
      break;
    case Kind::unary_grad:
      set({0, 1, 2}, any_last(op, {0, 1, 2}));
      break;
    case Kind::binary:
      set({0, 1}, op.inputs[0].shape == op.inputs[1].shape && any_last(op, {0, 1}));
      break;
    case Kind::batch_norm:
    case Kind::batch_norm_training:
      set({0, 5}, any_last(op, {0}));
      break;
    case Kind::batch_norm_grad:
      set({0, 1}, any_last(op, {0}));
      break;
    case Kind::conv2d:
    case Kind::conv2d_grad_data:
      set({0, 3}, tensor::size_of(op.inputs[0].type) == 2);
      break;
    case Kind::conv2d_grad_weights:
      set({0, 1}, tensor::size_of(op.inputs[0].type) == 2);
      break;
    default:
      break;
  }
  return wants;
}

bool is_convolution(Kind kind) {
  return kind == Kind::conv2d || kind == Kind::conv2d_grad_data || kind == Kind::conv2d_grad_weights;
}

struct Move {
  std::size_t index = 0, scratch = 0;
  Image image;
  bool to_last = false;
  std::size_t bytes = 0;  // of an element
};

/// Brings images into the order that `inner` wants.
class Arranged final : public Kernel {
 public:
  Arranged(Queue& queue, KernelPtr inner, std::vector<Move> moves, std::size_t moved, std::size_t operands)
      : queue_(queue), inner_(std::move(inner)), moves_(std::move(moves)), moved_(moved), inputs_(operands) {
    outputs_ = inner_->outputs();
    scratch_bytes_ = moved + inner_->scratch_bytes();
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    auto* const area = static_cast<std::byte*>(scratch);
    std::copy(inputs.begin(), inputs.end(), inputs_.begin());
    for (const Move& move : moves_) {
      void* const to = area + move.scratch;
      const Image& image = move.image;
      turn_matrices(queue_, inputs[move.index], to, image.n, move.to_last ? image.c : image.pixels(),
                    move.to_last ? image.pixels() : image.c, move.bytes);
      inputs_[move.index] = to;
    }
    inner_->run(inputs_, outputs, area + moved_);
  }

 private:
  Queue& queue_;
  KernelPtr inner_;
  const std::vector<Move> moves_;
  const std::size_t moved_;
  std::vector<void*> inputs_;
};

Result<KernelPtr> build(const Operation& op, Queue& queue) {
  for (const auto family : {linear_kernel, attention_kernel, self_attention_kernel, recurrent_kernel}) {
    auto kernel = family(op, queue);
    if (!kernel || *kernel) return kernel;
  }
  for (const auto family :
       {elementwise_kernel, batch_norm_kernel, pool_kernel, movement_kernel, index_kernel, along_kernel,
        reduce_kernel, norm_kernel, loss_kernel, bag_kernel, resize_kernel, crf_kernel})
    if (auto kernel = family(op, queue)) return kernel;
  return Error{Errc::refused, format("the GPU has no kernel for {} of {} {}", name_of(op.kind),
                                     op.inputs.empty() ? "" : name_of(op.inputs[0].type),
                                     op.inputs.empty() ? "nothing" : op.inputs[0].shape.text())};
}

}  // namespace

Result<KernelPtr> prepare_kernel(const Operation& operation, Queue& queue) {
  // cuDNN gives results of the type of the operands; cuBLASLt can give f32.
  if (is_narrow(operation) && is_convolution(operation.kind))
    return over_widened(operation, [&](const Operation& wide) { return prepare_kernel(wide, queue); });
  Operation op = operation;
  const std::vector<bool> wants = wants_last(op);
  std::vector<Move> moves;
  Area area;
  for (std::size_t i = 0; i < op.inputs.size(); ++i) {
    Operand& operand = op.inputs[i];
    if (!is_image(operand)) continue;
    const LayoutPtr want = wants[i] ? channels_last_layout(operand.shape, operand.type)
                                    : plain_layout(operand.shape, operand.type);
    if (want->same(*operand.layout)) continue;
    moves.push_back(
        {i, area.add(want->bytes), Image(operand.shape, true), wants[i], tensor::size_of(operand.type)});
    operand.layout = want;
  }
  auto kernel = build(op, queue);
  if (!kernel || moves.empty()) return kernel;
  return KernelPtr(std::make_unique<Arranged>(queue, std::move(*kernel), std::move(moves), area.bytes(),
                                              op.inputs.size()));
}

namespace {

class CudaBackend final : public Backend {
 public:
  CudaBackend(std::unique_ptr<Device> device, Queue& queue) : device_(std::move(device)), queue_(queue) {}
  LayoutPtr plain(const Shape& shape, DType type) const override { return plain_layout(shape, type); }
  LayoutPtr raw(std::size_t bytes) const override { return raw_layout(bytes); }
  Result<KernelPtr> prepare(const Operation& operation) const override {
    return prepare_kernel(operation, queue_);
  }
  Device* device() const override { return device_.get(); }
  Status update(const tensor::UpdatePlan& plan, const UpdateMemory& at) const override {
    enqueue_update(queue_, plan, at);
    return {};
  }

 private:
  const std::unique_ptr<Device> device_;
  Queue& queue_;
};

}  // namespace

std::unique_ptr<Backend> backend_on(std::unique_ptr<Device> device, Queue& queue) {
  return std::make_unique<CudaBackend>(std::move(device), queue);
}

}  // namespace trainyard::ops::cuda
