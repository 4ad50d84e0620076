// The contract of every operator: its operands, its results and where its formula comes from. Names alone;
// the kernels are the backends'.
//
// x: input, y: output, w: weight, b: bias, d...: gradient of the loss with respect to it; a trailing ? marks
// what may be absent. Images are [N, C, H, W]; a flat activation is [N, F]. Parameters, their gradients and
// everything one-dimensional are plain (row major); other activations lie as the backend likes.
#pragma once

#include <cstdint>

namespace trainyard::ops {

enum class Kind : std::uint8_t {
  // Linear maps. Operands 0 and 1 may both be bf16 or f16; sums and results are f32 (ops/widened.hpp).
  conv2d,               // (x, w [O, I/groups, kh, kw], b?, addend?) -> y = activation(x * w + b + addend);
                        // cross-correlation, zero padding, dilation
  conv2d_grad_data,     // (dy, w) -> dx; also the forward pass of a transposed convolution
  conv2d_grad_weights,  // (x, dy) -> dw, db?; sums over the batch
  dense,  // (x, w [O, F], b?, addend?) -> y = activation(w x + b + addend); axis 1: all axes behind the batch
          // are F, y is [N, O]; axis -1: over the last axis of x, y is [..., O]
  dense_grad_data,     // (dy, w) -> dx, in the shape of the forward's x
  dense_grad_weights,  // (x, dy) -> dw, db?
  matmul,  // (a [..., M, K], b [..., K, P]) -> y [..., M, P]; leading axes broadcast; transpose_a and
           // transpose_b swap the last two axes of an operand

  // Normalization. `function` of a batch_norm: identity, relu or relu6, in the same pass.
  batch_norm,           // (x, gamma, beta, running mean, running variance, addend?) -> y
  batch_norm_training,  // (x, gamma, beta, running mean, running variance, addend?) -> y, mean, variance,
                        // mask?,
                        // next running mean * N, next running variance * N. Statistics of the batch, biased
                        // variance (Ioffe, Szegedy, 2015, algorithm 1); running ones unbiased, as in PyTorch.
                        // y = function(normalized + addend?); mask exists unless it is the identity
  batch_norm_grad,      // (x, dy, mean, variance, gamma, mask?) -> dx, dgamma, dbeta, daddend?
  layer_norm,       // (x, gamma?, beta?) -> y, mean, inverse deviation; over the axes from `axis` to the last
                    // (Ba, Kiros, Hinton, 2016)
  layer_norm_grad,  // (x, dy, mean, inverse deviation, gamma?) -> dx, dgamma?, dbeta?
  group_norm,  // (x, gamma [C], beta [C]) -> y, mean, inverse deviation; `groups` groups of channels (Wu,
               // He, 2018); groups == C is instance normalization
  group_norm_grad,  // (x, dy, mean, inverse deviation, gamma) -> dx, dgamma, dbeta
  lrn,       // (x) -> y = x / (bias + alpha / size * sum of squares)^beta over `size` channels around each
             // (Krizhevsky and others, 2012, section 3.3; alpha over size as in ONNX)
  lrn_grad,  // (x, dy) -> dx

  // Pooling. Padding takes no part in a maximum; in an average it counts when `count_padding`.
  max_pool,       // (x) -> y, where?; where: what the gradient needs
  max_pool_grad,  // (dy, where) -> dx
  avg_pool,       // (x) -> y, where?
  avg_pool_grad,  // (dy, where) -> dx

  // Elementwise. Whole numbers wrap around.
  unary,         // (x) -> y = function(x)
  unary_grad,    // (x, y, dy) -> dx; x or y is present only when grad_needs says so
  binary,        // (a, b) -> y; broadcasts; comparisons give u8; see Arithmetic
  where,         // (condition u8, a, b) -> y; broadcasts
  cast,          // (x) -> y in attributes.type. From real to whole numbers towards zero, to the nearest that
                 // there is, not-a-number to 0; between whole numbers the low bits; to reals the nearest
  dropout,       // (x, keys u64 [N], step u64 [1]) -> y; kept values are divided by 1 - rate
  dropout_grad,  // (dy, keys, step) -> dx; draws the same mask again

  // Along axes. A not-a-number is the extreme of what it is among.
  reduce,            // (x) -> y over `axes`, kept as 1 when keep_dims; see Reduction
  arg_extreme,       // (x) -> i64 index along `axis`, the first of equals; largest or smallest
  top_k,             // (x) -> values, indices i64 of the `size` largest or smallest along `axis`, sorted; the
                     // first of equals comes first
  cumulative_sum,    // (x) -> y along `axis`; `exclusive`, `reverse`
  softmax,           // (x) -> p along `axis`
  softmax_grad,      // (p, dp) -> dx
  log_softmax,       // (x) -> y along `axis`
  log_softmax_grad,  // (y, dy) -> dx

