#include "common/ops/work.hpp"

#include <numeric>

namespace trainyard::ops {
namespace {

double count(const Signature& of) { return of.opaque ? 0.0 : static_cast<double>(of.shape.elements()); }

double count(std::span<const Signature> all, std::size_t index) {
  return index < all.size() ? count(all[index]) : 0.0;
}

double extent(const Signature& of, std::size_t axis) {
  return axis < of.shape.rank() ? static_cast<double>(of.shape[axis]) : 1.0;
}

/// Values that one output of a weight [O, ...] sums.
double summed(const Signature& weight) { return count(weight) / extent(weight, 0); }

/// Of one value.
double unary_cost(Function function) {
  switch (function) {
    case Function::identity:
    case Function::relu:
    case Function::negate:
    case Function::abs:
    case Function::exp:
    case Function::log:
    case Function::sqrt:
    case Function::reciprocal:
    case Function::square:
      return 1;
    case Function::relu6:
    case Function::clip:
    case Function::leaky_relu:
      return 2;
    case Function::gelu:
    case Function::gelu_tanh:
    case Function::mish:
      return 8;
    default:
      return 4;
  }
}

/// [N, T, I] by the gates of all directions.
double recurrent_cost(std::span<const Signature> inputs) {
  const double steps = extent(inputs[0], 0) * extent(inputs[0], 1);
  return steps * (count(inputs[1]) + count(inputs[2]));
}

/// Scores and their sums of values.
double attention_cost(const Signature& q, const Signature& k, const Signature& v) {
  return count(q) * extent(k, 2) + extent(q, 0) * extent(q, 1) * extent(q, 2) * extent(k, 2) * extent(v, 3);
}

Work linear_work(Kind kind, std::span<const Signature> in, std::span<const Signature> out,
                 const Attributes& a) {
  switch (kind) {
    case Kind::conv2d:
      return {count(out[0]) * summed(in[1]), count(in, 2) > 0 ? count(out[0]) : 0};
    case Kind::conv2d_grad_data:
      return {count(in[0]) * summed(in[1]), 0};
    case Kind::conv2d_grad_weights:
      return {count(in[1]) * summed(out[0]), out.size() > 1 ? count(in[1]) : 0};
    case Kind::dense:
      return {count(out[0]) * extent(in[1], 1), count(in, 2) > 0 ? count(out[0]) : 0};
    case Kind::dense_grad_data:
      return {count(in[0]) * extent(in[1], 1), 0};
    case Kind::dense_grad_weights:
      return {count(in[1]) * extent(out[0], 1), out.size() > 1 ? count(in[1]) : 0};
    default: {
      const std::size_t rank = in[0].shape.rank();
      return {count(out[0]) * extent(in[0], a.transpose_a ? rank - 2 : rank - 1), 0};
    }
  }
}

Work sequence_work(Kind kind, std::span<const Signature> in, std::span<const Signature> out) {
  switch (kind) {
    case Kind::recurrent:
      return {recurrent_cost(in), 10 * count(out[0])};
    case Kind::recurrent_grad:
      return {2 * recurrent_cost(in), 20 * count(in, 7)};
    case Kind::attention:
      return {attention_cost(in[0], in[1], in[2]), 5 * count(out[1]) * extent(in[1], 2)};
    case Kind::attention_grad:
      // The scores again, then five products of their size.
      return {2.5 * attention_cost(in[0], in[1], in[2]), 8 * count(in, 5) * extent(in[1], 2)};
    case Kind::self_attention:
      return {2 * count(out[0]) * extent(in[0], 1), 5 * count(out[1]) * extent(in[0], 1)};
    case Kind::self_attention_grad:
      return {5 * count(in, 2) * extent(in[0], 1), 8 * count(in, 3) * extent(in[0], 1)};
    case Kind::crf_loss:
      return {0, 8 * count(in[0]) * extent(in[0], 2)};
    case Kind::viterbi:
      return {0, 2 * count(in[0]) * extent(in[0], 2)};
    default:
      return {};
  }
}

}  // namespace

Work work_of(Kind kind, const Attributes& a, std::span<const Signature> in, std::span<const Signature> out) {
  if (in.empty() || out.empty()) return {};
  if (is_linear(kind)) return linear_work(kind, in, out, a);
  switch (kind) {
    case Kind::recurrent:
    case Kind::recurrent_grad:
    case Kind::attention:
    case Kind::attention_grad:
    case Kind::self_attention:
    case Kind::self_attention_grad:
    case Kind::crf_loss:
    case Kind::viterbi:
      return sequence_work(kind, in, out);
    case Kind::batch_norm:
      return {0, (a.function == Function::identity ? 2 : 3) * count(out[0])};
    case Kind::batch_norm_training:
      return {0, (a.function == Function::identity ? 7 : 8) * count(out[0]) + count(in, 5)};
    case Kind::batch_norm_grad:
      return {0, 9 * count(out[0])};
    case Kind::layer_norm:
    case Kind::group_norm:
      return {0, 8 * count(out[0])};
    case Kind::layer_norm_grad:
    case Kind::group_norm_grad:
      return {0, 12 * count(out[0])};
    case Kind::lrn:
    case Kind::lrn_grad:
      return {0, (2 * static_cast<double>(a.size) + 4) * count(out[0])};
    case Kind::max_pool:
    case Kind::avg_pool:
      return {0, static_cast<double>(a.kernel_height * a.kernel_width) * count(out[0])};
    case Kind::max_pool_grad:
      return {0, count(in[0])};
    case Kind::avg_pool_grad:
      return {0, static_cast<double>(a.kernel_height * a.kernel_width) * count(in[0])};
    case Kind::unary:
      return {0, unary_cost(a.function) * count(out[0])};
    case Kind::unary_grad:
      return {0, (unary_cost(a.function) + 1) * count(out[0])};
    case Kind::binary:
      return {0, tensor::is_real(in[0].type) ? count(out[0]) : 0};
    case Kind::dropout:
    case Kind::dropout_grad:
      return {0, count(out[0])};
    case Kind::reduce:
    case Kind::cumulative_sum:
      return {0, count(in[0])};
    case Kind::softmax:
    case Kind::log_softmax:
      return {0, 5 * count(out[0])};
    case Kind::softmax_grad:
    case Kind::log_softmax_grad:
      return {0, 4 * count(out[0])};
    case Kind::resize:
      return {0, a.interpolation == Interpolation::linear ? 7 * count(out[0]) : 0};
    case Kind::resize_grad:
      return {0, a.interpolation == Interpolation::linear ? 7 * count(in[0]) : count(in[0])};
    case Kind::gather_grad:
    case Kind::slice_grad:
    case Kind::pad_grad:
      return {0, kind == Kind::gather_grad ? count(in[0]) : 0};
    case Kind::embedding_bag:
      return {0, count(in, 1) * extent(in[0], 1)};
    case Kind::embedding_bag_grad:
      return {0, count(in, 1) * extent(out[0], 1)};
    case Kind::embedding_bag_grad_rows:
    case Kind::gather_grad_rows:
    case Kind::merge_rows:
      return {0, count(out[1])};
    case Kind::softmax_cross_entropy:
      return {0, 7 * count(in[0])};
    case Kind::sigmoid_cross_entropy:
    case Kind::squared_error:
    case Kind::absolute_error:
    case Kind::huber:
    case Kind::hinge:
    case Kind::triplet:
      return {0, 5 * count(in[0])};
    default:
      return {};  // moves, compares or counts
  }
}

std::uint64_t bytes_moved(Kind kind, std::span<const Signature> inputs,
                          std::span<const std::size_t> input_bytes,
                          std::span<const std::size_t> output_bytes) {
  const auto sum = [](std::span<const std::size_t> all) {
    return std::accumulate(all.begin(), all.end(), std::uint64_t{0});
  };
  const std::uint64_t written = sum(output_bytes);
  if (inputs.empty()) return written;
  switch (kind) {
    case Kind::gather:
    case Kind::gather_elements:
    case Kind::slice:
      return 2 * written + sum(input_bytes.subspan(1));
    case Kind::embedding_bag: {
      const double row = static_cast<double>(input_bytes[0]) / extent(inputs[0], 0);
      return written + sum(input_bytes.subspan(1)) + static_cast<std::uint64_t>(row * count(inputs, 1));
    }
    default:
      return sum(input_bytes) + written;
  }
}

}  // namespace trainyard::ops
