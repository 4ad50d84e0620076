// Bags of embeddings, and gradients of tables as the rows that have one.
#include <catch2/catch.hpp>

#include "tests/kernels/cases.hpp"

namespace trainyard::ops {
namespace {

std::vector<std::int32_t> random_ids(Random& random, std::int64_t count, std::int64_t rows, double padding) {
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < count; ++i)
    ids.push_back(random.chance(padding)
                      ? -1
                      : static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(rows))));
  return ids;
}

/// Some bags are empty.
std::vector<std::int32_t> random_offsets(Random& random, std::int64_t bags, std::int64_t length) {
  std::vector<std::int32_t> offsets;
  for (std::int64_t i = 0; i < bags; ++i)
    offsets.push_back(static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(length + 1))));
  std::sort(offsets.begin(), offsets.end());
  offsets[0] = 0;
  return offsets;
}

std::vector<Signature> rows_signature(std::int64_t length, std::vector<std::int64_t> row) {
  row.insert(row.begin(), length);
  return {{Shape{length}, DType::i32}, {Shape(std::move(row)), DType::f32}, {Shape{1}, DType::i32}};
}

/// The table that rows stand for.
Tensor dense(const Lab& lab, const std::vector<Held>& made, const Shape& table) {
  const Tensor ids = lab.take(made[0]), rows = lab.take(made[1]), count = lab.take(made[2]);
  const std::int64_t width = table.elements() / table[0];
  Tensor out{table, std::vector<double>(static_cast<std::size_t>(table.elements()))};
  double before = -1;
  for (std::size_t i = 0; i < static_cast<std::size_t>(count.values[0]); ++i) {
    REQUIRE(ids.values[i] > before);
    before = ids.values[i];
    for (std::int64_t k = 0; k < width; ++k)
      out.values[static_cast<std::size_t>(ids.values[i]) * width + k] = rows.values[i * width + k];
  }
  for (std::size_t i = static_cast<std::size_t>(count.values[0]); i < ids.values.size(); ++i) {
    CHECK(ids.values[i] == -1);
    for (std::int64_t k = 0; k < width; ++k) CHECK(rows.values[i * width + k] == 0);
  }
  return out;
}

}  // namespace

TEST_CASE("the rows of a bag's gradient are those of its table's, with duplicates, padding and empty bags",
          "[rows][lanes]") {
  Random random(1);
  for (const std::int64_t width : {1, 3, 16, 37, 128, 200})
    for (const std::int64_t rows : {1, 7, 3000}) {
      const std::int64_t length = 150, bags = 11;
      const auto ids = random_ids(random, length, rows, 0.1), offsets = random_offsets(random, bags, length);
      const Tensor dy = random_tensor(random, {bags, width}), table = random_tensor(random, {rows, width});
      for (const Reduction reduction : {Reduction::sum, Reduction::mean}) {
        INFO("table of " << rows << " by " << width);
        const Attributes attributes{.size = rows, .reduction = reduction};
        agree([&](Lab& lab) {
          const std::vector<Held> operands{lab.plain(dy), lab.whole({length}, DType::i32, ids),
                                           lab.whole({bags}, DType::i32, offsets)};
          const Held y = lab.run(Kind::embedding_bag, attributes,
                                 {lab.plain(table), operands[1], operands[2]}, {Shape{bags, width}})[0];
          const auto made =
              lab.run(Kind::embedding_bag_grad_rows, attributes, operands, rows_signature(length, {width}));
          const Held whole = lab.run(Kind::embedding_bag_grad, attributes, operands, {table.shape})[0];
          const Tensor from_rows = dense(lab, made, table.shape);
          require_close(from_rows, lab.take(whole), 5e-6);
          return std::vector<Tensor>{from_rows, lab.take(made[0]), lab.take(made[1]), lab.take(y)};
        });
      }
    }
}

TEST_CASE("the rows of a gather's gradient are those of its table's, whatever the index", "[rows][lanes]") {
  Random random(2);
  for (const DType type : {DType::i32, DType::i64})
    for (const Shape& table : {Shape{5, 33}, Shape{40, 2, 9}, Shape{2500, 4}}) {
      std::vector<double> index;
      for (int i = 0; i < 24; ++i)
        index.push_back(static_cast<double>(random.below(static_cast<std::uint64_t>(table[0]))) -
                        static_cast<double>(random.chance(0.5) ? table[0] : 0));
      std::vector<std::int64_t> dims = table.dims();
      dims.erase(dims.begin());
      const std::vector<std::int64_t> row = dims;
      dims.insert(dims.begin(), {4, 6});
      const Tensor dy = random_tensor(random, Shape(dims));
      Attributes attributes{.axis = 0, .size = table[0]};
      agree([&](Lab& lab) {
        const std::vector<Held> operands{lab.plain(dy), lab.plain({{4, 6}, index}, type)};
        const auto made = lab.run(Kind::gather_grad_rows, attributes, operands, rows_signature(24, row));
        const Held whole = lab.run(Kind::gather_grad, attributes, operands, {table})[0];
        const Tensor from_rows = dense(lab, made, table);
        require_close(from_rows, lab.take(whole), 5e-6);
        return std::vector<Tensor>{from_rows, lab.take(made[1])};
      });
    }
}

TEST_CASE("rows of several gradients become one list", "[rows]") {
  gives_gradient(Kind::merge_rows, {.size = 10},
                 {{{3}, {1, 4, -1}, DType::i32},
                  {{3, 2}, {1, 2, 3, 4, 0, 0}},
                  {{1}, {2}, DType::i32},
                  {{2}, {0, 4}, DType::i32},
                  {{2, 2}, {5, 6, 7, 8}},
                  {{1}, {2}, DType::i32}},
                 {{{5}, {0, 1, 4, -1, -1}, DType::i32},
                  {{5, 2}, {5, 6, 1, 2, 10, 12, 0, 0, 0, 0}},
                  {{1}, {3}, DType::i32}});
}

}  // namespace trainyard::ops
