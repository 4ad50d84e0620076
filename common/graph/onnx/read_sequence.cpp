// Recurrent layers. The file has them time first, the graph batch first.
#include <algorithm>

#include "common/graph/onnx/operators.hpp"

namespace trainyard::graph::onnx_file {
namespace {

using ops::Cell;
using ops::Direction;

Direction direction_of(Call& c) {
  const std::string word = c.word("direction", "forward");
  if (word == "reverse") return Direction::reverse;
  if (word == "bidirectional") return Direction::bidirectional;
  c.require(word == "forward", "direction is '{}'", shown(word));
  return Direction::forward;
}

/// Only the functions that a cell has by itself.
void usual_functions(Call& c, std::initializer_list<const char*> usual, std::size_t directions) {
  const auto words = c.word_list("activations");
  if (words.empty()) return;
  std::vector<std::string> all;
  for (std::size_t i = 0; i < directions; ++i) all.insert(all.end(), usual.begin(), usual.end());
  const auto same = [](const std::string& a, const std::string& b) {
    return a.size() == b.size() && starts_with_ignoring_case(a, b);
  };
  c.require(std::ranges::equal(words, all, same), "activations are '{}'; only '{}' are supported",
            shown(join(words, ", ")), join(all, ", "));
}

void recurrent(Call& c, Cell cell, std::initializer_list<const char*> functions) {
  Attributes a;
  a.cell = cell;
  a.direction = direction_of(c);
  const std::int64_t directions = a.direction == Direction::bidirectional ? 2 : 1;
  usual_functions(c, functions, static_cast<std::size_t>(directions));
  const bool batch_first = c.flag("layout", false);
  c.ignore("output_sequence");  // of operator sets before 7
  const Shape &shape = c.shape(0), &r = c.shape(2);
  if (!c.require(shape.rank() == 3 && r.rank() == 3 && c.shape(1).rank() == 3,
                 "of x {}, W {}, R {}; each needs three axes", shape.text(), c.shape(1).text(), r.text()))
    return;
  const std::int64_t hidden = r[2], time = shape[batch_first ? 1 : 0], batch = shape[batch_first ? 0 : 1];
  c.integer("hidden_size", hidden, hidden, hidden);
  if (!c.require(time >= 0, "of {}, where the number of steps is open", shape.text())) return;
  const ValueId x = c.transpose(
      c.value(0), batch_first ? std::vector<std::int64_t>{0, 1, 2} : std::vector<std::int64_t>{1, 0, 2});
  std::vector<ValueId> inputs{x, c.weight(1), c.weight(2), c.has(3) ? c.weight(3, TensorKind::bias) : kAbsent,
                              c.has(4) ? c.cast(c.value(4), DType::i32) : kAbsent};
  const std::vector<std::int64_t> swap{1, 0, 2};
  for (std::size_t i = 5; i <= (cell == Cell::lstm ? 6u : 5u); ++i) {
    ValueId state = kAbsent;
    if (c.has(i)) state = batch_first ? c.transpose(c.value(i), swap) : c.value(i);
    inputs.push_back(state);
  }
  if (cell == Cell::lstm) c.require(!c.has(7), "peepholes are not supported");
  const std::size_t results = cell == Cell::lstm ? 4 : 3;
  const auto y = c.add_all(Kind::recurrent, a, std::move(inputs), results);
  if (c.wants(0)) {
    const ValueId apart = c.reshape(y[0], {batch, time, directions, hidden});
    c.give(batch_first ? apart : c.transpose(apart, {1, 2, 0, 3}), 0);
  }
  for (std::size_t i = 1; i + 1 < results; ++i)
    if (c.wants(i)) c.give(batch_first ? c.transpose(y[i], swap) : y[i], i);
}

void lstm(Call& c) {
  c.integer("input_forget", 0, 0, 0);
  recurrent(c, Cell::lstm, {"Sigmoid", "Tanh", "Tanh"});
}

void gru(Call& c) {
  const bool before = c.flag("linear_before_reset", false);
  recurrent(c, before ? Cell::gru_linear_before_reset : Cell::gru, {"Sigmoid", "Tanh"});
}

void rnn(Call& c) { recurrent(c, Cell::rnn, {"Tanh"}); }

constexpr Operator operators[] = {
    {"LSTM", 7, lstm},
    {"GRU", 7, gru},
    {"RNN", 7, rnn},
};

}  // namespace

std::span<const Operator> sequence_operators() { return operators; }

}  // namespace trainyard::graph::onnx_file
