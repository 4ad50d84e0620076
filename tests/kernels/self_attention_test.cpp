// Attention over heads that lie side by side.
#include <catch2/catch.hpp>

#include "tests/kernels/lab.hpp"

namespace trainyard::ops {

/// x [N, T, 3 h D] as q, k, v [N, h, T, D] side by side, and a gradient back.
TEST_CASE("attention over heads that lie side by side is that over heads apart", "[attention][lanes]") {
  Random random(10);
  struct Case {
    std::int64_t n, steps, heads, depth;
    Shape mask;
  };
  for (const Case& at : {Case{2, 5, 3, 4, {}}, Case{1, 70, 2, 16, {70}}, Case{3, 17, 1, 7, {3, 1, 1, 17}},
                         Case{2, 130, 2, 33, {130, 130}}}) {
    INFO("steps " << at.steps << ", heads " << at.heads << " of " << at.depth);
    const std::int64_t width = at.heads * at.depth;
    Attributes a{.groups = at.heads, .alpha = 0.3};
    const Tensor x = random_tensor(random, {at.n, at.steps, 3 * width}, -2, 2),
                 dy = random_tensor(random, {at.n, at.steps, width}),
                 mask = random_tensor(random, at.mask.rank() == 0 ? Shape{1} : at.mask);
    const Shape whole{at.n, at.heads, at.steps};
    agree([&](Lab& lab) {
      const Held absent{}, held = lab.plain(x), added = at.mask.rank() == 0 ? absent : lab.plain(mask);
      std::vector<Held> in{held};
      if (at.mask.rank() > 0) in.push_back(added);
      const auto made = lab.run(Kind::self_attention, a, in, {dy.shape, whole});
      const Held dx =
          lab.run(Kind::self_attention_grad, a, {held, added, made[0], made[1], lab.plain(dy)}, {x.shape})[0];
      const auto heads_of = [&](const Held& rows, std::int64_t third) {
        Attributes cut, split, turn;
        cut.axes = {2};
        cut.starts = {third * width};
        cut.ends = {(third + 1) * width};
        cut.steps = {1};
        split.dims = {at.n, at.steps, at.heads, at.depth};
        turn.axes = {0, 2, 1, 3};
        const Held part = lab.run(Kind::slice, cut, {rows})[0];
        return lab.run(Kind::transpose, turn, {lab.run(Kind::reshape, split, {part})[0]})[0];
      };
      std::vector<Held> apart{heads_of(held, 0), heads_of(held, 1), heads_of(held, 2)};
      const Shape q{at.n, at.heads, at.steps, at.depth};
      if (at.mask.rank() > 0) apart.push_back(added);
      const auto other = lab.run(Kind::attention, a, apart, {q, whole});
      apart.resize(3);
      apart.insert(apart.end(), {added, other[0], other[1], heads_of(lab.plain(dy), 0)});
      const auto gradients = lab.run(Kind::attention_grad, a, apart, {q, q, q});
      require_close(lab.take(heads_of(made[0], 0)), lab.take(other[0]), 1e-6);
      for (std::int64_t k = 0; k < 3; ++k)
        require_close(lab.take(heads_of(dx, k)), lab.take(gradients[static_cast<std::size_t>(k)]), 1e-6);
      return std::vector<Tensor>{lab.take(made[0]), lab.take(made[1]), lab.take(dx)};
    });
  }
}

}  // namespace trainyard::ops
