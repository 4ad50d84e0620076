// Recurrent layers, which the file has time first, and attention.
#include "common/graph/onnx/writer.hpp"

namespace trainyard::graph::onnx_file {
namespace {

void recurrent(Writer& w, const Node& at) {
  const Attributes& a = at.attributes;
  const Shape &y = w.shape(at.outputs[0]), &state = w.shape(at.outputs[1]);
  const bool lstm = a.cell == ops::Cell::lstm;
  std::vector<std::string> inputs{w.transpose(w.name(at.inputs[0]), {1, 0, 2})};
  for (std::size_t i = 1; i < at.inputs.size() && i < (lstm ? 7u : 6u); ++i)
    inputs.push_back(w.name(at.inputs[i]));
  const std::string sequence = w.fresh();
  std::vector<std::string> outputs{sequence};
  for (std::size_t i = 1; i + 1 < at.outputs.size(); ++i) outputs.push_back(w.name(at.outputs[i]));
  auto& node = w.node(lstm ? "LSTM" : a.cell == ops::Cell::rnn ? "RNN" : "GRU", inputs, outputs);
  Writer::set(node, "hidden_size", state[2]);
  if (a.direction != ops::Direction::forward)
    Writer::set(node, "direction",
                std::string(a.direction == ops::Direction::reverse ? "reverse" : "bidirectional"));
  if (a.cell == ops::Cell::gru_linear_before_reset) Writer::set(node, "linear_before_reset", std::int64_t{1});
  w.reshape(w.transpose(sequence, {2, 0, 1, 3}), y.dims(), w.name(at.outputs[0]));
}

/// softmax(alpha q k' + mask) v.
Status attention(Writer& w, const Node& at) {
  if (w.uses(at.outputs[1]) > 0) return Error{Errc::refused, "its logarithms of sums have no counterpart"};
  const std::string turned = w.transpose(w.name(at.inputs[1]), {0, 1, 3, 2});
  std::string scores = w.apply("MatMul", {w.name(at.inputs[0]), turned});
  scores = w.apply("Mul", {scores, w.number(at.attributes.alpha)});
  if (at.inputs.size() > 3 && at.inputs[3] != kAbsent)
    scores = w.apply("Add", {scores, w.name(at.inputs[3])});
  const std::string weights = w.fresh();
  Writer::set(w.node("Softmax", {scores}, {weights}), "axis", std::int64_t{-1});
  w.make("MatMul", {weights, w.name(at.inputs[2])}, at.outputs[0]);
  return {};
}

}  // namespace

Result<bool> write_sequence(Writer& w, const Node& at) {
  switch (at.kind) {
    case Kind::recurrent:
      recurrent(w, at);
      return true;
    case Kind::attention:
      if (const Status done = attention(w, at); !done) return done.error();
      return true;
    default:
      return false;
  }
}

}  // namespace trainyard::graph::onnx_file
