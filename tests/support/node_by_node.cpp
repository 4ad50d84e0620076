#include "tests/support/node_by_node.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>

#include "common/graph/program.hpp"

namespace trainyard::graph::test {
namespace {

/// A value as it lies in memory of its own.
struct Alone {
  Signature of;
  ops::LayoutPtr layout;
  std::shared_ptr<tensor::Buffer> bytes;
};

class Evaluation {
 public:
  Evaluation(const Graph& graph, std::uint32_t batch, const ops::Backend& backend, const Given& given)
      : graph_(graph), backend_(backend), values_(graph.values.size()) {
    for (ValueId id = 0; id < values_.size(); ++id) {
      values_[id].of = graph.signature(id).with_batch(batch);
      give(id, given);
    }
  }

  Left run(std::size_t parameters) {
    for (const Node& node : graph_.nodes) evaluate(node);
    Left left;
    left.gradients.assign(parameters, NAN);
    for (ValueId id = 0; id < values_.size(); ++id) {
      if (graph_.values[id].place != Place::gradient || !values_[id].bytes) continue;
      std::memcpy(left.gradients.data() + graph_.values[id].offset, values_[id].bytes->data(),
                  values_[id].layout->bytes);
    }
    for (const ValueId id : graph_.results) {
      const Alone plain = row_major(values_[id]);
      const std::byte* const from = plain.bytes->data();
      left.results.emplace_back(from, from + plain.layout->bytes);
    }
    return left;
  }

 private:
  Alone made(const Signature& of, ops::LayoutPtr layout) const {
    auto bytes = std::make_shared<tensor::Buffer>(std::max<std::size_t>(layout->bytes, 1));
    std::memset(bytes->data(), 0xff, bytes->size());
    return {of, std::move(layout), std::move(bytes)};
  }

  void give(ValueId id, const Given& given) {
    const Value& value = graph_.values[id];
    const Signature of = values_[id].of;
    const void* from = nullptr;
    switch (value.place) {
      case Place::parameter:
        from = given.parameters.data() + value.offset;
        break;
      case Place::constant:
        from = graph_.constants[value.offset].bytes.data();
        break;
      case Place::external:
        from = given.externals[value.offset].data();
        break;
      default:
        return;
    }
    const std::size_t raw = value.place == Place::external ? graph_.externals[value.offset].bytes : 0;
    values_[id] = made(of, raw > 0 ? backend_.raw(raw) : backend_.plain(of.shape, of.type));
    std::memcpy(values_[id].bytes->data(), from, values_[id].layout->bytes);
  }

  std::vector<Alone> compute(const Node& node, const std::vector<const Alone*>& inputs,
                             const std::vector<Signature>& outputs) const {
    ops::Operation operation{node.kind, node.attributes, {}, outputs};
    std::vector<void*> from, to;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const Alone* const input = inputs[i];
      if (input == nullptr) {
        operation.inputs.emplace_back();
        from.push_back(nullptr);
        continue;
      }
      const ValueId id = i < node.inputs.size() ? node.inputs[i] : kAbsent;
      const bool constant = id != kAbsent && graph_.values[id].place == Place::constant;
      operation.inputs.push_back(
          {input->of.shape, input->layout, input->of.type, constant ? input->bytes->data() : nullptr});
      from.push_back(input->bytes->data());
    }
    auto kernel = backend_.prepare(operation);
    if (!kernel) FAIL(kernel.error().message);
    std::vector<Alone> results;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      results.push_back(made(outputs[i], (*kernel)->outputs()[i]));
      to.push_back(results.back().bytes->data());
    }
    tensor::Buffer scratch((*kernel)->scratch_bytes());
    (*kernel)->run(from, to, scratch.data());
    return results;
  }

  Alone row_major(const Alone& value) const {
    if (value.layout->same(*backend_.plain(value.of.shape, value.of.type))) return value;
    Node node{Kind::reshape, {}, {}, {}, 0};
    node.attributes.dims = value.of.shape.dims();
    return compute(node, {&value}, {value.of})[0];
  }

  void evaluate(const Node& node) {
    std::vector<const Alone*> inputs;
    for (const ValueId id : node.inputs) inputs.push_back(id == kAbsent ? nullptr : &values_[id]);
    std::vector<Signature> outputs;
    for (const ValueId id : node.outputs) outputs.push_back(values_[id].of);
    std::vector<Alone> results = compute(node, inputs, outputs);
    for (std::size_t i = 0; i < results.size(); ++i) {
      const bool arena = graph_.values[node.outputs[i]].place == Place::arena;
      values_[node.outputs[i]] = arena || outputs[i].opaque ? std::move(results[i]) : row_major(results[i]);
    }
  }

  const Graph& graph_;
  const ops::Backend& backend_;
  std::vector<Alone> values_;
};

}  // namespace

Left run_node_by_node(const Graph& graph, std::uint32_t batch, const ops::Backend& backend, Given& given) {
  return Evaluation(graph, batch, backend, given).run(given.parameters.size());
}

Left run_program(const Graph& graph, std::uint32_t batch, const ops::Backend& backend, Given& given,
                 unsigned char poison) {
  auto program = Program::bind(graph, batch, backend);
  if (!program) FAIL(program.error().message);
  Left left;
  left.gradients.assign(given.parameters.size(), NAN);
  tensor::Buffer arena((*program)->arena_bytes());
  if (arena.size() > 0) std::memset(arena.data(), poison, arena.size());
  std::vector<void*> externals;
  for (auto& bytes : given.externals) externals.push_back(bytes.data());
  const Memory memory{arena.data(), given.parameters.data(), left.gradients.data(), externals};
  (*program)->run(memory);
  for (std::size_t i = 0; i < graph.results.size(); ++i) {
    const Signature of = graph.signature(graph.results[i]).with_batch(batch);
    const auto* const from = static_cast<const std::byte*>((*program)->result(memory, i));
    left.results.emplace_back(from, from + backend.plain(of.shape, of.type)->bytes);
  }
  return left;
}

bool same_bits(const Left& a, const Left& b) {
  return a.results == b.results && a.gradients.size() == b.gradients.size() &&
         std::memcmp(a.gradients.data(), b.gradients.data(), a.gradients.size() * sizeof(float)) == 0;
}

}  // namespace trainyard::graph::test
