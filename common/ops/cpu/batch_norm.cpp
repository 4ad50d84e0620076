#include <omp.h>

#include <cmath>

#include "common/ops/cpu/strips.hpp"

// Two walks over the strips of a tensor: one for sums over each channel, of each piece by itself, and, when
// those have been put together in the order of the pieces, one that computes. Each thread walks back over
// what it has just read. Formulas: Ioffe, Szegedy, Batch Normalization, 2015, algorithm 1 and section 3.
namespace trainyard::ops::cpu {
namespace {

constexpr int kX = 0, kGamma = 1, kBeta = 2, kMean = 3, kVariance = 4, kAddend = 5;
constexpr int kY = 10, kBatchMean = 11, kBatchVariance = 12, kMask = 13, kNextMean = 14, kNextVariance = 15;
constexpr int kDy = 20, kDx = 21, kDgamma = 22, kDbeta = 23, kDaddend = 24, kScratch = 25;
constexpr std::int64_t kParallelFloats = 1 << 15;  // below, waking a team costs more than it saves
constexpr std::int64_t kLanes = 16;
/// A result of this size is gone from the caches before the next operation has read it to its end, so it goes
/// past them, and its lines need not be read before they are written.
constexpr std::int64_t kStreamFloats = 1 << 20;

Desc bytes_desc(std::size_t bytes) {
  return Desc({static_cast<std::int64_t>(bytes)}, dnnl::memory::data_type::u8, Tag::a);
}

lanes::Rectify rectify_of(Function function) {
  return function == Function::relu    ? lanes::Rectify::relu
         : function == Function::relu6 ? lanes::Rectify::relu6
                                       : lanes::Rectify::none;
}

/// What the three kernels share: x in a layout that can be cut, sums of pieces, and coefficients of lanes.
class ChannelKernel : public ArrangedKernel {
 protected:
  explicit ChannelKernel(const Operation& op)
      : x_(Strips::wanted(desc_of(op.inputs[0]))),
        strips_(x_),
        per_channel_(plain_desc({op.inputs[0].shape[1]})),
        attributes_(op.attributes),
        masked_(op.attributes.function != Function::identity) {}

  /// [groups][pieces][2][16] sums and [groups][4][16] coefficients.
  std::size_t scratch_floats() const {
    const auto pieces = static_cast<std::int64_t>(strips_.pieces().size());
    return static_cast<std::size_t>(strips_.groups() * (pieces * 2 + 4) * kLanes);
  }
  /// At the beginning of a run.
  void take_scratch() { area_ = data(kScratch); }
  float* sums(std::int64_t group, std::size_t piece) const {
    const auto pieces = static_cast<std::int64_t>(strips_.pieces().size());
    return area_ + (group * pieces + static_cast<std::int64_t>(piece)) * 2 * kLanes;
  }
  float* coefficients(std::int64_t group) const {
    const auto pieces = static_cast<std::int64_t>(strips_.pieces().size());
    return area_ + (strips_.groups() * pieces * 2 + group * 4) * kLanes;
  }
  bool streams(const float* result, const float* operand) const {
    return strips_.floats() >= kStreamFloats && strips_.aligned() && result != operand &&
           reinterpret_cast<std::uintptr_t>(result) % 64 == 0;
  }

  struct At {
    std::int64_t group;
    std::size_t piece;
    lanes::Strip strip;
    std::int64_t floats, mask_rows;
  };
  At at(std::int64_t group, std::size_t piece) const {
    const Strips::Piece& of = strips_.pieces()[piece];
    return {group, piece, strips_.strip(group, of), strips_.offset(group) + of.offset,
            strips_.mask_offset(group) + of.mask_offset};
  }

