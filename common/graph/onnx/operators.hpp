// Which operators of ONNX are read, since which operator set, and by whom. Private to common/graph/onnx.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "common/graph/onnx/call.hpp"

namespace trainyard::graph::onnx_file {

struct Operator {
  const char* name;
  int since;  // operator set
  void (*read)(Call&);
  int until = 0;  // the last operator set that has it; 0: it is still there
};

/// Null for one that is not read.
const Operator* find_operator(const std::string& name);
/// All of them, by name.
std::vector<Operator> all_operators();

// Families, each in the file of its name.
std::span<const Operator> elementwise_operators();
std::span<const Operator> activation_operators();
std::span<const Operator> linear_operators();
std::span<const Operator> pool_operators();
std::span<const Operator> norm_operators();
std::span<const Operator> along_operators();
std::span<const Operator> movement_operators();
std::span<const Operator> index_operators();
std::span<const Operator> resize_operators();
std::span<const Operator> constant_operators();
std::span<const Operator> sequence_operators();

/// Computes with small whole numbers, some of which may depend on the batch. False when the node is nothing
/// for it; then the operator has to be read.
bool evaluate(Call& call);

}  // namespace trainyard::graph::onnx_file
