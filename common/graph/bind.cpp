// Binding: kernels are prepared in the order of the graph, each result's layout being known to its consumers;
// then values get their places.
#include <algorithm>
#include <cstring>

#include "common/base/text.hpp"
#include "common/graph/plan.hpp"
#include "common/graph/program.hpp"

namespace trainyard::graph {

using ops::LayoutPtr;

class Binder {
 public:
  Binder(const Graph& graph, std::uint32_t batch, const ops::Backend& backend)
      : graph_(graph), batch_(batch), backend_(backend), values_(graph.values.size()), program_(new Program) {
    program_->batch_ = batch;
    program_->real_bytes_ = backend.plain(Shape{1})->bytes;
    for (ValueId id = 0; id < graph.values.size(); ++id) {
      const Value& value = graph.values[id];
      Bound& bound = values_[id];
      bound.of = value.of.with_batch(batch);
      bound.place = value.place;
      bound.offset = value.offset;
      if (value.place != Place::arena) bound.layout = given_layout(value);
      bound.last = kNever;
    }
    for (std::size_t i = 0; i < graph.nodes.size(); ++i)
      for (const ValueId id : graph.nodes[i].inputs)
        if (id != kAbsent) values_[id].last = i;
    for (const ValueId id : graph.results) values_[id].last = graph.nodes.size();
  }

  Result<std::unique_ptr<Program>> run() {
    convert_constants();
    if (const Status done = move_constants(); !done) return done.error();
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i)
      if (const Status done = add(i); !done) return done.error();
    for (const ValueId id : graph_.results)
      if (const Status done = add_result(id); !done) return done.error();
    place();
    return std::move(program_);
  }

 private:
  static constexpr std::size_t kNever = SIZE_MAX;
  struct Bound {
    Signature of;
    Place place = Place::arena;
    std::uint64_t offset = 0;
    LayoutPtr layout;
    std::size_t first = kNever, last = kNever;  // nodes of the graph, of the value alone
    ValueId root = kAbsent;                     // whose bytes these are; kAbsent: its own
  };

  ValueId root(ValueId id) const { return values_[id].root == kAbsent ? id : values_[id].root; }

  LayoutPtr given_layout(const Value& value) const {
    if (value.place == Place::external && graph_.externals[value.offset].bytes > 0)
      return backend_.raw(graph_.externals[value.offset].bytes);
    return backend_.plain(value.of.shape.with_batch(batch_), value.of.type);
  }

  void convert_constants() {
    for (const Constant& constant : graph_.constants) {
      tensor::Buffer bytes(backend_.plain(constant.of.shape, constant.of.type)->bytes);
      if (constant.of.type == DType::f32 && program_->real_bytes_ == sizeof(double)) {
        const auto* from = reinterpret_cast<const float*>(constant.bytes.data());
        std::copy_n(from, constant.of.shape.elements(), reinterpret_cast<double*>(bytes.data()));
      } else if (!constant.bytes.empty()) {
        check(bytes.size() >= constant.bytes.size(), "a constant lies row major");
        std::memcpy(bytes.data(), constant.bytes.data(), constant.bytes.size());
      }
      program_->constants_.push_back(std::move(bytes));
    }
  }

  Status move_constants() {
    ops::Device* const device = backend_.device();
    if (device == nullptr) return {};
    for (const tensor::Buffer& constant : program_->constants_) {
      auto block = ops::Block::of_device(*device, constant.size());
      if (!block) return block.error();
      device->copy_in(block->data(), constant.data(), constant.size());
      program_->device_constants_.push_back(std::move(*block));
    }
    return device->wait();
  }

  ops::Operand operand(ValueId id) const {
    if (id == kAbsent) return {};
    check(values_[id].layout != nullptr, "a value is made before it is used");
    const bool constant = values_[id].place == Place::constant;
    return {values_[id].of.shape, values_[id].layout, values_[id].of.type,
            constant ? program_->constants_[values_[id].offset].data() : nullptr};
  }