  /// first(at) for each piece, then settle(group), then second(at).
  template <typename First, typename Settle, typename Second>
  void walk(const First& first, const Settle& settle, const Second& second) const {
    const std::int64_t groups = strips_.groups(), pieces = static_cast<std::int64_t>(strips_.pieces().size());
#pragma omp parallel if (strips_.floats() > kParallelFloats)
    {
      const std::int64_t team = omp_get_num_threads(), self = omp_get_thread_num();
      const bool whole_groups = !strips_.woven() && (groups % team == 0 || groups >= 8 * team);
      if (whole_groups) {
        for (std::int64_t group = groups * self / team; group < groups * (self + 1) / team; ++group) {
          for (std::int64_t piece = 0; piece < pieces; ++piece) first(at(group, piece));
          settle(group);
          for (std::int64_t piece = pieces; piece-- > 0;) second(at(group, piece));
        }
      } else {
        const std::int64_t begin = groups * pieces * self / team, end = groups * pieces * (self + 1) / team;
        for (std::int64_t i = begin; i < end; ++i) first(at(i % groups, i / groups));
#pragma omp barrier
#pragma omp for schedule(static)
        for (std::int64_t group = 0; group < groups; ++group) settle(group);
        for (std::int64_t i = end; i-- > begin;) second(at(i % groups, i / groups));
      }
    }
  }

  /// How many values of a lane a strip holds.
  static double values(const lanes::Strip& strip, int lane) {
    return static_cast<double>(strip.planes * ((lane < strip.width ? strip.rows : 0) + (lane < strip.tail)));
  }

  const Desc x_;
  const Strips strips_;
  const Desc per_channel_;
  const Attributes attributes_;
  const bool masked_;

 private:
  float* area_ = nullptr;
};

/// Also brings the running statistics forward; see Kind::batch_norm_training.
class TrainingKernel final : public ChannelKernel {
 public:
  explicit TrainingKernel(const Operation& op)
      : ChannelKernel(op), batch_(op.inputs[0].shape[0]), addend_(op.inputs.size() > 5) {
    outputs_ = {layout_of(x_), layout_of(per_channel_), layout_of(per_channel_)};
    input(kX, 0, desc_of(op.inputs[0]), x_);
    for (int i = 1; i < 5; ++i) input(kX + i, static_cast<std::size_t>(i), per_channel_);
    if (addend_) {
      input(kAddend, 5, desc_of(op.inputs[5]), x_);
      if (desc_of(op.inputs[5]) == x_) in_place_ = 5;
    }
    output(kY, 0, x_);
    output(kBatchMean, 1, per_channel_);
    output(kBatchVariance, 2, per_channel_);
    std::size_t next = 3;
    if (masked_) {
      const Desc mask = bytes_desc(strips_.mask_bytes());
      output(kMask, next++, mask);
      outputs_.push_back(layout_of(mask));
    }
    output(kNextMean, next++, per_channel_);
    output(kNextVariance, next, per_channel_);
    outputs_.insert(outputs_.end(), 2, layout_of(per_channel_));
    scratch(kScratch, scratch_floats());
  }

 private:
  struct Vectors {
    const float *gamma, *beta, *running_mean, *running_variance;
    float *mean, *variance, *next_mean, *next_variance;
  };

  void compute() override {
    take_scratch();
    const lanes::Table& table = lanes::table();
    const float *const x = data(kX), *const addend = addend_ ? data(kAddend) : nullptr;
    float* const y = data(kY);
    auto* const mask = masked_ ? data<std::uint16_t>(kMask) : nullptr;
    const Vectors vectors{data(kGamma),     data(kBeta),          data(kMean),     data(kVariance),
                          data(kBatchMean), data(kBatchVariance), data(kNextMean), data(kNextVariance)};
    const bool past = streams(y, addend);
    walk(
        [&](const At& at) {
          float* const to = sums(at.group, at.piece);
          table.moments(at.strip, x + at.floats, to, to + kLanes);
        },
        [&](std::int64_t group) { settle(group, vectors); },
        [&](const At& at) {
          const float* const of = coefficients(at.group);
          table.normalize(at.strip, x + at.floats, addend ? addend + at.floats : nullptr,
                          {of, of + kLanes, of + 2 * kLanes, rectify_of(attributes_.function), past},
                          y + at.floats, mask ? mask + at.mask_rows : nullptr);
        });
  }

