// What a job changes of a model that it goes on training: another head, and tensors that stay as they are.
// Pure functions of a Model.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/graph/model.hpp"

namespace trainyard::graph {

struct Head {
  /// The name of the value behind which everything goes; empty: the operand of the last dense layer or
  /// convolution.
  std::string after;
  std::uint32_t classes = 0;  // at least 1
};

/// The model up to that value, and one dense layer with a score a class behind it; an image [N, C, H, W] is
/// averaged over its pixels first. The new tensors are "head.weight" [classes, features] and "head.bias";
/// inputs and tensors that nobody needs any more are gone. Errc::not_found names values that are near;
/// Errc::invalid: no [N, ...] there, or no such layer.
Result<Model> replace_head(const Model& model, const Head& head, std::uint32_t batch_max);

/// The model of an ONNX file, ready to be trained on data of this shape with these classes: `head` as in
/// config::ModelSection. With "keep" the file gives [N, classes]; a softmax at its end goes, since the loss
/// has one. Errors name the file, the node, and what the data give.
Result<Model> imported_model(const std::string& file, const std::string& head, const Signature& input,
                             std::uint32_t classes, std::uint32_t batch_max);

/// `frozen`: of each tensor, in their order. Frozen ones get no gradient; a batch_norm whose scale and shift
/// are frozen keeps its running statistics too. Returns what stays as it is: these statistics as well.
std::vector<bool> freeze_tensors(Model& model, std::vector<bool> frozen);
/// Tensors whose names match one of the patterns (* stands for any text, ? for one letter) are frozen. A
/// pattern that matches nothing is Errc::not_found.
Status freeze_tensors(Model& model, std::span<const std::string> patterns);

/// Names behind which a head can go, in the order in which they are computed.
std::vector<std::string> head_places(const Model& model);

/// Does the whole text match?
bool matches(const std::string& pattern, const std::string& text);

}  // namespace trainyard::graph
