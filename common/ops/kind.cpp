#include "common/ops/kind.hpp"

namespace trainyard::ops {

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::conv2d:
      return "conv2d";
    case Kind::conv2d_grad_data:
      return "conv2d_grad_data";
    case Kind::conv2d_grad_weights:
      return "conv2d_grad_weights";
    case Kind::dense:
      return "dense";
    case Kind::dense_grad_data:
      return "dense_grad_data";
    case Kind::dense_grad_weights:
      return "dense_grad_weights";
    case Kind::matmul:
      return "matmul";
    case Kind::batch_norm:
      return "batch_norm";
    case Kind::batch_norm_training:
      return "batch_norm_training";
    case Kind::batch_norm_grad:
      return "batch_norm_grad";
    case Kind::layer_norm:
      return "layer_norm";
    case Kind::layer_norm_grad:
      return "layer_norm_grad";
    case Kind::group_norm:
      return "group_norm";
    case Kind::group_norm_grad:
      return "group_norm_grad";
    case Kind::lrn:
      return "lrn";
    case Kind::lrn_grad:
      return "lrn_grad";
    case Kind::max_pool:
      return "max_pool";
    case Kind::max_pool_grad:
      return "max_pool_grad";
    case Kind::avg_pool:
      return "avg_pool";
    case Kind::avg_pool_grad:
      return "avg_pool_grad";
    case Kind::unary:
      return "unary";
    case Kind::unary_grad:
      return "unary_grad";
    case Kind::binary:
      return "binary";
    case Kind::where:
      return "where";
    case Kind::cast:
      return "cast";
    case Kind::dropout:
      return "dropout";
    case Kind::dropout_grad:
      return "dropout_grad";
    case Kind::reduce:
      return "reduce";
    case Kind::arg_extreme:
      return "arg_extreme";
    case Kind::top_k:
      return "top_k";
    case Kind::cumulative_sum:
      return "cumulative_sum";
    case Kind::softmax:
      return "softmax";
    case Kind::softmax_grad:
      return "softmax_grad";
    case Kind::log_softmax:
      return "log_softmax";
    case Kind::log_softmax_grad:
      return "log_softmax_grad";
    case Kind::reshape:
      return "reshape";
    case Kind::transpose:
      return "transpose";
    case Kind::slice:
      return "slice";
    case Kind::slice_grad:
      return "slice_grad";
    case Kind::concat:
      return "concat";
    case Kind::pad:
      return "pad";
    case Kind::pad_grad:
      return "pad_grad";
    case Kind::gather:
      return "gather";
    case Kind::gather_grad:
      return "gather_grad";
    case Kind::gather_elements:
      return "gather_elements";
    case Kind::scatter_elements:
      return "scatter_elements";
    case Kind::expand:
      return "expand";
    case Kind::one_hot:
      return "one_hot";
    case Kind::resize:
      return "resize";
    case Kind::resize_grad:
      return "resize_grad";
    case Kind::embedding_bag:
      return "embedding_bag";
    case Kind::embedding_bag_grad:
      return "embedding_bag_grad";
    case Kind::embedding_bag_grad_rows:
      return "embedding_bag_grad_rows";
    case Kind::gather_grad_rows:
      return "gather_grad_rows";
    case Kind::merge_rows:
      return "merge_rows";
    case Kind::recurrent:
      return "recurrent";
    case Kind::recurrent_grad:
      return "recurrent_grad";
    case Kind::attention:
      return "attention";
    case Kind::attention_grad:
      return "attention_grad";
    case Kind::self_attention:
      return "self_attention";
    case Kind::self_attention_grad:
      return "self_attention_grad";
    case Kind::crf_loss:
      return "crf_loss";
    case Kind::viterbi:
      return "viterbi";
    case Kind::softmax_cross_entropy:
      return "softmax_cross_entropy";
    case Kind::sigmoid_cross_entropy:
      return "sigmoid_cross_entropy";
    case Kind::squared_error:
      return "squared_error";
    case Kind::absolute_error:
      return "absolute_error";
    case Kind::huber:
      return "huber";
    case Kind::hinge:
      return "hinge";
    case Kind::triplet:
      return "triplet";
  }
  return "operation";
}

bool follows_linear(Function function) {
  switch (function) {
    case Function::relu:
    case Function::relu6:
    case Function::leaky_relu:
    case Function::elu:
    case Function::gelu:
    case Function::gelu_tanh:
    case Function::silu:
    case Function::hard_swish:
    case Function::sigmoid:
    case Function::tanh:
    case Function::clip:
      return true;
    default:
      return false;
  }
}