  Result<std::unique_ptr<ops::Kernel>> prepare(const Node& node) const {
    ops::Operation operation{node.kind, node.attributes, {}, {}, {}};
    for (const ValueId id : node.inputs) operation.inputs.push_back(operand(id));
    for (const ValueId id : node.outputs) {
      operation.outputs.push_back(values_[id].of);
      operation.unread.push_back(values_[id].place == Place::arena && values_[id].last == kNever);
    }
    auto kernel = backend_.prepare(operation);
    if (!kernel) {
      const Origin& origin = graph_.origins[node.origin];
      return origin.place.empty() ? kernel.error() : kernel.error().with(origin.place);
    }
    check((*kernel)->outputs().size() == node.outputs.size(), "a kernel gives what its contract says");
    return kernel;
  }

  Status add(std::size_t index) {
    const Node& node = graph_.nodes[index];
    auto kernel = prepare(node);
    if (!kernel) return kernel.error();
    if ((*kernel)->view() && values_[node.outputs[0]].place == Place::arena) {
      view(node, **kernel, index);
      return {};
    }
    std::vector<ValueId> outputs = node.outputs;
    std::vector<std::pair<ValueId, ValueId>> moves;  // from where the kernel leaves it to where it belongs
    for (std::size_t k = 0; k < outputs.size(); ++k) {
      const ValueId id = outputs[k];
      const LayoutPtr& made = (*kernel)->outputs()[k];
      if (values_[id].place == Place::arena) {
        values_[id].layout = made;
        values_[id].first = index;
        if (values_[id].last == kNever) values_[id].last = index;
      } else if (!opaque(id) && !made->same(*values_[id].layout)) {
        outputs[k] = temporary(values_[id].of, made, index);
        moves.emplace_back(outputs[k], id);
      }
    }
    reuse(node, **kernel, outputs, index);
    append(std::move(*kernel), node, node.inputs, outputs, index);
    for (const auto& [from, to] : moves)
      if (const Status moved = arrange(from, to, node.origin, index); !moved) return moved;
    return {};
  }

  bool opaque(ValueId id) const { return values_[id].of.opaque; }

  void view(const Node& node, const ops::Kernel& kernel, std::size_t index) {
    const ValueId x = node.inputs[0], y = node.outputs[0];
    values_[y].layout = kernel.outputs()[0];
    values_[y].first = index;
    if (values_[y].last == kNever) values_[y].last = index;
    values_[y].root = root(x);
  }

  /// The first result lies over an operand that nobody needs afterwards.
  void reuse(const Node& node, const ops::Kernel& kernel, const std::vector<ValueId>& outputs,
             std::size_t index) {
    if (kernel.in_place() < 0) return;
    const ValueId x = node.inputs[static_cast<std::size_t>(kernel.in_place())], y = outputs[0];
    if (x == kAbsent || values_[y].place != Place::arena || values_[x].of.opaque) return;
    const ValueId owner = root(x);
    if (values_[owner].place != Place::arena || values_[x].layout->bytes < values_[y].layout->bytes) return;
    // Also when another operand of this node is a view of the same bytes, the kernel may not write over it.
    std::size_t operands = 0;
    for (const ValueId id : node.inputs)
      if (id != kAbsent && root(id) == owner) ++operands;
    if (operands != 1) return;
    for (ValueId id = 0; id < values_.size(); ++id)
      if (root(id) == owner && values_[id].first != kNever && values_[id].last > index) return;
    values_[y].root = owner;
  }

  ValueId temporary(const Signature& of, LayoutPtr layout, std::size_t index) {
    Bound bound;
    bound.of = of;
    bound.layout = std::move(layout);
    bound.first = bound.last = index;
    values_.push_back(std::move(bound));
    return static_cast<ValueId>(values_.size() - 1);
  }

