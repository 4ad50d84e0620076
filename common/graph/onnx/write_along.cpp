// Reductions, softmax, extremes and sums along axes.
#include "common/graph/onnx/writer.hpp"

namespace trainyard::graph::onnx_file {
namespace {

using ops::Reduction;

const char* name_of_reduction(Reduction reduction) {
  switch (reduction) {
    case Reduction::sum:
      return "ReduceSum";
    case Reduction::mean:
      return "ReduceMean";
    case Reduction::maximum:
      return "ReduceMax";
    case Reduction::minimum:
      return "ReduceMin";
    case Reduction::product:
      return "ReduceProd";
    case Reduction::l1:
      return "ReduceL1";
    case Reduction::l2:
      return "ReduceL2";
    case Reduction::log_sum:
      return "ReduceLogSum";
    case Reduction::log_sum_exp:
      return "ReduceLogSumExp";
    case Reduction::sum_square:
      return "ReduceSumSquare";
  }
  return "ReduceSum";
}

void reduce(Writer& w, const Node& at) {
  const Attributes& a = at.attributes;
  std::vector<std::string> inputs{w.as_bytes(at.inputs[0])};
  const bool sum = a.reduction == Reduction::sum;  // the one whose axes are an input in operator set 17
  if (sum && !a.axes.empty()) inputs.push_back(w.integers(a.axes));
  auto& node = w.make(name_of_reduction(a.reduction), inputs, at.outputs[0]);
  if (!sum && !a.axes.empty()) Writer::set(node, "axes", a.axes);
  Writer::set(node, "keepdims", std::int64_t{a.keep_dims});
}

void arg_extreme(Writer& w, const Node& at) {
  auto& node = w.make(at.attributes.largest ? "ArgMax" : "ArgMin", {w.as_bytes(at.inputs[0])}, at.outputs[0]);
  Writer::set(node, "axis", at.attributes.axis);
  Writer::set(node, "keepdims", std::int64_t{at.attributes.keep_dims});
}

void top_k(Writer& w, const Node& at) {
  const std::string x = w.as_bytes(at.inputs[0]), k = w.integers({at.attributes.size});
  auto& node = w.node("TopK", {x, k}, {w.name(at.outputs[0]), w.name(at.outputs[1])});
  Writer::set(node, "axis", at.attributes.axis);
  Writer::set(node, "largest", std::int64_t{at.attributes.largest});
}

void cumulative_sum(Writer& w, const Node& at) {
  const std::string axis = w.number(static_cast<double>(at.attributes.axis), DType::i64);
  auto& node = w.make("CumSum", {w.name(at.inputs[0]), axis}, at.outputs[0]);
  Writer::set(node, "exclusive", std::int64_t{at.attributes.exclusive});
  Writer::set(node, "reverse", std::int64_t{at.attributes.reverse});
}

}  // namespace

Result<bool> write_along(Writer& w, const Node& at) {
  switch (at.kind) {
    case Kind::reduce:
      reduce(w, at);
      return true;
    case Kind::arg_extreme:
      arg_extreme(w, at);
      return true;
    case Kind::top_k:
      top_k(w, at);
      return true;
    case Kind::cumulative_sum:
      cumulative_sum(w, at);
      return true;
    case Kind::softmax:
    case Kind::log_softmax:
      Writer::set(
          w.make(at.kind == Kind::softmax ? "Softmax" : "LogSoftmax", {w.name(at.inputs[0])}, at.outputs[0]),
          "axis", at.attributes.axis);
      return true;
    default:
      return false;
  }
}

}  // namespace trainyard::graph::onnx_file
