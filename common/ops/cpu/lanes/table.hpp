// The inner loops of the cpu kernels, compiled once for each instruction set; the processor decides at the
// first use. Rows of floats in, rows out: no layout, no thread, no allocation. Private to cpu/.
#pragma once

#include <cstdint>

namespace trainyard::ops::cpu::lanes {

/// A part of one group of channels, sixteen lanes wide: `planes` times `rows` rows of `width` floats, and
/// behind each plane's rows one of `tail` floats (0: none). Distances are in floats, those of masks in rows.
struct Strip {
  std::int64_t planes = 1, plane_stride = 0;
  std::int64_t rows = 0, row_stride = 16;
  std::int64_t mask_plane_stride = 0, mask_row_stride = 1;
  int width = 16, tail = 0;
};

enum class Rectify : std::uint8_t { none, relu, relu6 };

/// y = rectify((x - mean) * scale + shift + addend); a lane each.
struct Affine {
  const float *mean = nullptr, *scale = nullptr, *shift = nullptr;
  Rectify rectify = Rectify::none;
  bool stream = false;  // y goes past the caches; it and its rows are aligned to 64 bytes
};
/// dx = (g - constant - (x - mean) * slope) * scale, g being dy where the mask is set; a lane each.
struct AffineGrad {
  const float *mean = nullptr, *scale = nullptr, *constant = nullptr, *slope = nullptr;
  bool stream = false;  // dx and daddend; see Affine
};

struct Table {
  /// Of each lane, its mean over the strip and the sum of squares about that.
  void (*moments)(const Strip& strip, const float* x, float* mean, float* squares);
  /// addend and mask may be null; y may be x or addend.
  void (*normalize)(const Strip& strip, const float* x, const float* addend, const Affine& affine, float* y,
                    std::uint16_t* mask);
  /// Sums over the strip of g and of g * (x - mean). mask may be null.
  void (*gradient_sums)(const Strip& strip, const float* x, const float* dy, const std::uint16_t* mask,
                        const float* mean, float* sum, float* dot);
  /// daddend = g; it and mask may be null. dx may be dy.
  void (*normalize_grad)(const Strip& strip, const float* x, const float* dy, const std::uint16_t* mask,
                         const AffineGrad& affine, float* dx, float* daddend);

  /// Floats that pack() writes for a matrix [k][columns].
  std::int64_t (*packed_floats)(std::int64_t k, std::int64_t columns);
  /// Element (i, j) of the matrix lies at b + i * k_step + j * column_step.
  void (*pack)(const float* b, std::int64_t k_step, std::int64_t column_step, std::int64_t k,
               std::int64_t columns, float* packed);
  /// The same with a column_step of 1, or a k_step of 1.
  void (*pack_rows)(const float* b, std::int64_t k_step, std::int64_t k, std::int64_t columns, float* packed);
  void (*pack_columns)(const float* b, std::int64_t column_step, std::int64_t k, std::int64_t columns,
                       float* packed);
  /// to[c][r] = from[r][c]
  void (*transpose)(const float* from, std::int64_t from_step, std::int64_t rows, std::int64_t columns,
                    float* to, std::int64_t to_step);
  /// c[r][j] = (add ? c[r][j] : 0) + sum over i of a[r][i] * b[i][j], in the order of i. Each row's bits are
  /// the same however many rows there are.
  void (*multiply)(std::int64_t rows, const float* const* a, std::int64_t k, const float* packed,
                   std::int64_t columns, float* const* c, bool add);
  /// sums[j] of `rows` rows, in a fixed order.
  void (*column_sums)(const float* from, std::int64_t row_step, std::int64_t rows, std::int64_t columns,
                      double* sums);
  /// y = the sum of the rows [width] of `from` that `rows` names, in that order; numbers below 0 are left
  /// out.
  void (*sum_rows)(const float* from, const std::int32_t* rows, std::int64_t count, std::int64_t width,
                   float* y);

  /// A row of scores becomes softmax(scale * scores + mask), all 0 where nothing but minus infinity is; mask
  /// may be null, and steps by 1 or 0. The sum is of exp(score - top).
  void (*softmax_scores)(float* scores, const float* mask, int mask_step, std::int64_t count, float scale,
                         float* top, float* sum);
  /// scores become p = exp(scale * scores + mask - whole); dp becomes scale * p * (dp - y dy), y and dy
  /// having `width` values.
  void (*softmax_scores_grad)(float* scores, float* dp, const float* mask, int mask_step, std::int64_t count,
                              float scale, float whole, const float* y, const float* dy, std::int64_t width);

  /// y = (x - mean) * inverse * gamma + beta, inverse = 1 / sqrt(variance + epsilon); gamma, beta: as a row,
  /// or null.
  void (*normalize_row)(const float* x, std::int64_t width, float epsilon, const float* gamma,
                        const float* beta, float* y, float* mean, float* inverse);
  /// dx of one row; adds to dgamma and dbeta, which may be null. gamma may be null.
  void (*normalize_row_grad)(const float* x, const float* dy, std::int64_t width, float mean, float inverse,
                             const float* gamma, float* dx, float* dgamma, float* dbeta);

  // One step of a cell for one row; gates come as W x + R h and leave as they are after their functions.
  // Gradients: da of the gates' arguments; dy may be null. See cells.hpp.
  void (*lstm)(std::int64_t hidden, const float* bias, const float* c_before, float* gates, float* c,
               float* h);
  void (*lstm_grad)(std::int64_t hidden, const float* gates, const float* c, const float* c_before,
                    const float* dh, const float* dy, float* dc, float* da);
  void (*gru_before_reset)(std::int64_t hidden, const float* bias, const float* state_bias,
                           const float* before, float* gates, float* state, float* h);
  void (*gru_before_reset_grad)(std::int64_t hidden, const float* gates, const float* state,
                                const float* before, const float* dy, float* dh, float* da, float* dstate);
  void (*gru_gates)(std::int64_t hidden, const float* bias, const float* before, float* gates, float* reset);
  void (*gru_state)(std::int64_t hidden, const float* bias, const float* before, float* gates, float* h);
  void (*gru_state_grad)(std::int64_t hidden, const float* gates, const float* before, const float* dy,
                         float* dh, float* da);
  void (*gru_gates_grad)(std::int64_t hidden, const float* gates, const float* before, const float* dreset,
                         float* dh, float* da);
  void (*rnn)(std::int64_t hidden, const float* bias, float* gates, float* h);
  void (*rnn_grad)(std::int64_t hidden, const float* gates, const float* dh, const float* dy, float* da);
};

/// That of the widest instruction set that this processor has; TRAINYARD_VECTORS=any or avx2 chooses a
/// narrower one, for tests and for the same bits on different processors.
const Table& table();

}  // namespace trainyard::ops::cpu::lanes
