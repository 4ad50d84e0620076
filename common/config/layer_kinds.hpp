// What each kind of layer is called, what it is for and which options it has. Private to common/config.
#pragma once

#include <string>
#include <vector>

#include "common/config/layer_spec.hpp"
#include "common/config/schema.hpp"

namespace trainyard::config {

struct LayerInfo {
  LayerKind kind = LayerKind::relu;
  std::string name, doc;
  Table<Layer> options;  // its own
  Layer defaults;
  std::size_t inputs_min = 1, inputs_max = 1;  // that `from` may name
  Table<Layer> table;                          // `options` and common_options()
};

/// In the order in which the reference page lists them.
const std::vector<LayerInfo>& layer_infos();
const LayerInfo& layer_info(LayerKind kind);
std::vector<std::string> layer_names();
/// name, from and the place, of every layer.
Table<Layer> common_options();

/// A list of layers, as `model.layers` and as what blocks hold.
void read_layers(const Node& node, const std::string& path, std::vector<Layer>& out, Problems& problems);
Json show_layers(const std::vector<Layer>& layers);
/// "#/$defs/layers" of the job's schema.
Json layers_schema();
/// The names that `from` uses, over the whole tree.
void check_wiring(const std::vector<Layer>& layers, const std::string& path, Problems& problems);

}  // namespace trainyard::config
