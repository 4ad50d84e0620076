// One node of an ONNX file while it becomes operations of a graph: its operands, attributes and results. The
// first error sticks, and what follows it does nothing, so that a reader of an operator can be written
// straight down. Private to common/graph/onnx; one thread.
#pragma once

#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "common/base/text.hpp"
#include "common/graph/onnx/scope.hpp"

namespace trainyard::graph::onnx_file {

using ops::Arithmetic;
using ops::Function;

class Call {
 public:
  /// Operands that are absent are null. `used` says which results somebody uses.
  Call(Scope& scope, const onnx::NodeProto& node, int version, std::vector<TermPtr> operands,
       std::vector<bool> used);

  const std::string& operator_name() const { return node_.op_type(); }
  int version() const { return version_; }
  std::int64_t fixed_batch() const { return scope_.fixed_batch(); }

  // Operands.
  std::size_t count() const { return operands_.size(); }
  bool has(std::size_t index) const { return index < operands_.size() && operands_[index] != nullptr; }
  /// Shape and type; of an absent one empty and float.
  const Shape& shape(std::size_t index) const;
  DType type(std::size_t index) const;
  bool real(std::size_t index) const { return tensor::is_real(type(index)); }
  bool boolean(std::size_t index) const { return has(index) && operands_[index]->boolean; }
  bool bfloat16(std::size_t index) const { return has(index) && operands_[index]->bfloat16; }
  /// In the graph.
  ValueId value(std::size_t index);
  /// As a tensor that the model owns, when it is a float tensor that is known now; else as value().
  ValueId weight(std::size_t index, TensorKind kind = TensorKind::weight);
  /// The same, turned round; only when can_turn().
  ValueId turned_weight(std::size_t index);
  /// A known float matrix that no other node uses.
  bool can_turn(std::size_t index) const;
  /// Is its value known now?
  bool known(std::size_t index) const { return has(index) && operands_[index]->known(); }
  /// Is it known from nodes alone, and so nothing that was learned?
  bool literal(std::size_t index) const { return has(index) && operands_[index]->literal; }
  /// Does nobody else use it?
  bool sole(std::size_t index) const { return has(index) && operands_[index]->uses <= 1; }
  /// Numbers of an operand that has to be known now: sizes, whole numbers, any numbers. At most kExtentsMax.
  std::vector<Extent> extents(std::size_t index);
  std::vector<std::int64_t> integers(std::size_t index);
  std::vector<double> numbers(std::size_t index);
  /// All values of a known operand, as small tensor; nothing when they are not whole, too many or not known.
  std::optional<Extents> small(std::size_t index);
  std::shared_ptr<const Constant> constant(std::size_t index);

  // Attributes. What nobody asks for is refused at the end, because it would change the result.
  bool has_attribute(const char* name) const { return find(name) != nullptr; }
  /// A default outside of least..most: the attribute has to be there.
  std::int64_t integer(const char* name, std::int64_t otherwise, std::int64_t least = -kFar,
                       std::int64_t most = kFar);
  bool flag(const char* name, bool otherwise) { return integer(name, otherwise ? 1 : 0, 0, 1) != 0; }
  double number(const char* name, double otherwise);
  std::string word(const char* name, const char* otherwise);
  std::vector<std::int64_t> integer_list(const char* name);
  std::vector<double> number_list(const char* name);
  std::vector<std::string> word_list(const char* name);
  std::optional<Constant> tensor(const char* name, bool& boolean);
  /// An attribute that has no say in the result.
  void ignore(const char* name) { read_.insert(name); }

  // Operations.
  ValueId add(Kind kind, Attributes attributes, std::vector<ValueId> inputs);
  /// All results; after an error as many absent ones as `results`.
  std::vector<ValueId> add_all(Kind kind, Attributes attributes, std::vector<ValueId> inputs,
                               std::size_t results);
  ValueId unary(Function function, ValueId x, double alpha = 0, double beta = 0);
  ValueId binary(Arithmetic arithmetic, ValueId a, ValueId b);
  ValueId cast(ValueId x, DType type);
  ValueId reshape(ValueId x, std::vector<std::int64_t> dims);
  ValueId transpose(ValueId x, std::vector<std::int64_t> axes);
  ValueId expand(ValueId x, std::vector<std::int64_t> dims);
  ValueId slice(ValueId x, std::int64_t axis, std::int64_t start, std::int64_t end, std::int64_t step = 1);
  ValueId scalar(double value, DType type = DType::f32);
  ValueId constant_value(Constant constant);
  ValueId whole(const std::vector<std::int64_t>& values, DType type, std::vector<std::int64_t> dims);
  ValueId floats(const std::vector<float>& values, std::vector<std::int64_t> dims);
  Shape shape_of(ValueId id) const;
  DType type_of(ValueId id) const;
  bool learned(ValueId id) const { return scope_.learned(id); }

  // Results.
  std::size_t results() const { return used_.size(); }
  bool wants(std::size_t index) const { return index < used_.size() && used_[index]; }
  void give(ValueId id, std::size_t index = 0, bool boolean = false);
  void give(Constant constant, std::size_t index = 0, bool boolean = false);
  void give(Extents extents, std::size_t index = 0);
  /// Result `index` is operand `operand`.
  void pass(std::size_t operand, std::size_t index = 0);

  // Errors.
  bool ok() const { return !error_; }
  void fail(Error error) {
    if (!error_) error_ = std::move(error);
  }
  /// Errc::refused with this text unless `holds`. True when all is well up to here.
  template <typename... Arguments>
  bool require(bool holds, fmt::format_string<Arguments...> message, Arguments&&... arguments) {
    if (!holds) fail({Errc::refused, fmt::format(message, std::forward<Arguments>(arguments)...)});
    return ok();
  }
  /// The axis counted from the front; an error outside of -rank..rank-1.
  std::int64_t axis(std::int64_t axis, std::size_t rank);

  /// The results, or the error: the first one, an attribute that nobody asked for, or a used result that was
  /// not given.
  Result<std::vector<TermPtr>> finish();

  static constexpr std::int64_t kFar = std::int64_t{1} << 31;

 private:
  const onnx::AttributeProto* find(const char* name) const;
  const onnx::AttributeProto* attribute(const char* name, int type);
  ValueId take(const Result<ValueId>& id);
  Term& slot(std::size_t index);

  Scope& scope_;
  const onnx::NodeProto& node_;
  const int version_;
  const std::vector<TermPtr> operands_;
  const std::vector<bool> used_;
  std::vector<TermPtr> results_;
  std::set<std::string> read_;
  std::optional<Error> error_;
};

}  // namespace trainyard::graph::onnx_file
