// Sequences: the cpu backend against the reference, the reference's gradients against differences, and its
// recurrent cells against other programs' numbers.
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/kernels/slopes.hpp"

namespace trainyard::ops {
namespace {

using Whole = std::vector<std::int32_t>;

Held held_whole(Lab& lab, const Shape& shape, const Whole& values) {
  return lab.whole(shape, DType::i32, values);
}
Held held_whole(Lab& lab, const Whole& values) {
  return held_whole(lab, Shape{static_cast<std::int64_t>(values.size())}, values);
}

struct RecurrentCase {
  std::int64_t n = 1, t = 1, inputs = 1, hidden = 1;
  Cell cell = Cell::lstm;
  Direction direction = Direction::forward;
  bool bias = true, states = false;
  Whole lengths;  // none: all of t

  std::int64_t directions() const { return direction == Direction::bidirectional ? 2 : 1; }
  std::int64_t rows() const { return hidden * (cell == Cell::lstm ? 4 : cell == Cell::rnn ? 1 : 3); }
  Shape x() const { return {n, t, inputs}; }
  Shape w() const { return {directions(), rows(), inputs}; }
  Shape r() const { return {directions(), rows(), hidden}; }
  Shape b() const { return {directions(), 2 * rows()}; }
  Shape y() const { return {n, t, directions() * hidden}; }
  Shape state() const { return {directions(), n, hidden}; }
  Attributes attributes(bool workspace = true) const {
    return {.workspace = workspace, .cell = cell, .direction = direction};
  }
  std::string text() const {
    return "cell " + std::to_string(static_cast<int>(cell)) + " direction " +
           std::to_string(static_cast<int>(direction)) + " x " + x().text() + " hidden " +
           std::to_string(hidden) + (bias ? " bias" : "") + (states ? " states" : "") +
           (lengths.empty() ? "" : " lengths");
  }
};

/// x, w, r, b?, h0?, c0?
std::vector<Tensor> recurrent_operands(Random& random, const RecurrentCase& at) {
  std::vector<Tensor> in{random_tensor(random, at.x()), random_tensor(random, at.w(), -0.6, 0.6),
                         random_tensor(random, at.r(), -0.6, 0.6)};
  if (at.bias) in.push_back(random_tensor(random, at.b()));
  if (at.states) in.push_back(random_tensor(random, at.state()));
  if (at.states && at.cell == Cell::lstm) in.push_back(random_tensor(random, at.state()));
  return in;
}

/// In the order of the contract, absent ones included.
std::vector<Held> recurrent_inputs(Lab& lab, const RecurrentCase& at, const std::vector<Tensor>& in) {
  std::vector<Held> inputs{lab.plain(in[0]), lab.plain(in[1]), lab.plain(in[2])};
  std::size_t next = 3;
  inputs.push_back(at.bias ? lab.plain(in[next++]) : Held{});
  inputs.push_back(at.lengths.empty() ? Held{} : held_whole(lab, at.lengths));
  inputs.push_back(at.states ? lab.plain(in[next++]) : Held{});
  inputs.push_back(at.states && at.cell == Cell::lstm ? lab.plain(in[next]) : Held{});
  return inputs;
}

std::vector<Held> recurrent(Lab& lab, const RecurrentCase& at, const std::vector<Tensor>& in,
                            bool workspace = true) {
  std::vector<Signature> outputs{at.y(), at.state()};
  if (at.cell == Cell::lstm) outputs.push_back(at.state());
  outputs.push_back(Signature::opaque_bytes());
  return lab.run(Kind::recurrent, at.attributes(workspace), recurrent_inputs(lab, at, in), outputs);
}

std::vector<Tensor> results_of(Lab& lab, const std::vector<Held>& made) {
  std::vector<Tensor> results;
  for (std::size_t i = 0; i + 1 < made.size(); ++i) results.push_back(lab.take(made[i]));
  return results;
}

/// Gradients of the operands, from gradients of the results; `given` says which of them there are.
std::vector<Tensor> recurrent_back(Lab& lab, const RecurrentCase& at, const std::vector<Tensor>& in,
                                   const std::vector<Held>& made, const std::vector<Tensor>& seeds,
                                   std::uint32_t given = 7) {
  std::vector<Held> inputs = recurrent_inputs(lab, at, in);
  inputs.push_back(made[0]);
  inputs.push_back(made.back());
  for (std::size_t i = 0; i < 3; ++i)
    inputs.push_back(i < seeds.size() && (given >> i & 1) != 0 ? lab.plain(seeds[i]) : Held{});
  std::vector<Signature> outputs;
  for (const Tensor& operand : in) outputs.push_back(operand.shape);
  std::vector<Tensor> results;
  for (const Held& held : lab.run(Kind::recurrent_grad, at.attributes(), inputs, outputs))
    results.push_back(lab.take(held));
  return results;
}

std::vector<Tensor> recurrent_seeds(Random& random, const RecurrentCase& at) {
  std::vector<Tensor> seeds{random_tensor(random, at.y()), random_tensor(random, at.state())};
  if (at.cell == Cell::lstm) seeds.push_back(random_tensor(random, at.state()));
  return seeds;
}

constexpr Cell kCells[] = {Cell::lstm, Cell::gru, Cell::gru_linear_before_reset, Cell::rnn};
constexpr Direction kDirections[] = {Direction::forward, Direction::reverse, Direction::bidirectional};

template <typename Visit>
void each_recurrent(std::int64_t n, std::int64_t t, std::int64_t inputs, std::int64_t hidden,
                    const Whole& lengths, const Visit& visit) {
  for (const Cell cell : kCells)
    for (const Direction direction : kDirections)
      for (const bool bias : {false, true})
        for (const bool states : {false, true})
          for (const bool some : {false, true})
            visit(
                RecurrentCase{n, t, inputs, hidden, cell, direction, bias, states, some ? lengths : Whole{}});
}

TEST_CASE("recurrent cells and their gradients agree with plain loops", "[recurrent][lanes]") {
  Random random(1);
  const auto check_case = [&](const RecurrentCase& at) {
    INFO(at.text());
    const std::vector<Tensor> in = recurrent_operands(random, at), seeds = recurrent_seeds(random, at);
    agree([&](Lab& lab) {
      const std::vector<Held> made = recurrent(lab, at, in);
      std::vector<Tensor> results = results_of(lab, made);
      for (const Tensor& one : recurrent_back(lab, at, in, made, seeds)) results.push_back(one);
      return results;
    });
    agree([&](Lab& lab) { return results_of(lab, recurrent(lab, at, in, false)); });
  };
  each_recurrent(3, 5, 4, 6, {5, 0, 2}, check_case);
  each_recurrent(1, 1, 1, 1, {1}, check_case);
  each_recurrent(2, 7, 3, 16, {7, 6}, check_case);
  each_recurrent(2, 3, 17, 9, {0, 0}, check_case);
  check_case({9, 12, 20, 33, Cell::lstm, Direction::bidirectional, true, false, {}});
  check_case({9, 12, 20, 33, Cell::gru_linear_before_reset, Direction::bidirectional, true, false, {}});
  check_case({16, 4, 32, 64, Cell::lstm, Direction::bidirectional, true, true, {}});
}

TEST_CASE("recurrent cells take gradients of some results alone", "[recurrent][lanes]") {
  Random random(2);
  for (const Cell cell : kCells)
    for (const std::uint32_t given : {1u, 2u, 4u, 5u})
      for (const Whole& lengths : {Whole{}, Whole{2, 4}}) {
        const RecurrentCase at{2, 4, 3, 5, cell, Direction::bidirectional, true, false, lengths};
        INFO(at.text() << " given " << given);
        const std::vector<Tensor> in = recurrent_operands(random, at), seeds = recurrent_seeds(random, at);
        agree([&](Lab& lab) { return recurrent_back(lab, at, in, recurrent(lab, at, in), seeds, given); });
      }
}

TEST_CASE("the gradients of recurrent cells are their slopes", "[recurrent][lanes]") {
  Random random(3);
  const auto check_case = [&](const RecurrentCase& at) {
    INFO(at.text());
    const std::vector<Tensor> in = recurrent_operands(random, at), seeds = recurrent_seeds(random, at);
    Lab lab = Lab::reference();
    require_slopes(
        [&](const std::vector<Tensor>& operands) {
          return weighted_sum(results_of(lab, recurrent(lab, at, operands)), seeds);
        },
        in, recurrent_back(lab, at, in, recurrent(lab, at, in), seeds));
  };
  each_recurrent(2, 3, 2, 2, {3, 1}, check_case);
}

/// 0.6 sin(first + 0.7 i): numbers that any program can make.
Tensor wave(const Shape& shape, double first) {
  Tensor tensor{shape, {}};
  for (std::int64_t i = 0; i < shape.elements(); ++i)
    tensor.values.push_back(static_cast<float>(0.6 * std::sin(first + 0.7 * static_cast<double>(i))));
  return tensor;
}

struct KnownCase {
  Cell cell;
  std::vector<std::vector<double>> results;  // y, h, c
};

// Computed by onnxruntime 1.32 (operators of opset 14) and, but for the cell gru, which it does not have, by
// PyTorch 2.15 with the gates in its order; the two agree to 2e-7.
const KnownCase kKnown[] = {
    {Cell::lstm,
     {{-0.162169, -0.221718, 0.050270,  -0.279853, -0.344402, -0.445112, -0.000420, -0.262115,
       -0.437154, -0.407146, -0.073079, -0.317530, -0.057401, -0.286358, -0.218498, -0.354989,
       -0.315790, -0.390109, -0.207037, -0.330569, 0,         0,         0,         0},
      {-0.437154, -0.407146, -0.315790, -0.390109, 0.050270, -0.279853, -0.218498, -0.354989},
      {-0.615081, -0.553552, -0.439361, -0.547945, 0.090702, -0.435721, -0.811199, -0.516048}}},
    {Cell::gru,
     {{0.387275, 0.571763, -0.306145, -0.517394, 0.381749, 0.617330, -0.226215, -0.488523,
       0.399223, 0.521353, -0.268714, -0.439114, 0.524284, 0.077264, -0.785870, -0.456874,
       0.508885, 0.147337, -0.675685, -0.476880, 0,        0,        0,         0},
      {0.399223, 0.521353, 0.508885, 0.147337, -0.306145, -0.517394, -0.785870, -0.456874}}},
    {Cell::gru_linear_before_reset,
     {{0.291816, 0.488790,  -0.292491, -0.384168, 0.234405, 0.494659,  -0.217641, -0.376316,
       0.229141, 0.314330,  -0.272417, -0.365939, 0.416698, -0.006785, -0.794872, -0.355476,
       0.360335, -0.019602, -0.682972, -0.417282, 0,        0,         0,         0},
      {0.229141, 0.314330, 0.360335, -0.019602, -0.292491, -0.384168, -0.794872, -0.355476}}},
    {Cell::rnn,
     {{0.876564, 0.908716, -0.453149, -0.440663, 0.939235, 0.982314, -0.507821, -0.781800,
       0.879323, 0.948645, -0.354288, -0.500733, 0.628453, 0.646861, -0.419465, 0.090616,
       0.848133, 0.877092, -0.482470, -0.163087, 0,        0,        0,         0},
      {0.879323, 0.948645, 0.848133, 0.877092, -0.453149, -0.440663, -0.419465, 0.090616}}},
};

TEST_CASE("recurrent cells give the numbers of other programs", "[recurrent][lanes]") {
  for (const KnownCase& known : kKnown) {
    const RecurrentCase at{2, 3, 2, 2, known.cell, Direction::bidirectional, true, true, {3, 2}};
    INFO(at.text());
    std::vector<Tensor> in{wave(at.x(), 0.1), wave(at.w(), 0.2), wave(at.r(), 0.3), wave(at.b(), 0.4),
                           wave(at.state(), 0.5)};
    if (known.cell == Cell::lstm) in.push_back(wave(at.state(), 0.6));
    for (const bool fast : {false, true}) {
      Lab lab = fast ? Lab::cpu() : Lab::reference();
      const std::vector<Tensor> made = results_of(lab, recurrent(lab, at, in));
      REQUIRE(made.size() == known.results.size());
      for (std::size_t i = 0; i < made.size(); ++i)
        require_close(made[i], {made[i].shape, known.results[i]}, 2e-6);
    }
  }
}

TEST_CASE("behind its length a sequence gives 0, and its state stays", "[recurrent][lanes]") {
  Random random(4);
  for (const Cell cell : kCells) {
    const RecurrentCase full{1, 3, 2, 4, cell, Direction::bidirectional, true, true, {}};
    RecurrentCase padded = full;
    padded.t = 5;
    padded.lengths = {3};
    const std::vector<Tensor> in = recurrent_operands(random, full);
    std::vector<Tensor> longer = in;
    longer[0] = random_tensor(random, padded.x());
    std::copy(in[0].values.begin(), in[0].values.end(), longer[0].values.begin());
    Lab lab = Lab::cpu();
    std::vector<Tensor> expected = results_of(lab, recurrent(lab, full, in));
    expected[0].shape = padded.y();
    expected[0].values.resize(static_cast<std::size_t>(padded.y().elements()), 0.0);
    const std::vector<Tensor> made = results_of(lab, recurrent(lab, padded, longer));
    for (std::size_t i = 0; i < made.size(); ++i) require_close(made[i], expected[i], 1e-6);
  }
}

struct AttentionCase {
  std::int64_t n = 1, heads = 1, queries = 1, keys = 1, depth = 1, width = 1;
  Shape mask;  // of rank 0: none
  Shape q() const { return {n, heads, queries, depth}; }
  Shape k() const { return {n, heads, keys, depth}; }
  Shape v() const { return {n, heads, keys, width}; }
  Shape y() const { return {n, heads, queries, width}; }
  Attributes attributes() const { return {.alpha = 1 / std::sqrt(static_cast<double>(depth))}; }
};

const AttentionCase kAttentions[] = {
    {},
    {2, 3, 5, 7, 4, 6, {}},
    {1, 2, 128, 128, 16, 16, {}},
    {2, 2, 33, 70, 64, 64, {2, 1, 1, 70}},
    {2, 3, 5, 7, 4, 6, {5, 7}},
    {2, 3, 5, 7, 4, 6, {2, 3, 5, 7}},
    {2, 3, 5, 7, 4, 6, {3, 1, 7}},
    {2, 3, 5, 7, 4, 6, {1, 1, 5, 1}},
    {1, 1, 200, 300, 8, 24, {}},
    {3, 1, 1, 64, 32, 32, {}},
};

/// Some scores are minus infinity, as a mask of padding makes them; the rows of query 0 wholly when `wholly`.
Tensor attention_mask(Random& random, const AttentionCase& at, bool wholly) {
  Tensor mask = random_tensor(random, at.mask);
  const auto columns = static_cast<std::size_t>(at.mask[at.mask.rank() - 1]);
  for (std::size_t i = 0; i < mask.values.size(); ++i)
    if (i % 5 == 3 || (wholly && i < columns)) mask.values[i] = -INFINITY;
  return mask;
}

std::vector<Held> attend(Lab& lab, const AttentionCase& at, const std::vector<Tensor>& in) {
  std::vector<Held> inputs;
  for (const Tensor& operand : in) inputs.push_back(lab.plain(operand));
  return lab.run(Kind::attention, at.attributes(), inputs, {at.y(), {{at.n, at.heads, at.queries}}});
}

std::vector<Tensor> attend_and_back(Lab& lab, const AttentionCase& at, const std::vector<Tensor>& in,
                                    const Tensor& dy) {
  const std::vector<Held> made = attend(lab, at, in);
  std::vector<Held> inputs{
      lab.plain(in[0]), lab.plain(in[1]), lab.plain(in[2]), in.size() > 3 ? lab.plain(in[3]) : Held{},
      made[0],          made[1],          lab.plain(dy)};
  std::vector<Tensor> results{lab.take(made[0])};
  for (const Held& held : lab.run(Kind::attention_grad, at.attributes(), inputs, {at.q(), at.k(), at.v()}))
    results.push_back(lab.take(held));
  return results;
}

std::vector<Tensor> attention_operands(Random& random, const AttentionCase& at, bool wholly = false) {
  std::vector<Tensor> in{random_tensor(random, at.q(), -2, 2), random_tensor(random, at.k(), -2, 2),
                         random_tensor(random, at.v())};
  if (at.mask.rank() > 0) in.push_back(attention_mask(random, at, wholly));
  return in;
}

TEST_CASE("attention and its gradient agree with plain loops, masked or not", "[attention][lanes]") {
  Random random(5);
  for (const AttentionCase& at : kAttentions)
    for (const bool wholly : {false, true}) {
      if (wholly && at.mask.rank() == 0) continue;
      INFO("q " << at.q().text() << " k " << at.k().text() << " mask " << at.mask.text());
      const std::vector<Tensor> in = attention_operands(random, at, wholly);
      const Tensor dy = random_tensor(random, at.y());
      agree([&](Lab& lab) { return attend_and_back(lab, at, in, dy); });
    }
}

TEST_CASE("attention stands scores that overflow an exponential", "[attention]") {
  Random random(6);
  const AttentionCase at{1, 2, 6, 9, 4, 5, {}};
  std::vector<Tensor> in = attention_operands(random, at);
  for (double& value : in[0].values) value *= 64;
  const Tensor dy = random_tensor(random, at.y());
  agree([&](Lab& lab) { return attend_and_back(lab, at, in, dy); }, 1e-4);
}

TEST_CASE("the gradients of attention are its slopes", "[attention]") {
  Random random(7);
  for (const AttentionCase& at :
       {AttentionCase{2, 2, 3, 4, 2, 3, {}}, AttentionCase{1, 2, 3, 4, 2, 2, {3, 4}}}) {
    const std::vector<Tensor> in = attention_operands(random, at);
    const Tensor dy = random_tensor(random, at.y());
    Lab lab = Lab::reference();
    std::vector<Tensor> gradients = attend_and_back(lab, at, in, dy);
    gradients.erase(gradients.begin());
    require_slopes(
        [&](const std::vector<Tensor>& operands) {
          return weighted_sum({lab.take(attend(lab, at, operands)[0])}, {dy});
        },
        in, gradients);
  }
}

struct BagCase {
  std::int64_t rows = 1, width = 1;
  Whole ids, offsets;
  Shape table() const { return {rows, width}; }
  Shape y() const { return {static_cast<std::int64_t>(offsets.size()), width}; }
};

const BagCase kBags[] = {
    {1, 1, {0}, {0}},
    {5, 3, {0, 4, 4, 2}, {0, 1, 1}},
    {7, 16, {6, -1, 0, 3, 3, 3, -1}, {0, 2, 6}},
    {4, 33, {}, {0, 0}},
    {3, 20, {-1, -1, 2}, {0, 2}},
    {50, 64, {7, 7, 7, 7, 49, 0, 12, 31, 7, 4, 5, 6}, {0, 4, 4, 9}},
};

std::vector<Tensor> bag_and_back(Lab& lab, const BagCase& at, Reduction reduction, const Tensor& table,
                                 const Tensor& dy) {
  const Attributes attributes{.reduction = reduction};
  const Held ids = held_whole(lab, at.ids), offsets = held_whole(lab, at.offsets);
  const Held y = lab.run(Kind::embedding_bag, attributes, {lab.plain(table), ids, offsets}, {at.y()})[0];
  const Held back =
      lab.run(Kind::embedding_bag_grad, attributes, {lab.plain(dy), ids, offsets}, {at.table()})[0];
  return {lab.take(y), lab.take(back)};
}

TEST_CASE("bags of embeddings and their gradients agree with plain loops, empty and padded ones too",
          "[embedding_bag]") {
  Random random(8);
  for (const BagCase& at : kBags)
    for (const Reduction reduction : {Reduction::sum, Reduction::mean}) {
      INFO(at.table().text() << " ids " << at.ids.size());
      const Tensor table = random_tensor(random, at.table()), dy = random_tensor(random, at.y());
      agree([&](Lab& lab) { return bag_and_back(lab, at, reduction, table, dy); });
    }
}

TEST_CASE("the gradients of bags are their slopes", "[embedding_bag]") {
  Random random(9);
  for (const Reduction reduction : {Reduction::sum, Reduction::mean}) {
    const BagCase& at = kBags[2];
    const Tensor table = random_tensor(random, at.table()), dy = random_tensor(random, at.y());
    Lab lab = Lab::reference();
    require_slopes(
        [&](const std::vector<Tensor>& in) {
          return weighted_sum({bag_and_back(lab, at, reduction, in[0], dy)[0]}, {dy});
        },
        {table}, {bag_and_back(lab, at, reduction, table, dy)[1]});
  }
}

}  // namespace
}  // namespace trainyard::ops
