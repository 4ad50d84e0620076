// Bags, recurrent cells, attention and the best path of a conditional random field.
#include "common/ops/infer/infer.hpp"

namespace trainyard::ops {
namespace {

Inferred bag(std::span<const Signature> in) {
  if (in.size() != 3 || in[0].shape.rank() != 2) return shape_error("takes a table [V, D], ids and offsets");
  if (in[1].type != DType::i32 || in[2].type != DType::i32 || in[1].shape.rank() != 1 ||
      in[2].shape.rank() != 1)
    return shape_error("needs ids and offsets as int32 vectors");
  return Signatures{{{in[2].shape[0], in[0].shape[1]}, in[0].type}};
}

std::int64_t gates(Cell cell) { return cell == Cell::lstm ? 4 : cell == Cell::rnn ? 1 : 3; }

/// Optional operands that are absent are opaque.
Inferred recurrent(const Attributes& a, std::span<const Signature> in) {
  if (in.size() < 3) return shape_error("takes x, w and r at least");
  const Shape &x = in[0].shape, &w = in[1].shape, &r = in[2].shape;
  if (x.rank() != 3 || w.rank() != 3 || r.rank() != 3)
    return shape_error("of x {}, w {}, r {}; each needs three axes", x.text(), w.text(), r.text());
  const std::int64_t directions = a.direction == Direction::bidirectional ? 2 : 1, hidden = r[2];
  const std::int64_t rows = gates(a.cell) * hidden;
  if (w != Shape{directions, rows, x[2]} || r != Shape{directions, rows, hidden})
    return shape_error("w {} and r {} for x {}; they have to be {} and {}", w.text(), r.text(), x.text(),
                       Shape{directions, rows, x[2]}.text(), Shape{directions, rows, hidden}.text());
  if (in.size() > 3 && !in[3].opaque && in[3].shape != Shape{directions, 2 * rows})
    return shape_error("bias {}; it has to be {}", in[3].shape.text(), Shape{directions, 2 * rows}.text());
  const Shape state{directions, x[0], hidden};
  if (in.size() > 4 && !in[4].opaque && in[4] != Signature(Shape{x[0]}, DType::i32))
    return shape_error("lengths {}; they have to be int32 {}", in[4].shape.text(), Shape{x[0]}.text());
  for (std::size_t i = 5; i < in.size(); ++i)
    if (!in[i].opaque && in[i].shape != state)
      return shape_error("an initial state {}; it has to be {}", in[i].shape.text(), state.text());
  Signatures out{{{x[0], x[1], directions * hidden}, in[0].type}, {state, in[0].type}};
  if (a.cell == Cell::lstm) out.push_back({state, in[0].type});
  out.push_back(Signature::opaque_bytes());
  return out;
}

Inferred viterbi(std::span<const Signature> in) {
  if (in.size() < 2 || in.size() > 3) return shape_error("takes emissions, transitions and perhaps lengths");
  const Shape &x = in[0].shape, &transitions = in[1].shape;
  if (x.rank() != 3) return shape_error("takes emissions [N, T, K], and gets {}", x.text());
  if (transitions != Shape{x[2] + 2, x[2] + 2})
    return shape_error("transitions {} for {} tags; they have to be {}", transitions.text(), x[2],
                       Shape{x[2] + 2, x[2] + 2}.text());
  return Signatures{{{x[0], x[1]}, DType::i32}};
}

Inferred attention(std::span<const Signature> in) {
  if (in.size() < 3 || in.size() > 4) return shape_error("takes q, k, v and perhaps a mask");
  const Shape &q = in[0].shape, &k = in[1].shape, &v = in[2].shape;
  if (q.rank() != 4 || k.rank() != 4 || v.rank() != 4 || k != Shape{q[0], q[1], k[2], q[3]} ||
      v != Shape{q[0], q[1], k[2], v[3]})
    return shape_error("of q {}, k {}, v {}", q.text(), k.text(), v.text());
  if (in.size() > 3) {
    Shape all;
    const Shape scores{q[0], q[1], q[2], k[2]};
    if (!tensor::broadcast(in[3].shape, scores, all) || all != scores)
      return shape_error("a mask {} for scores {}", in[3].shape.text(), scores.text());
  }
  return Signatures{{{q[0], q[1], q[2], v[3]}, in[0].type}, {{q[0], q[1], q[2]}, DType::f32}};
}

}  // namespace

Inferred infer_sequence(Kind kind, Attributes& attributes, std::span<const Signature> inputs) {
  switch (kind) {
    case Kind::embedding_bag:
      return bag(inputs);
    case Kind::recurrent:
      return recurrent(attributes, inputs);
    case Kind::attention:
      return attention(inputs);
    default:
      return viterbi(inputs);
  }
}

}  // namespace trainyard::ops