const char* name_of(Function function) {
  switch (function) {
    case Function::identity:
      return "identity";
    case Function::relu:
      return "relu";
    case Function::relu6:
      return "relu6";
    case Function::leaky_relu:
      return "leaky_relu";
    case Function::elu:
      return "elu";
    case Function::selu:
      return "selu";
    case Function::gelu:
      return "gelu";
    case Function::gelu_tanh:
      return "gelu_tanh";
    case Function::silu:
      return "silu";
    case Function::hard_swish:
      return "hard_swish";
    case Function::hard_sigmoid:
      return "hard_sigmoid";
    case Function::sigmoid:
      return "sigmoid";
    case Function::tanh:
      return "tanh";
    case Function::softplus:
      return "softplus";
    case Function::softsign:
      return "softsign";
    case Function::clip:
      return "clip";
    case Function::exp:
      return "exp";
    case Function::log:
      return "log";
    case Function::sqrt:
      return "sqrt";
    case Function::reciprocal:
      return "reciprocal";
    case Function::square:
      return "square";
    case Function::abs:
      return "abs";
    case Function::negate:
      return "negate";
    case Function::sign:
      return "sign";
    case Function::floor:
      return "floor";
    case Function::ceil:
      return "ceil";
    case Function::round:
      return "round";
    case Function::erf:
      return "erf";
    case Function::sin:
      return "sin";
    case Function::cos:
      return "cos";
    case Function::tan:
      return "tan";
    case Function::asin:
      return "asin";
    case Function::acos:
      return "acos";
    case Function::atan:
      return "atan";
    case Function::sinh:
      return "sinh";
    case Function::cosh:
      return "cosh";
    case Function::asinh:
      return "asinh";
    case Function::acosh:
      return "acosh";
    case Function::atanh:
      return "atanh";
    case Function::logical_not:
      return "logical_not";
    case Function::is_nan:
      return "is_nan";
    case Function::is_inf:
      return "is_inf";
    case Function::mish:
      return "mish";
    case Function::thresholded_relu:
      return "thresholded_relu";
    case Function::shrink:
      return "shrink";
    case Function::celu:
      return "celu";
  }
  return "function";
}

const char* name_of(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::add:
      return "add";
    case Arithmetic::subtract:
      return "subtract";
    case Arithmetic::multiply:
      return "multiply";
    case Arithmetic::divide:
      return "divide";
    case Arithmetic::power:
      return "power";
    case Arithmetic::minimum:
      return "minimum";
    case Arithmetic::maximum:
      return "maximum";
    case Arithmetic::modulo:
      return "modulo";
    case Arithmetic::f_modulo:
      return "f_modulo";
    case Arithmetic::equal:
      return "equal";
    case Arithmetic::less:
      return "less";
    case Arithmetic::less_equal:
      return "less_equal";
    case Arithmetic::greater:
      return "greater";
    case Arithmetic::greater_equal:
      return "greater_equal";
    case Arithmetic::logical_and:
      return "logical_and";
    case Arithmetic::logical_or:
      return "logical_or";
    case Arithmetic::logical_xor:
      return "logical_xor";
  }
  return "operation";
}

GradNeeds grad_needs(Function function) {
  switch (function) {
    case Function::identity:
    case Function::negate:
      return {};
    case Function::relu:
    case Function::relu6:
    case Function::sigmoid:
    case Function::tanh:
    case Function::exp:
    case Function::sqrt:
    case Function::reciprocal:
      return {.y = true};
    default:
      return has_gradient(function) ? GradNeeds{.x = true} : GradNeeds{};
  }
}

bool is_linear(Kind kind) {
  switch (kind) {
    case Kind::conv2d:
    case Kind::conv2d_grad_data:
    case Kind::conv2d_grad_weights:
    case Kind::dense:
    case Kind::dense_grad_data:
    case Kind::dense_grad_weights:
    case Kind::matmul:
      return true;
    default:
      return false;
  }
}

bool has_gradient(Function function) {
  switch (function) {
    case Function::sign:
    case Function::floor:
    case Function::ceil:
    case Function::round:
    case Function::logical_not:
    case Function::is_nan:
    case Function::is_inf:
      return false;
    default:
      return true;
  }
}

bool takes_whole_numbers(Function function) {
  switch (function) {
    case Function::identity:
    case Function::relu:
    case Function::relu6:
    case Function::clip:
    case Function::square:
    case Function::abs:
    case Function::negate:
    case Function::sign:
    case Function::floor:
    case Function::ceil:
    case Function::round:
    case Function::logical_not:
      return true;
    default:
      return false;
  }
}

}  // namespace trainyard::ops