  // Movement, of any type. None of them computes.
  reshape,      // (x) -> y with the elements of x in row-major order
  transpose,    // (x) -> y; axis i of y is axis axes[i] of x
  slice,        // (x) -> y; along axes[i] from starts[i] in steps[i]; steps may be negative
  slice_grad,   // (dy) -> dx, zero where the slice did not reach
  concat,       // (x...) -> y along `axis`
  pad,          // (x) -> y; starts[i], ends[i] elements in front and behind axis i (negative ones crop); mode
                // constant (alpha), reflect and edge, which look at x as it was before it was cropped
  pad_grad,     // (dy) -> dx
  gather,       // (x, index i32 or i64) -> y; axis `axis` of x is replaced by the axes of index; a negative
                // index counts from the end. Here and below an index outside of x is a broken invariant
  gather_grad,  // (dy, index) -> dx; sums over equal indices in their order
  gather_elements,  // (x, index in the shape of y) -> y along `axis`; other axes may be shorter than those of
                    // x
  scatter_elements,  // (x, index, updates in its shape) -> y, x with the updates in the place of elements, of
                     // equal places the last; added to them when `accumulate`
  expand,   // (x) -> y by broadcasting; with reduction mean the values are divided by the number of copies
  one_hot,  // (index) -> y with an axis of `size` at `axis`; `beta` where the index points, else `alpha`; an
            // index outside of -size..size-1 points nowhere
  resize,   // (x [N, C, H, W]) -> y of height dims[0] and width dims[1]; see Interpolation, Coordinates.
            // alpha, beta: scales of height and width, or 0: those of the sizes. bias: the coefficient of
            // cubic interpolation (Keys, 1981), or 0: -0.75. Borders repeat
  resize_grad,  // (dy) -> dx

  // Sequences. Batch first.
  embedding_bag,  // (table [V, D], ids i32 [L], offsets i32 [N]) -> y [N, D], sum or mean (`reduction`) of
                  // the rows of a bag; ids below 0 are padding, an empty bag gives 0
  embedding_bag_grad,  // (dy, ids, offsets) -> dtable; sums in the order of ids
  // The same gradients as the rows that have one, of a table of `size` rows: ids i32 [L], rows [L, ...] and
  // count i32 [1]. Ids ascend, none twice; behind `count` they are -1 and rows 0. Sums in the order of the
  // operand ids, of which there are L.
  embedding_bag_grad_rows,  // (dy, ids, offsets) -> ids, rows, count
  gather_grad_rows,         // (dy, index) -> ids, rows, count; of a gather along axis 0
  merge_rows,  // (ids, rows, count, ids, rows, count...) -> ids, rows, count; L is the sum of theirs
  recurrent,   // (x [N, T, I], w [directions, G*H, I], r [directions, G*H, H], b? [directions, 2*G*H],
  // lengths i32 [N]?, h0? [directions, N, H], c0?) -> y [N, T, directions*H], h [directions, N, H],
  // c? (lstm), workspace; gates in ONNX's order (iofc, zrh); behind a length y is 0, and a reverse direction
  // begins at the length; the workspace is empty unless `workspace`
  recurrent_grad,  // (x, w, r, b?, lengths?, h0?, c0?, y, workspace, dy?, dh?, dc?) -> dx, dw, dr, db?, dh0?,
                   // dc0?
  attention,       // (q [N, h, T, D], k [N, h, S, D], v [N, h, S, E], mask f32?) -> y [N, h, T, E],
                   // log-sum-exp [N, h, T]; the mask is added to the scores, which are scaled by alpha
                   // (Vaswani and others, 2017, section 3.2.1); y is 0 where all are minus infinity
  attention_grad,  // (q, k, v, mask?, y, log-sum-exp, dy) -> dq, dk, dv
  self_attention,  // (x [N, T, 3 F], mask?) -> y [N, T, F], log-sum-exp [N, h, T]; attention of `groups`
                   // heads h. q, k and v lie side by side in x, heads side by side in each and in y
  self_attention_grad,  // (x, mask?, y, log-sum-exp, dy) -> dx
  crf_loss,             // (emissions [N, T, K], transitions [K+2, K+2], tags i32 [N, T], lengths i32 [N]?) ->
  // demissions, dtransitions, Outcome; Lample and others, 2016, section 2.2; transitions are
  // [from, to], K is begin, K+1 is end. A sequence of length 0 does not count; one is correct when
  // each of its tags is the most probable of its time
  viterbi,  // (emissions, transitions, lengths?) -> tags i32 [N, T], the best path; 0 behind the length

