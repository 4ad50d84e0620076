// Each loss writes its gradient, of the sum over the samples, and an Outcome: groups of threads write their
// samples' shares, and one team adds them up, always in the same order. A label that is no class makes the
// loss not-a-number, since nothing here can end the process.
#include <cmath>
#include <limits>

#include "common/ops/arithmetic.hpp"
#include "common/ops/cuda/group.hpp"
#include "common/ops/cuda/kernel.hpp"
#include "common/ops/cuda/numbers.hpp"
#include "common/ops/functions.hpp"

namespace trainyard::ops::cuda {
namespace {

struct OutcomeSum {
  std::int64_t count;
  const Outcome* shares;
  Outcome* outcome;
  __device__ void operator()(const Team& team) const {
    Outcome sum{0, 0, 0};
    for (std::int64_t i = team.thread(); i < count; i += team.threads()) {
      sum.loss_sum += shares[i].loss_sum;
      sum.weight_sum += shares[i].weight_sum;
      sum.correct += shares[i].correct;
    }
    const auto add = [](auto a, auto b) { return a + b; };
    sum.loss_sum = team.reduce(sum.loss_sum, add);
    sum.weight_sum = team.reduce(sum.weight_sum, add);
    sum.correct = team.reduce(sum.correct, add);
    if (team.thread() == 0) *outcome = sum;
  }
};

/// A kernel with gradients in the shapes of the operation, shares of `count` samples in scratch memory, and
/// the outcome as the last result. run(at, shares)
template <typename Run>
KernelPtr with_outcome(const Operation& op, Queue& queue, std::int64_t count, const Run& run) {
  std::vector<LayoutPtr> outputs;
  for (std::size_t i = 0; i + 1 < op.outputs.size(); ++i)
    outputs.push_back(plain_layout(op.outputs[i].shape, op.outputs[i].type));
  outputs.push_back(raw_layout(sizeof(Outcome)));
  const std::size_t last = outputs.size() - 1;
  auto kernel = std::make_unique<Closure>(std::move(outputs), [=, &queue](const At& at) {
    auto* const shares = at.scratch<Outcome>();
    run(at, shares);
    teams(queue, 1, 256, OutcomeSum{count, shares, at.out<Outcome>(last)});
  });
  kernel->needs(static_cast<std::size_t>(count) * sizeof(Outcome));
  return kernel;
}

/// Largest value and its first place.
struct Top {
  float value;
  std::int32_t place;
};

template <typename T>
struct SoftmaxCrossEntropy {
  std::int64_t classes, inner, ignore;
  double smoothing;
  const T* x;
  const std::int32_t* labels;
  const float* weights;
  T* dx;
  Outcome* shares;

