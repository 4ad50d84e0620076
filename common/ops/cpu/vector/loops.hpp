// The loops of one level: included once by each file of a level, which names it. Everything but the table
// lies in an unnamed namespace, and no inline function of another header is called: code of a level is that
// level's alone.
#include "common/ops/cpu/vector/vectors.hpp"

namespace trainyard::ops::cpu::TRAINYARD_VECTOR_LEVEL {
namespace {

#include "common/ops/cpu/vector/binary.hpp"
#include "common/ops/cpu/vector/number.hpp"
#include "common/ops/cpu/vector/rows.hpp"
#include "common/ops/cpu/vector/unary.hpp"

#define TRAINYARD_TEXT_OF(name) #name
#define TRAINYARD_TEXT(name) TRAINYARD_TEXT_OF(name)

}  // namespace

extern const Vectors kVectors;
const Vectors kVectors{
    .name = TRAINYARD_TEXT(TRAINYARD_VECTOR_LEVEL),
    .map = map_of,
    .slope = slope_of,
    .binary = binary_of,
    .where = where_of,
    .softmax = softmax,
    .log_softmax = log_softmax,
    .softmax_grad = softmax_grad,
    .log_softmax_grad = log_softmax_grad,
    .reduce = reduce,
    .reduce_columns = reduce_columns,
};

}  // namespace trainyard::ops::cpu::TRAINYARD_VECTOR_LEVEL
