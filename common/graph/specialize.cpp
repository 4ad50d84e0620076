// From what a model is to what a training or a prediction runs.
#include "common/base/random.hpp"
#include "common/graph/model.hpp"

namespace trainyard::graph {

namespace {

/// Copies the graph node by node; a node may come out as another, or as none.
class Copy {
 public:
  explicit Copy(const Graph& from) : from_(from) {
    to_.values = from.values;
    to_.origins = from.origins;
    to_.externals = from.externals;
    to_.constants = from.constants;
    renamed_.resize(from.values.size());
    for (ValueId id = 0; id < renamed_.size(); ++id) renamed_[id] = id;
  }
  virtual ~Copy() = default;

  Graph run() {
    for (const Node& node : from_.nodes) {
      Node copy = node;
      for (ValueId& id : copy.inputs)
        if (id != kAbsent) id = renamed_[id];
      place(std::move(copy));
    }
    for (const ValueId id : from_.results) to_.results.push_back(renamed_[id]);
    return std::move(to_);
  }

 protected:
  virtual void place(Node node) = 0;
  void keep(Node node) { to_.nodes.push_back(std::move(node)); }
  /// The first result of `node` is `id`: the node does nothing.
  void skip(const Node& node) { renamed_[node.outputs[0]] = node.inputs[0]; }

  const Graph& from_;
  Graph to_;

 private:
  std::vector<ValueId> renamed_;
};

class ForInference final : public Copy {
 public:
  using Copy::Copy;

 private:
  void place(Node node) override {
    if (node.kind == Kind::dropout) return skip(node);
    if (node.kind == Kind::max_pool || node.kind == Kind::avg_pool || node.kind == Kind::recurrent)
      node.attributes.workspace = false;
    keep(std::move(node));
  }
};

class ForTraining final : public Copy {
 public:
  ForTraining(const Graph& from, std::uint64_t seed) : Copy(from), seed_(seed) {}

 private:
  void place(Node node) override {
    switch (node.kind) {
      case Kind::dropout:
        return dropout(std::move(node));
      case Kind::batch_norm:
        return batch_norm(std::move(node));
      case Kind::max_pool:
      case Kind::avg_pool:
        node.attributes.workspace = true;
        node.outputs.push_back(to_.add({Signature::opaque_bytes()}));
        return keep(std::move(node));
      default:
        return keep(std::move(node));
    }
  }

  void dropout(Node node) {
    if (node.attributes.rate == 0) return skip(node);
    if (keys_ == kAbsent) {
      keys_ = to_.external("keys", {}, 0);
      step_ = to_.external("step", {}, sizeof(std::uint64_t));
      to_.externals[to_.values[keys_].offset].of = Signature(Shape{tensor::kBatch}, DType::i64);
      to_.values[keys_].of = Signature(Shape{tensor::kBatch}, DType::i64);
    }
    // Each dropout of a model draws its own mask.
    node.attributes.seed = mix(seed_, node.attributes.seed, ++dropouts_);
    node.inputs.push_back(keys_);
    node.inputs.push_back(step_);
    keep(std::move(node));
  }

  void batch_norm(Node node) {
    if (node.attributes.frozen) return keep(std::move(node));
    node.kind = Kind::batch_norm_training;
    const Signature per_channel = to_.signature(node.inputs[1]);
    for (int i = 0; i < 2; ++i) node.outputs.push_back(to_.add({per_channel}));
    for (const std::size_t running : {3, 4})
      node.outputs.push_back(
          to_.add({per_channel, Place::gradient, to_.values[node.inputs[running]].offset}));
    keep(std::move(node));
  }

  std::uint64_t seed_, dropouts_ = 0;
  ValueId keys_ = kAbsent, step_ = kAbsent;
};

}  // namespace

Graph inference_graph(const Model& model) { return ForInference(model.graph).run(); }

Graph training_graph(const Model& model, std::uint64_t seed) { return ForTraining(model.graph, seed).run(); }

}  // namespace trainyard::graph
