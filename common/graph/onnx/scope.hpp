// The values that an importer knows by now, and the model that it builds from them. Private to
// common/graph/onnx; one thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/graph/model.hpp"
#include "common/graph/onnx/extent.hpp"
#include "common/graph/onnx/tensor.hpp"

namespace trainyard::graph::onnx_file {

/// A value of the file: in the graph, known now, or both.
struct Term {
  std::string name;
  Signature of;
  bool boolean = false, bfloat16 = false;
  std::uint32_t uses = 0;
  ValueId value = kAbsent;                    // once the graph has it
  const onnx::TensorProto* stored = nullptr;  // not decoded yet
  std::shared_ptr<const Constant> constant;
  std::shared_ptr<const Extents> extents;  // when some depend on the batch

  bool literal = false;  // known from the file's nodes, not from its weights

  bool known() const { return stored != nullptr || constant != nullptr; }
};
using TermPtr = std::shared_ptr<Term>;

class Scope {
 public:
  /// One that folds makes no parameters: what it computes is gone afterwards.
  Scope(std::uint32_t batch_max, Folder& folder, bool folds)
      : builder_(batch_max), folder_(folder), folds_(folds) {}

  bool folds() const { return folds_; }
  /// The batch that the file fixes, where the caller opened it; else 0.
  std::int64_t fixed_batch() const { return fixed_batch_; }
  void set_fixed_batch(std::int64_t batch) { fixed_batch_ = batch; }

  Builder& builder() { return builder_; }
  /// Of a known term.
  Result<std::shared_ptr<const Constant>> constant(Term& term);
  Result<Constant> decode(const onnx::TensorProto& tensor) { return onnx_file::decode(tensor, folder_); }
  /// In the graph; a known term becomes a constant of it.
  Result<ValueId> value(Term& term);
  /// As a tensor that the model owns; with `transpose` a matrix lies the other way round there. Only of known
  /// floats that are not in the graph yet; others come as value() gives them.
  Result<ValueId> parameter(Term& term, TensorKind kind, bool transpose = false);

  /// An operation; extents that no tensor may have, and two that depend on the batch, are errors.
  Result<std::vector<ValueId>> add(Kind kind, Attributes attributes, std::vector<ValueId> inputs);
  /// Does it depend on a parameter?
  bool learned(ValueId id) const { return id < learned_.size() && learned_[id]; }
  const Shape& shape(ValueId id) const { return builder_.shape(id); }

  Model finish(std::vector<ValueId> results) &&;

 private:
  void mark_learned(ValueId id);

  Builder builder_;
  Folder& folder_;
  const bool folds_;
  std::int64_t fixed_batch_ = 0;
  std::vector<bool> learned_;
  std::vector<float> given_;
};

/// Errc::invalid when the product of the extents, the batch being 1, is beyond any tensor.
Status check_extents(const std::vector<std::int64_t>& dims);

}  // namespace trainyard::graph::onnx_file