  void settle(std::int64_t group, const Vectors& v) const {
    float* const to = coefficients(group);
    double totals[kLanes] = {}, squares[kLanes] = {};
    each_sum(group,
             [&](int lane, int slot, double values, const float* of) { totals[slot] += values * of[lane]; });
    const double count = static_cast<double>(strips_.count());
    for (double& total : totals) total /= count;
    each_sum(group, [&](int lane, int slot, double values, const float* of) {
      const double off = of[lane] - totals[slot];
      squares[slot] += of[kLanes + lane] + values * off * off;
    });
    for (int lane = 0; lane < kLanes; ++lane) {
      const std::int64_t channel = strips_.channel(group, lane);
      const int slot = strips_.slot(lane);
      const bool real = channel < strips_.channels();
      const double variance = squares[slot] / count;
      const double scale = 1 / std::sqrt(variance + attributes_.epsilon);
      to[lane] = real ? static_cast<float>(totals[slot]) : 0.0f;
      to[kLanes + lane] = real ? static_cast<float>(v.gamma[channel] * scale) : 0.0f;
      to[2 * kLanes + lane] = real ? v.beta[channel] : 0.0f;
      if (real && lane == slot) bring_forward(v, channel, totals[slot], variance);
    }
  }

  /// Calls visit(lane, which of the group's channels, values, sums of the piece).
  template <typename Visit>
  void each_sum(std::int64_t group, const Visit& visit) const {
    for (std::size_t piece = 0; piece < strips_.pieces().size(); ++piece) {
      const lanes::Strip strip = strips_.strip(group, strips_.pieces()[piece]);
      const float* const of = sums(group, piece);
      for (int lane = 0; lane < kLanes; ++lane) visit(lane, strips_.slot(lane), values(strip, lane), of);
    }
  }

  /// Source of the two numbers: torch.nn.BatchNorm2d, whose running variance is the unbiased one.
  void bring_forward(const Vectors& v, std::int64_t channel, double mean, double variance) const {
    const double count = static_cast<double>(strips_.count());
    const double unbiased = count > 1 ? variance * count / (count - 1) : variance;
    const double momentum = attributes_.momentum, batch = static_cast<double>(batch_);
    v.mean[channel] = static_cast<float>(mean);
    v.variance[channel] = static_cast<float>(variance);
    v.next_mean[channel] =
        static_cast<float>(batch * ((1 - momentum) * v.running_mean[channel] + momentum * mean));
    v.next_variance[channel] =
        static_cast<float>(batch * ((1 - momentum) * v.running_variance[channel] + momentum * unbiased));
  }

  std::int64_t batch_;
  bool addend_;
};

class InferenceKernel final : public ChannelKernel {
 public:
  explicit InferenceKernel(const Operation& op) : ChannelKernel(op), addend_(op.inputs.size() > 5) {
    outputs_ = {layout_of(x_)};
    input(kX, 0, desc_of(op.inputs[0]), x_);
    for (int i = 1; i < 5; ++i) input(kX + i, static_cast<std::size_t>(i), per_channel_);
    if (addend_) input(kAddend, 5, desc_of(op.inputs[5]), x_);
    output(kY, 0, x_);
    scratch(kScratch, scratch_floats());
    if (desc_of(op.inputs[0]) == x_) in_place_ = 0;
  }

 private:
  void compute() override {
    take_scratch();
    const lanes::Table& table = lanes::table();
    const float *const x = data(kX), *const addend = addend_ ? data(kAddend) : nullptr;
    float* const y = data(kY);
    settle(data(kGamma), data(kBeta), data(kMean), data(kVariance));
    const bool past = streams(y, x);
    walk([](const At&) {}, [](std::int64_t) {},
         [&](const At& at) {
           const float* const of = coefficients(at.group);
           table.normalize(at.strip, x + at.floats, addend ? addend + at.floats : nullptr,
                           {of, of + kLanes, of + 2 * kLanes, rectify_of(attributes_.function), past},
                           y + at.floats, nullptr);
         });
  }

  void settle(const float* gamma, const float* beta, const float* mean, const float* variance) const {
    for (std::int64_t group = 0; group < strips_.groups(); ++group)
      for (int lane = 0; lane < kLanes; ++lane) {
        float* const to = coefficients(group) + lane;
        const std::int64_t channel = strips_.channel(group, lane);
        const bool real = channel < strips_.channels();
        to[0] = real ? mean[channel] : 0.0f;
        to[kLanes] =
            real ? static_cast<float>(gamma[channel] / std::sqrt(variance[channel] + attributes_.epsilon))
                 : 0.0f;
        to[2 * kLanes] = real ? beta[channel] : 0.0f;
      }
  }

