#include <algorithm>

#include "common/base/text.hpp"
#include "common/graph/model.hpp"

namespace trainyard::graph {

namespace {

/// Bytes with the batch bound; UINT64_MAX when that is too large for a number.
std::uint64_t bytes_of(const Signature& of, std::uint32_t batch) {
  std::uint64_t bytes = tensor::size_of(of.type);
  for (const auto dim : of.shape.dims()) {
    std::uint64_t extent = static_cast<std::uint64_t>(dim < 0 ? -dim : dim);
    if (dim < 0 && __builtin_mul_overflow(extent, std::uint64_t{batch}, &extent)) return UINT64_MAX;
    if (__builtin_mul_overflow(bytes, extent, &bytes)) return UINT64_MAX;
  }
  return bytes;
}

Error too_large(const std::string& what, std::uint64_t bytes, std::uint64_t limit) {
  const std::string size = bytes == UINT64_MAX ? "more than 2^64 bytes" : size_text(bytes);
  return {Errc::invalid, format("{} takes {}; at most {} are allowed", what, size, size_text(limit))};
}

}  // namespace

Builder::Builder(std::uint32_t batch_max, Model model) : model_(std::move(model)), batch_max_(batch_max) {
  for (const TensorInfo& tensor : model_.tensors) names_.insert(tensor.name);
}

void Builder::origin(std::string name, std::string place, std::string kind) {
  model_.graph.origins.push_back({std::move(name), std::move(place), std::move(kind)});
}

Result<ValueId> Builder::parameter(std::string name, std::vector<std::int64_t> shape, TensorKind kind,
                                   Init init) {
  const Signature of{Shape(shape)};
  const std::uint64_t bytes = bytes_of(of, 1);
  if (bytes > kTensorBytesMax)
    return too_large(format("{} {}", name, of.shape.text()), bytes, kTensorBytesMax);
  if (names_.contains(name)) return Error{Errc::invalid, format("the tensor '{}' exists already", name)};
  const std::uint64_t length = bytes / sizeof(float);
  const std::uint64_t all = (model_.length + length) * sizeof(float);
  if (all > kParameterBytesMax) return too_large("the network up to here", all, kParameterBytesMax);
  names_.insert(name);
  model_.tensors.push_back({std::move(name), std::move(shape), model_.length, length, kind, init});
  const ValueId id =
      model_.graph.add({of, Place::parameter, model_.length, kind != TensorKind::buffer && length > 0});
  model_.length += length;
  return id;
}

Result<std::vector<ValueId>> Builder::add_all(Kind kind, Attributes attributes, std::vector<ValueId> inputs) {
  std::vector<Signature> signatures;
  for (const ValueId id : inputs)
    signatures.push_back(id == kAbsent ? Signature::opaque_bytes() : model_.graph.signature(id));
  const auto outputs = ops::infer(kind, attributes, signatures);
  if (!outputs) return outputs.error();
  for (const Signature& output : *outputs)
    if (const auto bytes = bytes_of(output, batch_max_); bytes > kTensorBytesMax)
      return too_large(
          format("the output {} of {} for a batch of {}", output.shape.text(), name_of(kind), batch_max_),
          bytes, kTensorBytesMax);
  if (model_.graph.nodes.size() == kNodesMax)
    return Error{Errc::invalid, format("the model has more than {} operations", kNodesMax)};
  return model_.graph.add(kind, std::move(attributes), std::move(inputs), *outputs,
                          static_cast<std::uint32_t>(model_.graph.origins.size() - 1));
}

Result<ValueId> Builder::add(Kind kind, Attributes attributes, std::vector<ValueId> inputs) {
  const auto all = add_all(kind, std::move(attributes), std::move(inputs));
  if (!all) return all.error();
  return all->front();
}

Model Builder::finish(std::vector<ValueId> results) && {
  model_.graph.results = std::move(results);
  return std::move(model_);
}

}  // namespace trainyard::graph