  /// Copies `from` to `to` in the layout of `to`.
  Status arrange(ValueId from, ValueId to, std::uint32_t origin, std::size_t index) {
    Node node{Kind::unary, {}, {from}, {to}, origin};
    node.kind = Kind::reshape;
    node.attributes.dims = values_[to].of.shape.dims();
    auto kernel = prepare(node);
    if (!kernel) return kernel.error();
    check((*kernel)->outputs()[0]->same(*values_[to].layout), "a reshape gives row-major values");
    append(std::move(*kernel), node, node.inputs, node.outputs, index);
    return {};
  }

  Status add_result(ValueId id) {
    const LayoutPtr plain = backend_.plain(values_[id].of.shape, values_[id].of.type);
    const std::size_t end = graph_.nodes.size();
    if (values_[id].layout->same(*plain)) {
      program_->results_.push_back(id);
      return {};
    }
    const ValueId copy = temporary(values_[id].of, plain, end);
    program_->results_.push_back(copy);
    return arrange(id, copy, 0, end);
  }

  void append(std::unique_ptr<ops::Kernel> kernel, const Node& node, const std::vector<ValueId>& inputs,
              const std::vector<ValueId>& outputs, std::size_t index) {
    Program::Run run{std::move(kernel), inputs, outputs, 0, {}, {}, {}};
    run.input_at.resize(inputs.size());
    run.output_at.resize(outputs.size());
    Program::Step step{node.kind, node.attributes, node.origin, {}, {}, {}, {}};
    for (const ValueId id : inputs) {
      step.inputs.push_back(id == kAbsent ? Signature::opaque_bytes() : values_[id].of);
      step.input_bytes.push_back(id == kAbsent ? 0 : values_[id].layout->bytes);
    }
    for (const ValueId id : outputs) {
      const Bound& bound = values_[id];
      step.outputs.push_back(bound.of);
      step.output_bytes.push_back(bound.layout->bytes);
      if (bound.place == Place::gradient)
        run.gradients.emplace_back(bound.offset, static_cast<std::uint64_t>(bound.of.shape.elements()));
    }
    at_.push_back(index);
    program_->runs_.push_back(std::move(run));
    program_->steps_.push_back(std::move(step));
  }

  void place() {
    std::vector<Life> lives;
    std::vector<ValueId> owners;
    std::vector<std::size_t> life_of(values_.size(), kNever);
    for (ValueId id = 0; id < values_.size(); ++id) {
      const Bound& bound = values_[id];
      if (bound.place != Place::arena || bound.first == kNever || bound.root != kAbsent) continue;
      life_of[id] = lives.size();
      owners.push_back(id);
      lives.push_back({bound.layout->bytes, bound.first, bound.last});
    }
    for (ValueId id = 0; id < values_.size(); ++id) {
      const ValueId owner = root(id);
      if (owner == id || life_of[owner] == kNever) continue;
      Life& life = lives[life_of[owner]];
      life.last = std::max(life.last, values_[id].last);
    }
    for (std::size_t i = 0; i < program_->runs_.size(); ++i)
      lives.push_back({program_->runs_[i].kernel->scratch_bytes(), at_[i], at_[i]});
    const Plan plan = plan_memory(lives);
    program_->arena_bytes_ = plan.bytes;
    program_->live_bytes_ = live_bytes_max(lives);
    for (ValueId id = 0; id < values_.size(); ++id) {
      const Bound& owner = values_[root(id)];
      const std::size_t life = life_of[root(id)];
      program_->slots_.push_back({owner.place, life == kNever ? owner.offset : plan.offsets[life]});
    }
    for (std::size_t i = 0; i < program_->runs_.size(); ++i)
      program_->runs_[i].scratch = plan.offsets[owners.size() + i];
  }

  const Graph& graph_;
  const std::uint32_t batch_;
  const ops::Backend& backend_;
  std::vector<Bound> values_;    // the graph's, then temporaries
  std::vector<std::size_t> at_;  // of runs: the node in whose time they run
  std::unique_ptr<Program> program_;
};

Result<std::unique_ptr<Program>> Program::bind(const Graph& graph, std::uint32_t batch,
                                               const ops::Backend& backend) {
  return Binder(graph, batch, backend).run();
}

}  // namespace trainyard::graph
