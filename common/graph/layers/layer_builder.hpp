// Walks the layers of a model section in their order and has a Composer make them: names, wiring and blocks.
// What each kind is made of is in kinds.cpp. Private to common/graph.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/graph/compose/composer.hpp"
#include "common/graph/layers.hpp"

namespace trainyard::graph {

class LayerBuilder {
 public:
  LayerBuilder(const std::vector<config::Layer>& layers, std::uint32_t batch_max);
  Result<Model> run(const Signature& input, std::uint32_t classes);

 private:
  using Layer = config::Layer;
  using Layers = std::vector<Layer>;

  /// Names of one list of layers.
  struct Scope {
    Scope(const Layers& layers, std::string names_prefix, const Scope* around);
    std::string prefix;  // of tensors: "residual1."
    const Scope* outer = nullptr;
    std::map<std::string, ValueId> named;
    std::set<std::string> taken;  // names that the file gives
    std::map<std::string, int> counts;
  };

  ValueId list(const Layers& layers, const std::string& path, ValueId x, Scope& scope);
  ValueId layer(const Layer& layer, const std::string& place, const std::string& path, ValueId x,
                Scope& scope);
  ValueId source(const std::string& name, const Scope& scope);
  /// "conv2": the layer's name, or its kind's and the next number.
  std::string name_of(const Layer& layer, Scope& scope);

  ValueId residual(const Layer& layer, const std::string& name, const std::string& path, ValueId x,
                   const Scope& scope, const std::string& place);
  ValueId branches(const Layer& layer, const std::string& name, const std::string& path, ValueId x,
                   const Scope& scope, const std::string& place);
  ValueId repeat(const Layer& layer, const std::string& name, const std::string& path, ValueId x,
                 const Scope& scope);

  // kinds.cpp
  ValueId make(const Layer& layer, const std::string& name, const std::vector<ValueId>& inputs);
  ValueId linear(const Layer& layer, const std::string& name, ValueId x);
  ValueId shaped(const Layer& layer, ValueId x);
  ValueId sequential(const Layer& layer, const std::string& name, const std::vector<ValueId>& inputs);
  ValueId merge(config::Join join, const std::vector<ValueId>& inputs, std::int64_t axis);
  ValueId combine(ops::Arithmetic arithmetic, const std::vector<ValueId>& inputs);
  std::int64_t axis_of(std::int64_t axis, ValueId x);
  /// He and others in front of a rectifier; without one behind it, the plain fan-in.
  Init weight_init(const Layer& layer) const;

  const Layers& layers_;
  Composer net_;
  ValueId input_ = kAbsent;
  std::size_t made_ = 0;
  std::map<const Layer*, std::size_t> order_;  // as the file has them
  std::size_t last_rectifier_ = 0;             // its order, from 1 on; 0: there is none
};

}  // namespace trainyard::graph
