// What the reference kernels share: row-major layouts and a kernel that is one closure of naive loops.
// Written to be read beside the formula, not to be fast. Sums are double. Private to this backend.
#pragma once

#include <functional>

#include "common/ops/backend.hpp"
#include "common/ops/functions.hpp"

namespace trainyard::ops::reference {

/// Row major and without padding; `bytes` says all.
struct PlainLayout final : Layout {
  explicit PlainLayout(std::size_t size) { bytes = size; }
  bool same(const Layout& other) const override {
    return dynamic_cast<const PlainLayout*>(&other) != nullptr && other.bytes == bytes;
  }
};

inline LayoutPtr bytes_layout(std::size_t bytes) { return std::make_shared<const PlainLayout>(bytes); }

/// f32 stands for Real.
template <typename Real>
LayoutPtr plain_layout(const Shape& shape, DType type = DType::f32) {
  const std::size_t size = type == DType::f32 ? sizeof(Real) : tensor::size_of(type);
  return bytes_layout(static_cast<std::size_t>(shape.elements()) * size);
}

class Operands {
 public:
  Operands(std::span<void* const> inputs, std::span<void* const> outputs)
      : inputs_(inputs), outputs_(outputs) {}
  template <typename T>
  const T* in(std::size_t index) const {
    return static_cast<const T*>(inputs_[index]);
  }
  template <typename T>
  T* out(std::size_t index) const {
    return static_cast<T*>(outputs_[index]);
  }

 private:
  std::span<void*const> inputs_, outputs_;
};

class LoopKernel final : public Kernel {
 public:
  using Body = std::function<void(const Operands&)>;
  LoopKernel(std::vector<LayoutPtr> outputs, Body body) : body_(std::move(body)) {
    outputs_ = std::move(outputs);
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    body_(Operands(inputs, outputs));
  }

 private:
  Body body_;
};

/// A kernel whose outputs are row major in the shapes and types that the operation names.
template <typename Real>
std::unique_ptr<Kernel> loops(const Operation& op, LoopKernel::Body body) {
  std::vector<LayoutPtr> outputs;
  for (const Signature& signature : op.outputs)
    outputs.push_back(plain_layout<Real>(signature.shape, signature.type));
  return std::make_unique<LoopKernel>(std::move(outputs), std::move(body));
}

/// What follows the sums of a linear map: activation(sum + addend).
template <typename Real>
class Finish {
 public:
  explicit Finish(const Operation& op) : attributes_(op.attributes), addend_(present(op.inputs, 3)) {}
  Real operator()(double sum, const Operands& at, std::size_t i) const {
    return value_of(attributes_.activation, attributes_,
                    static_cast<Real>(addend_ ? sum + static_cast<double>(at.in<Real>(3)[i]) : sum));
  }

 private:
  Attributes attributes_;
  bool addend_;
};

/// An activation seen as [N, C, H, W]: a flat one is an image of one pixel, axes beyond the fourth are more
/// pixels.
struct Image {
  explicit Image(const Shape& shape)
      : n(shape[0]), c(shape[1]), h(shape.rank() > 2 ? shape[2] : 1), w(shape.volume(3)) {}
  std::int64_t at(std::int64_t in, std::int64_t ic, std::int64_t ih, std::int64_t iw) const {
    return ((in * c + ic) * h + ih) * w + iw;
  }
  bool inside(std::int64_t ih, std::int64_t iw) const { return ih >= 0 && ih < h && iw >= 0 && iw < w; }
  std::int64_t pixels() const { return h * w; }
  std::int64_t n, c, h, w;
};

// One kernel a kind; families are in files of their names.
#define TRAINYARD_REFERENCE(name) \
  template <typename Real>        \
  std::unique_ptr<Kernel> name(const Operation&);
TRAINYARD_REFERENCE(conv2d)
TRAINYARD_REFERENCE(conv2d_grad_data)
TRAINYARD_REFERENCE(conv2d_grad_weights)
TRAINYARD_REFERENCE(dense)
TRAINYARD_REFERENCE(dense_grad_data)
TRAINYARD_REFERENCE(dense_grad_weights)
TRAINYARD_REFERENCE(batch_norm)
TRAINYARD_REFERENCE(batch_norm_training)
TRAINYARD_REFERENCE(batch_norm_grad)
TRAINYARD_REFERENCE(max_pool)
TRAINYARD_REFERENCE(max_pool_grad)
TRAINYARD_REFERENCE(avg_pool)
TRAINYARD_REFERENCE(avg_pool_grad)
TRAINYARD_REFERENCE(cast)
TRAINYARD_REFERENCE(reduce)
// One dispatch a family: nullptr when the kind is not of it.
TRAINYARD_REFERENCE(elementwise_kernel)
TRAINYARD_REFERENCE(along_kernel)
TRAINYARD_REFERENCE(movement_kernel)
TRAINYARD_REFERENCE(index_kernel)
TRAINYARD_REFERENCE(resize_kernel)
TRAINYARD_REFERENCE(matmul_kernel)
TRAINYARD_REFERENCE(norm_kernel)
TRAINYARD_REFERENCE(sequence_kernel)
TRAINYARD_REFERENCE(rows_kernel)
TRAINYARD_REFERENCE(loss_kernel)
#undef TRAINYARD_REFERENCE

}  // namespace trainyard::ops::reference