  __device__ float target(std::int64_t k, std::int64_t label) const {
    const double share = (k == label ? 1 - smoothing : 0) + smoothing / static_cast<double>(classes);
    return static_cast<float>(share) * (weights != nullptr ? weights[k] : 1.0f);
  }
  template <typename Group>
  __device__ void operator()(std::int64_t i, const Group& group) const {
    const std::int64_t first = i / inner * classes * inner + i % inner;
    const std::int64_t label = labels[i];
    const bool counts = label != ignore, known = label >= 0 && label < classes;
    Top top{-INFINITY, std::numeric_limits<std::int32_t>::max()};
    float targets = 0;
    group.over(classes, [&](std::int64_t k) {
      const float value = widen(x[first + k * inner]);
      if (value > top.value || top.place == std::numeric_limits<std::int32_t>::max())
        top = {value, static_cast<std::int32_t>(k)};
      targets += target(k, label);
    });
    top = group.reduce(top, [](Top a, Top b) {
      const bool left = a.value > b.value || (!(b.value > a.value) && a.place < b.place);
      return left ? a : b;
    });
    targets = group.reduce(targets, [](float a, float b) { return a + b; });
    float sum = 0;
    group.over(classes, [&](std::int64_t k) { sum += std::exp(widen(x[first + k * inner]) - top.value); });
    sum = group.reduce(sum, [](float a, float b) { return a + b; });
    const float log_sum = std::log(sum);
    double loss = 0;
    group.over(classes, [&](std::int64_t k) {
      const float log_p = widen(x[first + k * inner]) - top.value - log_sum, wanted = target(k, label);
      if (counts && wanted != 0) loss -= static_cast<double>(wanted) * log_p;
      dx[first + k * inner] = narrow<T>(counts ? targets * std::exp(log_p) - wanted : 0.0f);
    });
    loss = group.reduce(loss, [](double a, double b) { return a + b; });
    if (!group.first()) return;
    if (!counts) {
      shares[i] = {0, 0, 0};
    } else if (!known) {
      shares[i] = {NAN, 1, 0};
    } else {
      shares[i] = {loss, weights != nullptr ? weights[label] : 1.0, top.place == label ? 1ull : 0ull};
    }
  }
};

KernelPtr softmax_cross_entropy(const Operation& op, Queue& queue) {
  const Shape& shape = op.inputs[0].shape;
  const std::int64_t classes = shape[1], inner = shape.volume(2), count = shape[0] * inner;
  return by_real(op.inputs[0].type, [&]<typename T>(T) -> KernelPtr {
    return with_outcome(
        op, queue, count,
        [=, &queue, ignore = op.attributes.ignore, smoothing = op.attributes.smoothing](const At& at,
                                                                                        Outcome* shares) {
          each_group(queue, count, classes, inner > 1,
                     SoftmaxCrossEntropy<T>{classes, inner, ignore, smoothing, at.in<T>(0),
                                            at.in<std::int32_t>(1), at.in<float>(2), at.out<T>(0), shares});
        });
  });
}

struct ValueLoss {
  double value, slope;
};

__device__ inline ValueLoss value_loss(Kind kind, double alpha, double x, double target) {
  const double off = x - target, size = off < 0 ? -off : off, sign = off > 0 ? 1 : off < 0 ? -1 : 0;
  switch (kind) {
    case Kind::sigmoid_cross_entropy:
      return {softplus(x) - target * x, sigmoid(x) - target};
    case Kind::squared_error:
      return {off * off, 2 * off};
    case Kind::absolute_error:
      return {size, sign};
    default:
      return size <= alpha ? ValueLoss{off * off / 2, off}
                           : ValueLoss{alpha * (size - alpha / 2), alpha * sign};
  }
}

template <typename T>
struct ElementwiseLoss {
  Kind kind;
  double alpha, share;
  std::int64_t values;
  const T* x;
  const float* targets;
  T* dx;
  Outcome* shares;
  template <typename Group>
  __device__ void operator()(std::int64_t n, const Group& group) const {
    double sum = 0;
    std::int32_t wrong = kind == Kind::sigmoid_cross_entropy ? 0 : 1;
    group.over(values, [&](std::int64_t k) {
      const std::int64_t i = n * values + k;
      const double value = widen(x[i]), target = targets[i];
      const ValueLoss loss = value_loss(kind, alpha, value, target);
      sum += loss.value * share;
      dx[i] = narrow<T>(static_cast<float>(loss.slope * share));
      if ((value > 0) != (target > 0.5)) wrong = 1;
    });
    sum = group.reduce(sum, [](double a, double b) { return a + b; });
    wrong = group.reduce(wrong, [](std::int32_t a, std::int32_t b) { return a | b; });
    if (group.first()) shares[n] = {sum, 1, wrong == 0 ? 1ull : 0ull};
  }
};

KernelPtr elementwise_loss(const Operation& op, Queue& queue) {
  const Shape& shape = op.inputs[0].shape;
  const std::int64_t batch = shape[0], values = shape.volume(1);
  const Kind kind = op.kind;
  if (op.inputs[1].type != DType::f32) return nullptr;
  const double share = kind == Kind::sigmoid_cross_entropy ? 1 : 1 / static_cast<double>(values);
  return by_real(op.inputs[0].type, [&]<typename T>(T) -> KernelPtr {
    return with_outcome(op, queue, batch,
                        [=, &queue, alpha = op.attributes.alpha](const At& at, Outcome* shares) {
                          each_group(queue, batch, values, false,
                                     ElementwiseLoss<T>{kind, alpha, share, values, at.in<T>(0),
                                                        at.in<float>(1), at.out<T>(0), shares});
                        });
  });
}

/// loss = max(0, alpha + largest score of another class - score of the label).
template <typename T>
struct Hinge {
  std::int64_t classes;
  double margin;
  const T* x;
  const std::int32_t* labels;
  T* dx;
  Outcome* shares;
  __device__ void operator()(std::int64_t n) const {
    const T* const from = x + n * classes;
    T* const to = dx + n * classes;
    const std::int64_t label = labels[n];
    std::int64_t other = -1, best = 0;
    for (std::int64_t k = 0; k < classes; ++k) {
      to[k] = narrow<T>(0.0f);
      if (widen(from[k]) > widen(from[best])) best = k;
      if (k != label && (other < 0 || widen(from[k]) > widen(from[other]))) other = k;
    }
    if (label < 0 || label >= classes) {
      shares[n] = {NAN, 1, 0};
      return;
    }
    shares[n] = {0, 1, best == label ? 1ull : 0ull};
    if (other < 0) return;
    const double loss = margin + widen(from[other]) - widen(from[label]);
    if (loss <= 0) return;
    shares[n].loss_sum = loss;
    to[other] = narrow<T>(1.0f);
    to[label] = narrow<T>(-1.0f);
  }
};

KernelPtr hinge(const Operation& op, Queue& queue) {
  const std::int64_t batch = op.inputs[0].shape[0], classes = op.inputs[0].shape[1];
  return by_real(op.inputs[0].type, [&]<typename T>(T) -> KernelPtr {
    return with_outcome(
        op, queue, batch, [=, &queue, margin = op.attributes.alpha](const At& at, Outcome* shares) {
          each(queue, batch,
               Hinge<T>{classes, margin, at.in<T>(0), at.in<std::int32_t>(1), at.out<T>(0), shares});
        });
  });
}

/// loss = max(0, |a - p|^2 - |a - n|^2 + alpha).
template <typename T>
struct Triplet {
  std::int64_t values;
  double margin;
  const T *anchor, *positive, *negative;
  T *danchor, *dpositive, *dnegative;
  Outcome* shares;
  template <typename Group>
  __device__ void operator()(std::int64_t n, const Group& group) const {
    double near = 0, far = 0;
    const auto add = [](double a, double b) { return a + b; };
    group.over(values, [&](std::int64_t k) {
      const std::int64_t i = n * values + k;
      const double a = widen(anchor[i]), p = a - widen(positive[i]), q = a - widen(negative[i]);
      near += p * p;
      far += q * q;
    });
    near = group.reduce(near, add);
    far = group.reduce(far, add);
    const double loss = near - far + margin;
    const float active = loss > 0 ? 2 : 0;
    group.over(values, [&](std::int64_t k) {
      const std::int64_t i = n * values + k;
      const float a = widen(anchor[i]), p = widen(positive[i]), q = widen(negative[i]);
      danchor[i] = narrow<T>(active * (q - p));
      dpositive[i] = narrow<T>(active * (p - a));
      dnegative[i] = narrow<T>(active * (a - q));
    });
    if (group.first()) shares[n] = {loss <= 0 ? 0 : loss, 1, near < far ? 1ull : 0ull};
  }
};

KernelPtr triplet(const Operation& op, Queue& queue) {
  const std::int64_t batch = op.inputs[0].shape[0], values = op.inputs[0].shape.volume(1);
  return by_real(op.inputs[0].type, [&]<typename T>(T) -> KernelPtr {
    return with_outcome(op, queue, batch,
                        [=, &queue, margin = op.attributes.alpha](const At& at, Outcome* shares) {
                          each_group(queue, batch, values, false,
                                     Triplet<T>{values, margin, at.in<T>(0), at.in<T>(1), at.in<T>(2),
                                                at.out<T>(0), at.out<T>(1), at.out<T>(2), shares});
                        });
  });
}

}  // namespace

KernelPtr loss_kernel(const Operation& op, Queue& queue) {
  switch (op.kind) {
    case Kind::softmax_cross_entropy:
      return softmax_cross_entropy(op, queue);
    case Kind::sigmoid_cross_entropy:
    case Kind::squared_error:
    case Kind::absolute_error:
    case Kind::huber:
      return elementwise_loss(op, queue);
    case Kind::hinge:
      return hinge(op, queue);
    case Kind::triplet:
      return triplet(op, queue);
    default:
      return nullptr;
  }
}

}  // namespace trainyard::ops::cuda
