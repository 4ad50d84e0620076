#include <algorithm>
#include <cmath>

#include "common/ops/functions.hpp"
#include "common/ops/reference/reference.hpp"

// Each loss writes its gradient, of the sum over the samples, and an Outcome.
namespace trainyard::ops::reference {
namespace {

std::vector<LayoutPtr> with_outcome(std::vector<LayoutPtr> gradients) {
  gradients.push_back(bytes_layout(sizeof(Outcome)));
  return gradients;
}

/// With p = softmax(x), target distribution q = (1 - smoothing) [k = label] + smoothing / K and weights w:
/// loss = -sum of w_k q_k log p_k. Source of the weights' place: torch.nn.CrossEntropyLoss.
template <typename Real>
std::unique_ptr<Kernel> softmax_cross_entropy(const Operation& op) {
  const Shape shape = op.inputs[0].shape;
  const std::int64_t classes = shape[1], inner = shape.volume(2), count = shape[0] * inner;
  const Attributes a = op.attributes;
  const bool weighted = op.inputs.size() > 2;
  return std::make_unique<LoopKernel>(with_outcome({plain_layout<Real>(shape)}), [=](const Operands& at) {
    Outcome outcome;
    std::vector<double> x(static_cast<std::size_t>(classes));
    const auto weight = [&](std::int64_t k) -> double { return weighted ? at.in<Real>(2)[k] : Real{1}; };
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t first = i / inner * classes * inner + i % inner;
      const std::int32_t label = at.in<std::int32_t>(1)[i];
      const bool counts = label != a.ignore;
      check(!counts || (label >= 0 && label < classes), "a label is below the number of classes");
      for (std::int64_t k = 0; k < classes; ++k) x[k] = at.in<Real>(0)[first + k * inner];
      const double top = *std::max_element(x.begin(), x.end());
      double sum = 0, targets = 0;
      for (const double value : x) sum += std::exp(value - top);
      const auto target = [&](std::int64_t k) {
        return weight(k) * ((k == label ? 1 - a.smoothing : 0) + a.smoothing / static_cast<double>(classes));
      };
      for (std::int64_t k = 0; k < classes; ++k) targets += target(k);
      for (std::int64_t k = 0; k < classes; ++k) {
        const double log_p = x[k] - top - std::log(sum);
        at.out<Real>(0)[first + k * inner] =
            static_cast<Real>(counts ? targets * std::exp(log_p) - target(k) : 0);
        // An impossible class that nobody expects costs nothing.
        if (counts && target(k) != 0) outcome.loss_sum -= target(k) * log_p;
      }
      if (!counts) continue;
      outcome.weight_sum += weight(label);
      outcome.correct += std::max_element(x.begin(), x.end()) - x.begin() == label ? 1 : 0;
    }
    *at.out<Outcome>(1) = outcome;
  });
}

struct ValueLoss {
  double value = 0, slope = 0;
};

ValueLoss value_loss(Kind kind, const Attributes& a, double x, double target) {
  const double off = x - target, size = std::abs(off), sign = off > 0 ? 1 : off < 0 ? -1 : 0;
  switch (kind) {
    case Kind::sigmoid_cross_entropy:
      // -target log s(x) - (1 - target) log(1 - s(x))
      return {softplus(x) - target * x, sigmoid(x) - target};
    case Kind::squared_error:
      return {off * off, 2 * off};
    case Kind::absolute_error:
      return {size, sign};
    default:
      return size <= a.alpha ? ValueLoss{off * off / 2, off}
                             : ValueLoss{a.alpha * (size - a.alpha / 2), a.alpha * sign};
  }
}

/// A sample's loss is the mean over its values; that of sigmoid_cross_entropy is their sum.
template <typename Real>
std::unique_ptr<Kernel> elementwise_loss(const Operation& op) {
  const Shape shape = op.inputs[0].shape;
  const std::int64_t batch = shape[0], values = shape.volume(1);
  const bool classifier = op.kind == Kind::sigmoid_cross_entropy;
  const double share = classifier ? 1 : 1 / static_cast<double>(values);
  return std::make_unique<LoopKernel>(with_outcome({plain_layout<Real>(shape)}),
                                      [=, kind = op.kind, a = op.attributes](const Operands& at) {
                                        Outcome outcome;
                                        for (std::int64_t n = 0; n < batch; ++n) {
                                          bool right = classifier;
                                          for (std::int64_t i = n * values; i < (n + 1) * values; ++i) {
                                            const double x = at.in<Real>(0)[i], target = at.in<Real>(1)[i];
                                            const ValueLoss loss = value_loss(kind, a, x, target);
                                            outcome.loss_sum += loss.value * share;
                                            at.out<Real>(0)[i] = static_cast<Real>(loss.slope * share);
                                            right = right && (x > 0) == (target > 0.5);
                                          }
                                          outcome.weight_sum += 1;
                                          outcome.correct += right ? 1 : 0;
                                        }
                                        *at.out<Outcome>(1) = outcome;
                                      });
}

/// loss = max(0, alpha + largest score of another class - score of the label).
template <typename Real>
std::unique_ptr<Kernel> hinge(const Operation& op) {
  const Shape shape = op.inputs[0].shape;
  const std::int64_t batch = shape[0], classes = shape[1];
  return std::make_unique<LoopKernel>(
      with_outcome({plain_layout<Real>(shape)}), [=, margin = op.attributes.alpha](const Operands& at) {
        Outcome outcome;
        std::fill_n(at.out<Real>(0), batch * classes, Real{0});
        for (std::int64_t n = 0; n < batch; ++n) {
          const Real* x = at.in<Real>(0) + n * classes;
          const std::int32_t label = at.in<std::int32_t>(1)[n];
          check(label >= 0 && label < classes, "a label is below the number of classes");
          std::int64_t other = -1;
          for (std::int64_t k = 0; k < classes; ++k)
            if (k != label && (other < 0 || x[k] > x[other])) other = k;
          outcome.weight_sum += 1;
          outcome.correct += std::max_element(x, x + classes) == x + label ? 1 : 0;
          if (other < 0) continue;
          const double loss = margin + x[other] - x[label];
          if (loss <= 0) continue;
          outcome.loss_sum += loss;
          at.out<Real>(0)[n * classes + other] = 1;
          at.out<Real>(0)[n * classes + label] = -1;
        }
        *at.out<Outcome>(1) = outcome;
      });
}

/// loss = max(0, |a - p|^2 - |a - n|^2 + alpha).
template <typename Real>
std::unique_ptr<Kernel> triplet(const Operation& op) {
  const Shape shape = op.inputs[0].shape;
  const LayoutPtr layout = plain_layout<Real>(shape);
  const std::int64_t batch = shape[0], values = shape.volume(1);
  return std::make_unique<LoopKernel>(
      with_outcome({layout, layout, layout}), [=, margin = op.attributes.alpha](const Operands& at) {
        Outcome outcome;
        for (std::int64_t n = 0; n < batch; ++n) {
          double near = 0, far = 0;
          const auto value = [&](std::size_t operand, std::int64_t i) -> double {
            return at.in<Real>(operand)[n * values + i];
          };
          for (std::int64_t i = 0; i < values; ++i) {
            near += (value(0, i) - value(1, i)) * (value(0, i) - value(1, i));
            far += (value(0, i) - value(2, i)) * (value(0, i) - value(2, i));
          }
          const double loss = near - far + margin, active = loss > 0 ? 2 : 0;
          outcome.loss_sum += std::max(loss, 0.0);
          outcome.weight_sum += 1;
          outcome.correct += near < far ? 1 : 0;
          for (std::int64_t i = 0; i < values; ++i) {
            at.out<Real>(0)[n * values + i] = static_cast<Real>(active * (value(2, i) - value(1, i)));
            at.out<Real>(1)[n * values + i] = static_cast<Real>(active * (value(1, i) - value(0, i)));
            at.out<Real>(2)[n * values + i] = static_cast<Real>(active * (value(0, i) - value(2, i)));
          }
        }
        *at.out<Outcome>(3) = outcome;
      });
}

}  // namespace

template <typename Real>
std::unique_ptr<Kernel> loss_kernel(const Operation& op) {
  switch (op.kind) {
    case Kind::softmax_cross_entropy:
      return softmax_cross_entropy<Real>(op);
    case Kind::sigmoid_cross_entropy:
    case Kind::squared_error:
    case Kind::absolute_error:
    case Kind::huber:
      return elementwise_loss<Real>(op);
    case Kind::hinge:
      return hinge<Real>(op);
    case Kind::triplet:
      return triplet<Real>(op);
    default:
      return nullptr;
  }
}

template std::unique_ptr<Kernel> loss_kernel<float>(const Operation&);
template std::unique_ptr<Kernel> loss_kernel<double>(const Operation&);

}  // namespace trainyard::ops::reference
