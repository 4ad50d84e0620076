#include "common/graph/onnx/fold.hpp"

#include <algorithm>
#include <cstring>

#include "common/graph/program.hpp"

namespace trainyard::graph::onnx_file {
namespace {

constexpr std::uint64_t node_bytes_max = std::uint64_t{64} << 20;

bool can_fold(const std::vector<TermPtr>& operands) {
  bool any = false;
  for (const TermPtr& term : operands) {
    if (!term) continue;
    if (!term->known()) return false;
    // A tensor of the file that others use too is a weight that is tied: it stays one.
    if (term->stored != nullptr && term->of.type == DType::f32 && term->uses > 1 &&
        term->of.shape.elements() > 1)
      return false;
    any = true;
  }
  return any;
}

/// Time in proportion to operands and results.
bool cheap(Kind kind) {
  switch (kind) {
    case Kind::unary:
    case Kind::binary:
    case Kind::where:
    case Kind::cast:
    case Kind::reduce:
    case Kind::arg_extreme:
    case Kind::top_k:
    case Kind::cumulative_sum:
    case Kind::reshape:
    case Kind::transpose:
    case Kind::slice:
    case Kind::concat:
    case Kind::pad:
    case Kind::gather:
    case Kind::gather_elements:
    case Kind::scatter_elements:
    case Kind::expand:
    case Kind::one_hot:
      return true;
    default:
      return false;
  }
}

std::uint64_t bytes_of(const Signature& of) {
  return static_cast<std::uint64_t>(of.shape.elements()) * tensor::size_of(of.type);
}

}  // namespace

Result<std::optional<std::vector<TermPtr>>> Folding::fold(const Operator& op, const onnx::NodeProto& node,
                                                          int version, const std::vector<TermPtr>& operands,
                                                          const std::vector<bool>& used) {
  using Folded = std::optional<std::vector<TermPtr>>;
  if (!can_fold(operands)) return Folded{};
  Scope scope(1, folder_, true);
  std::vector<TermPtr> copies;
  std::uint64_t in = 0;
  for (const TermPtr& term : operands) {
    copies.push_back(term ? std::make_shared<Term>(*term) : nullptr);
    if (!term) continue;
    copies.back()->value = kAbsent;
    in += bytes_of(term->of);
  }
  Call call(scope, node, version, copies, used);
  op.read(call);
  auto results = call.finish();
  if (!results) return results.error();
  std::vector<TermPtr> computed;
  for (TermPtr& result : *results) {
    if (!result) continue;
    const auto copy = std::find(copies.begin(), copies.end(), result);
    if (copy != copies.end()) {
      result = operands[static_cast<std::size_t>(copy - copies.begin())];
    } else if (result->value != kAbsent) {
      computed.push_back(result);
    }
  }
  if (computed.empty()) return Folded(std::move(*results));

  std::vector<ValueId> ids;
  for (const TermPtr& term : computed) ids.push_back(term->value);
  const Model model = std::move(scope).finish(std::move(ids));
  std::uint64_t bytes = 0;
  for (const Node& made : model.graph.nodes) {
    if (!cheap(made.kind)) return Folded{};
    for (const ValueId id : made.outputs) bytes += bytes_of(model.graph.signature(id));
  }
  if (bytes > std::max(node_bytes_max, 2 * in) || bytes > budget_) return Folded{};
  const auto backend = ops::reference_backend<float>();
  const auto program = Program::bind(model.graph, 1, *backend);
  if (!program) return Folded{};
  budget_ -= bytes;
  tensor::Buffer arena((*program)->arena_bytes());
  const Memory memory{arena.data(), nullptr, nullptr, {}};
  (*program)->run(memory);
  for (std::size_t i = 0; i < computed.size(); ++i) {
    Term& term = *computed[i];
    Constant constant{term.of, std::vector<std::byte>(bytes_of(term.of))};
    if (!constant.bytes.empty())
      std::memcpy(constant.bytes.data(), (*program)->result(memory, i), constant.bytes.size());
    term.constant = std::make_shared<const Constant>(std::move(constant));
    term.value = kAbsent;
    term.literal = std::ranges::all_of(
        operands, [](const TermPtr& one) { return !one || one->literal || one->of.type != DType::f32; });
  }
  return Folded(std::move(*results));
}

}  // namespace trainyard::graph::onnx_file
