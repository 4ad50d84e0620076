#include "common/graph/onnx/operators.hpp"

#include <algorithm>
#include <map>

namespace trainyard::graph::onnx_file {
namespace {

const std::map<std::string, Operator>& table() {
  static const auto made = [] {
    std::map<std::string, Operator> all;
    for (const auto family :
         {elementwise_operators(), activation_operators(), linear_operators(), pool_operators(),
          norm_operators(), along_operators(), movement_operators(), index_operators(), resize_operators(),
          constant_operators(), sequence_operators()})
      for (const Operator& one : family) check(all.emplace(one.name, one).second, "an operator is read once");
    return all;
  }();
  return made;
}

}  // namespace

const Operator* find_operator(const std::string& name) {
  const auto it = table().find(name);
  return it == table().end() ? nullptr : &it->second;
}

std::vector<Operator> all_operators() {
  std::vector<Operator> out;
  for (const auto& [name, one] : table()) out.push_back(one);
  return out;
}

}  // namespace trainyard::graph::onnx_file
