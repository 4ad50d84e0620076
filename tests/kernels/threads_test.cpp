// Whatever the number of threads, the bits are the same.
#include <omp.h>

#include <catch2/catch.hpp>
#include <cstring>

#include "tests/kernels/lab.hpp"

namespace trainyard::ops {
namespace {

class Team {
 public:
  explicit Team(int threads) : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
  ~Team() { omp_set_num_threads(before_); }
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

 private:
  int before_;
};

/// Requires the same bytes of every result for teams of 1, 2, 3, 4 and 7.
void require_same_bits(const std::function<std::vector<Held>(Lab&)>& computation) {
  std::vector<Held> first;
  for (const int threads : {1, 2, 3, 4, 7}) {
    INFO("threads " << threads);
    const Team team(threads);
    Lab lab = Lab::cpu(3);
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

}  // namespace
}  // namespace trainyard::ops