  bool addend_;
};

class GradKernel final : public ChannelKernel {
 public:
  explicit GradKernel(const Operation& op) : ChannelKernel(op), addend_(op.outputs.size() > 3) {
    outputs_ = {layout_of(x_), layout_of(per_channel_), layout_of(per_channel_)};
    if (addend_) outputs_.push_back(layout_of(x_));
    input(kX, 0, desc_of(op.inputs[0]), x_);
    input(kDy, 1, desc_of(op.inputs[1]), x_);
    input(kBatchMean, 2, per_channel_);
    input(kBatchVariance, 3, per_channel_);
    input(kGamma, 4, per_channel_);
    if (masked_) input(kMask, 5, bytes_desc(strips_.mask_bytes()));
    output(kDx, 0, x_);
    output(kDgamma, 1, per_channel_);
    output(kDbeta, 2, per_channel_);
    if (addend_) output(kDaddend, 3, x_);
    scratch(kScratch, scratch_floats());
    if (desc_of(op.inputs[1]) == x_) in_place_ = 1;
  }

 private:
  struct Vectors {
    const float *gamma, *mean, *variance;
    float *dgamma, *dbeta;
  };

  void compute() override {
    take_scratch();
    const lanes::Table& table = lanes::table();
    const float *const x = data(kX), *const dy = data(kDy);
    float *const dx = data(kDx), *const daddend = addend_ ? data(kDaddend) : nullptr;
    const auto* const mask = masked_ ? data<std::uint16_t>(kMask) : nullptr;
    const Vectors vectors{data(kGamma), data(kBatchMean), data(kBatchVariance), data(kDgamma), data(kDbeta)};
    for (std::int64_t group = 0; group < strips_.groups(); ++group)
      for (int lane = 0; lane < kLanes; ++lane) {
        const std::int64_t channel = strips_.channel(group, lane);
        coefficients(group)[lane] = channel < strips_.channels() ? vectors.mean[channel] : 0.0f;
      }
    const bool past = streams(dx, dy) && (!addend_ || streams(daddend, dy));
    walk(
        [&](const At& at) {
          float* const to = sums(at.group, at.piece);
          table.gradient_sums(at.strip, x + at.floats, dy + at.floats, mask ? mask + at.mask_rows : nullptr,
                              coefficients(at.group), to, to + kLanes);
        },
        [&](std::int64_t group) { settle(group, vectors); },
        [&](const At& at) {
          const float* const of = coefficients(at.group);
          table.normalize_grad(at.strip, x + at.floats, dy + at.floats, mask ? mask + at.mask_rows : nullptr,
                               {of, of + kLanes, of + 2 * kLanes, of + 3 * kLanes, past}, dx + at.floats,
                               daddend ? daddend + at.floats : nullptr);
        });
  }

  void settle(std::int64_t group, const Vectors& v) const {
    float* const to = coefficients(group);
    double totals[kLanes] = {}, dots[kLanes] = {};
    for (std::size_t piece = 0; piece < strips_.pieces().size(); ++piece) {
      const float* const of = sums(group, piece);
      for (int lane = 0; lane < kLanes; ++lane) {
        totals[strips_.slot(lane)] += of[lane];
        dots[strips_.slot(lane)] += of[kLanes + lane];
      }
    }
    const double count = static_cast<double>(strips_.count());
    for (int lane = 0; lane < kLanes; ++lane) {
      const std::int64_t channel = strips_.channel(group, lane);
      const int slot = strips_.slot(lane);
      const bool real = channel < strips_.channels();
      const double inverse = real ? 1 / std::sqrt(v.variance[channel] + attributes_.epsilon) : 0.0;
      to[kLanes + lane] = real ? static_cast<float>(v.gamma[channel] * inverse) : 0.0f;
      to[2 * kLanes + lane] = static_cast<float>(totals[slot] / count);
      to[3 * kLanes + lane] = static_cast<float>(dots[slot] * inverse * inverse / count);
      if (!real || lane != slot) continue;
      v.dgamma[channel] = static_cast<float>(dots[slot] * inverse);
      v.dbeta[channel] = static_cast<float>(totals[slot]);
    }
  }

  bool addend_;
};

}  // namespace

std::unique_ptr<Kernel> batch_norm_training(const Operation& op) {
  return std::make_unique<TrainingKernel>(op);
}
std::unique_ptr<Kernel> batch_norm(const Operation& op) { return std::make_unique<InferenceKernel>(op); }
std::unique_ptr<Kernel> batch_norm_grad(const Operation& op) { return std::make_unique<GradKernel>(op); }

}  // namespace trainyard::ops::cpu
