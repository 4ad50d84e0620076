// The loops of all kernels in the namespace TRAINYARD_LANES, whose compiler flags its file has. Includes come
// first and bring plain types alone: a function that two files compile for different processors would be
// linked once, and might be the wrong one.
#include <cstdint>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "common/ops/cpu/lanes/table.hpp"

namespace trainyard::ops::cpu::lanes::TRAINYARD_LANES {
namespace {

// clang-format off
#include "common/ops/cpu/lanes/lanes.hpp"
#include "common/ops/cpu/lanes/math.hpp"
#include "common/ops/cpu/lanes/batch_norm.hpp"
#include "common/ops/cpu/lanes/product.hpp"
#include "common/ops/cpu/lanes/cells.hpp"
#include "common/ops/cpu/lanes/rows.hpp"
#include "common/ops/cpu/lanes/attention.hpp"
#include "common/ops/cpu/lanes/layer_norm.hpp"
// clang-format on

}  // namespace

extern const Table loops;
const Table loops{
    .moments = moments,
    .normalize = normalize,
    .gradient_sums = gradient_sums,
    .normalize_grad = normalize_grad,
    .packed_floats = packed_floats,
    .pack = pack,
    .pack_rows = pack_rows,
    .pack_columns = pack_columns,
    .transpose = transpose,
    .multiply = multiply,
    .column_sums = column_sums,
    .sum_rows = sum_rows,
    .softmax_scores = softmax_scores,
    .softmax_scores_grad = softmax_scores_grad,
    .normalize_row = normalize_row,
    .normalize_row_grad = normalize_row_grad,
    .lstm = lstm,
    .lstm_grad = lstm_grad,
    .gru_before_reset = gru_before_reset,
    .gru_before_reset_grad = gru_before_reset_grad,
    .gru_gates = gru_gates,
    .gru_state = gru_state,
    .gru_state_grad = gru_state_grad,
    .gru_gates_grad = gru_gates_grad,
    .rnn = rnn,
    .rnn_grad = rnn_grad,
};

}  // namespace trainyard::ops::cpu::lanes::TRAINYARD_LANES
