// Whatever the number of threads, the bits are the same.
#include <catch2/catch.hpp>
#include <cstring>

#include "tests/kernels/lab.hpp"
#include "tests/support/team.hpp"

namespace trainyard::ops {
namespace {

/// Requires the same bytes of every result for teams of 1, 2, 3, 4 and 7.
void require_same_bits(
    const std::function<std::vector<Held>(Lab&)>& computation,
    const std::function<Lab()>& make = [] { return Lab::cpu(3); }) {
  std::vector<Held> first;
  for (const int threads : {1, 2, 3, 4, 7}) {
    INFO("threads " << threads);
    const trainyard::test::Team team(threads);
    Lab lab = make();
    const std::vector<Held> made = computation(lab);
    if (first.empty()) first = made;
    for (std::size_t i = 0; i < made.size(); ++i) {
      INFO("result " << i);
      CHECK(std::memcmp(made[i].bytes->data(), first[i].bytes->data(), made[i].layout->bytes) == 0);
    }
  }
}

TEST_CASE("batch normalizations give the same bits for any number of threads", "[threads][lanes]") {
  Random random(1);
  for (const Shape& shape :
       {Shape{8, 16, 40, 40}, Shape{5, 64, 17, 17}, Shape{300, 200}, Shape{6, 33, 30, 21}}) {
    INFO(shape.text());
    const Shape channels{shape[1]};
    const Tensor x = random_tensor(random, shape), dy = random_tensor(random, shape),
                 ones = random_tensor(random, channels, 0.5, 1.5);
    require_same_bits([&](Lab& lab) {
      const Held held = lab.activation(x), vector = lab.plain(ones);
      const Attributes relu{.function = Function::relu};
      std::vector<Held> made =
          lab.run(Kind::batch_norm_training, relu, {held, vector, vector, vector, vector},
                  {shape, channels, channels, Signature::opaque_bytes(), channels, channels});
      for (Held& gradient :
           lab.run(Kind::batch_norm_grad, relu, {held, lab.activation(dy), made[1], made[2], vector, made[3]},
                   {shape, channels, channels}))
        made.push_back(std::move(gradient));
      return made;
    });
  }
}

TEST_CASE("bags of embeddings and the rows of their gradients have the same bits for any number of threads",
          "[threads][rows][lanes]") {
  Random random(2);
  const std::int64_t rows = 400, width = 72, length = 3000, bags = 60;
  const Tensor table = random_tensor(random, {rows, width}), dy = random_tensor(random, {bags, width});
  std::vector<std::int32_t> ids, offsets;
  for (std::int64_t i = 0; i < length; ++i) ids.push_back(static_cast<std::int32_t>(random.below(rows)));
  for (std::int64_t i = 0; i < bags; ++i) offsets.push_back(static_cast<std::int32_t>(i * length / bags));
  const Attributes mean{.size = rows, .reduction = Reduction::mean};
  require_same_bits([&](Lab& lab) {
    const Held id_list = lab.whole({length}, DType::i32, ids),
               firsts = lab.whole({bags}, DType::i32, offsets);
    std::vector<Held> made =
        lab.run(Kind::embedding_bag, mean, {lab.plain(table), id_list, firsts}, {dy.shape});
    for (Held& part : lab.run(Kind::embedding_bag_grad_rows, mean, {lab.plain(dy), id_list, firsts},
                              {{Shape{length}, DType::i32}, {{length, width}}, {Shape{1}, DType::i32}}))
      made.push_back(std::move(part));
    return made;
  });
}

struct Convolution {
  Shape x, w;
  std::int64_t stride = 1, pad = 0, groups = 1;
  std::int64_t side(std::size_t axis) const { return (x[axis] + 2 * pad - w[axis]) / stride + 1; }
  Shape y() const { return {x[0], w[0], side(2), side(3)}; }
  Attributes attributes() const {
    return {.kernel_height = w[2],
            .kernel_width = w[3],
            .stride_height = stride,
            .stride_width = stride,
            .pad_top = pad,
            .pad_bottom = pad,
            .pad_left = pad,
            .pad_right = pad,
            .groups = groups};
  }
};

TEST_CASE(
    "convolutions and dense layers of a deterministic training give the same bits for any number of threads",
    "[threads]") {
  Random random(2);
  for (const Convolution& at :
       {Convolution{{64, 1, 28, 28}, {6, 1, 5, 5}, 1, 2}, Convolution{{32, 16, 32, 32}, {16, 16, 3, 3}, 1, 1},
        Convolution{{9, 3, 40, 40}, {32, 3, 3, 3}, 2, 1}, Convolution{{16, 64, 8, 8}, {64, 64, 3, 3}, 1, 1},
        Convolution{{7, 32, 14, 14}, {32, 1, 3, 3}, 1, 1, 32},
        Convolution{{5, 12, 9, 9}, {8, 6, 3, 3}, 1, 1, 2}, Convolution{{3, 17, 6, 6}, {19, 17, 1, 1}},
        Convolution{{6, 17, 11, 11}, {19, 17, 3, 3}, 1, 1}, Convolution{{4, 3, 50, 50}, {64, 3, 7, 7}, 2, 3},
        Convolution{{6, 64, 14, 14}, {128, 64, 1, 1}, 2}, Convolution{{2, 32, 28, 28}, {32, 32, 3, 3}, 2, 1},
        Convolution{{4, 512, 4, 4}, {512, 512, 3, 3}, 1, 1}}) {
    INFO(at.x.text() << " by " << at.w.text());
    const Tensor x = random_tensor(random, at.x), w = random_tensor(random, at.w),
                 dy = random_tensor(random, at.y());
    const Shape bias{at.w[0]};
    for (const std::uint32_t blocked : {0u, 3u})
      require_same_bits(
          [&](Lab& lab) {
            const Held image = lab.activation(x), gradient = lab.activation(dy), weight = lab.plain(w);
            auto made = lab.run(Kind::conv2d_grad_weights, at.attributes(), {image, gradient}, {at.w, bias});
            made.push_back(lab.run(Kind::conv2d, at.attributes(), {image, weight}, {at.y()})[0]);
            made.push_back(lab.run(Kind::conv2d_grad_data, at.attributes(), {gradient, weight}, {at.x})[0]);
            return made;
          },
          [&] { return Lab::deterministic(blocked); });
  }
  struct Layer {
    Shape x;
    std::int64_t units;
  };
  for (const Layer& layer : {Layer{{64, 400}, 120}, Layer{{128, 784}, 512}, Layer{{5, 33}, 7}}) {
    const Shape& x = layer.x;
    INFO(x.text() << " to " << layer.units);
    const Shape w{layer.units, x[1]}, y{x[0], layer.units};
    const Tensor tx = random_tensor(random, x), tw = random_tensor(random, w), ty = random_tensor(random, y);
    const Attributes flat{.axis = 1};
    require_same_bits(
        [&](Lab& lab) {
          const Held held = lab.plain(tx), weight = lab.plain(tw), gradient = lab.plain(ty);
          auto made = lab.run(Kind::dense_grad_weights, flat, {held, gradient}, {w, Shape{layer.units}});
          made.push_back(lab.run(Kind::dense, flat, {held, weight}, {y})[0]);
          made.push_back(lab.run(Kind::dense_grad_data, flat, {gradient, weight}, {x})[0]);
          return made;
        },
        [] { return Lab::deterministic(); });
  }
}

TEST_CASE("weights' gradients in chunks agree with plain loops", "[conv2d]") {
  Random random(3);
  for (const Convolution& at :
       {Convolution{{11, 3, 12, 10}, {8, 3, 5, 5}, 2, 1}, Convolution{{8, 16, 9, 9}, {16, 16, 3, 3}, 1, 1},
        Convolution{{1, 6, 7, 7}, {5, 6, 3, 3}}, Convolution{{13, 8, 6, 6}, {8, 1, 3, 3}, 1, 1, 8}}) {
    INFO(at.x.text() << " by " << at.w.text());
    const Tensor x = random_tensor(random, at.x), dy = random_tensor(random, at.y());
    const auto computed = [&](Lab lab) {
      std::vector<Tensor> out;
      for (const Held& made : lab.run(Kind::conv2d_grad_weights, at.attributes(),
                                      {lab.activation(x), lab.activation(dy)}, {at.w, Shape{at.w[0]}}))
        out.push_back(lab.take(made));
      return out;
    };
    const auto expected = computed(Lab::reference());
    for (const std::uint32_t blocked : {0u, 1u, 2u, 3u}) {
      const auto actual = computed(Lab::deterministic(blocked));
      for (std::size_t i = 0; i < 2; ++i) require_close(actual[i], expected[i], 2e-5);
    }
  }
}

TEST_CASE("attention and layer normalization have the same bits for any number of threads",
          "[threads][lanes]") {
  Random random(3);
  const Shape q{3, 2, 70, 20}, k{3, 2, 90, 20}, rows{6, 70}, wide{37, 1500};
  const Tensor in[] = {random_tensor(random, q), random_tensor(random, k), random_tensor(random, k),
                       random_tensor(random, {90}), random_tensor(random, q)};
  const Tensor x = random_tensor(random, wide), dy = random_tensor(random, wide),
               gamma = random_tensor(random, {1500});
  Attributes scaled{.alpha = 0.2}, last{.axis = 1};
  require_same_bits([&](Lab& lab) {
    std::vector<Held> operands{lab.plain(in[0]), lab.plain(in[1]), lab.plain(in[2]), lab.plain(in[3])};
    std::vector<Held> made = lab.run(Kind::attention, scaled, operands, {q, {{3, 2, 70}}});
    operands.insert(operands.end(), {made[0], made[1], lab.plain(in[4])});
    for (Held& part : lab.run(Kind::attention_grad, scaled, operands, {q, k, k}))
      made.push_back(std::move(part));
    const Held held = lab.plain(x), scale = lab.plain(gamma);
    const auto normal = lab.run(Kind::layer_norm, last, {held, scale, scale}, {wide, {{37}}, {{37}}});
    made.push_back(normal[0]);
    for (Held& part : lab.run(Kind::layer_norm_grad, last, {held, lab.plain(dy), normal[1], normal[2], scale},
                              {wide, {{1500}}, {{1500}}}))
      made.push_back(std::move(part));
    return made;
  });
}

}  // namespace
}  // namespace trainyard::ops