  // Losses: value and gradient in one pass. Gradients are of the SUM of the samples' losses, not of the mean.
  softmax_cross_entropy,  // (x [N, K] or [N, K, ...], labels i32 [N, ...], class weights f32 [K]?) -> dx,
                          // Outcome; `smoothing` (Szegedy and others, 2016, section 7); each class's part of
                          // a loss has its weight; label `ignore` counts for nothing
  sigmoid_cross_entropy,  // (x, targets f32 of its shape) -> dx, Outcome; the sum over a sample's values;
                          // correct when each value is on its target's side
  squared_error,          // (x, targets) -> dx, Outcome; the mean over a sample's values, as the next two
  absolute_error,         // (x, targets) -> dx, Outcome
  huber,                  // (x, targets) -> dx, Outcome; quadratic within alpha (Huber, 1964)
  hinge,                  // (x [N, K], labels i32 [N]) -> dx, Outcome; Crammer and Singer, 2001, margin alpha
  triplet,  // (anchor [N, D], positive, negative) -> danchor, dpositive, dnegative, Outcome; squared
            // distances, margin alpha (Schroff and others, 2015, equation 3); correct when the positive is
            // nearer
};

/// "conv2d"; the names above.
const char* name_of(Kind kind);
/// Is it a convolution, a dense layer, a matrix product, or a gradient of one?
bool is_linear(Kind kind);

/// Functions of Kind::unary. Source of the activations: the papers that PyTorch's pages of the same names
/// cite.
enum class Function : std::uint8_t {
  identity,
  relu,
  relu6,
  leaky_relu,    // alpha x below 0
  elu,           // alpha (exp(x) - 1) below 0
  selu,          // constants of Klambauer and others, 2017
  gelu,          // x Phi(x), by erf
  gelu_tanh,     // its approximation by tanh (Hendrycks, Gimpel, 2016)
  silu,          // x sigmoid(x)
  hard_swish,    // x relu6(x + 3) / 6
  hard_sigmoid,  // clip(alpha x + beta, 0, 1)
  sigmoid,
  tanh,
  softplus,
  softsign,
  clip,  // to alpha..beta
  exp,
  log,
  sqrt,
  reciprocal,
  square,
  abs,
  negate,
  sign,
  floor,
  ceil,
  round,  // half to even
  erf,
  sin,
  cos,
  tan,
  asin,
  acos,
  atan,
  sinh,
  cosh,
  asinh,
  acosh,
  atanh,
  logical_not,  // u8
  is_nan,       // gives u8
  is_inf,       // gives u8
  mish,
  thresholded_relu,  // x above alpha, else 0
  shrink,            // x - beta above alpha, x + beta below -alpha, else 0
  celu,              // max(0, x) + min(0, alpha (exp(x / alpha) - 1))
};

/// Can a convolution or a dense layer apply it in the same pass?
bool follows_linear(Function function);

/// "leaky_relu"; the names above.
const char* name_of(Function function);

/// Which values the gradient of a function wants.
struct GradNeeds {
  bool x = false, y = false;
};
/// A function that is flat wherever it has a slope (sign, floor, ...) needs nothing and has gradient 0.
GradNeeds grad_needs(Function function);
bool has_gradient(Function function);
/// Does it also take whole numbers? The others are of real numbers only.
bool takes_whole_numbers(Function function);

/// Functions of Kind::binary. Not-a-numbers stay; a whole number divided by 0 gives 0, also as a remainder.
enum class Arithmetic : std::uint8_t {
  add,
  subtract,
  multiply,
  divide,  // towards zero for whole numbers
  power,   // a negative power of a whole number is divided towards zero
  minimum,
  maximum,
  modulo,    // sign of the divisor
  f_modulo,  // sign of the dividend
  equal,     // from here on: results are u8
  less,
  less_equal,
  greater,
  greater_equal,
  logical_and,  // what is not 0 is true
  logical_or,
  logical_xor,
};
/// "add"; the names above.
const char* name_of(Arithmetic arithmetic);
constexpr bool is_comparison(Arithmetic arithmetic) { return arithmetic >= Arithmetic::equal; }

/// Functions of Kind::reduce. Of nothing: 0, and 1 for product; the other extreme for maximum and minimum;
/// minus infinity for the logarithms; not a number, or 0, for mean.
enum class Reduction : std::uint8_t {
  sum,
  mean,  // towards zero for whole numbers
  maximum,
  minimum,
  product,
  l1,
  l2,           // this and the logarithms: of real numbers only
  log_sum,      // log(sum)
  log_sum_exp,  // log(sum(exp)), without overflow
  sum_square,
};

enum class PadMode : std::uint8_t { constant, reflect, edge };
enum class Cell : std::uint8_t { lstm, gru, gru_linear_before_reset, rnn };
enum class Direction : std::uint8_t { forward, reverse, bidirectional };

/// How resize finds the source of an output pixel (ONNX, Resize, coordinate_transformation_mode).
enum class Coordinates : std::uint8_t { half_pixel, pytorch_half_pixel, align_corners, asymmetric };
enum class Interpolation : std::uint8_t { nearest, linear, cubic };
enum class NearestMode : std::uint8_t { round_prefer_floor, round_prefer_ceil, floor, ceil };

}  // namespace trainyard::ops
