// A oneDNN primitive together with its arguments, as a list that is made once: dnnl::primitive::execute makes
// one on the heap at each call. Private to this backend.
#pragma once

#include <unordered_map>
#include <vector>

#include "common/ops/cpu/onednn_version.hpp"

namespace trainyard::ops::cpu {

class PrimitiveCall {
 public:
  PrimitiveCall() = default;
  /// The memories are shared: where their handles point later is where the primitive reads and writes.
  PrimitiveCall(dnnl::primitive primitive, const std::unordered_map<int, dnnl::memory>& arguments);
  static PrimitiveCall reorder(const dnnl::memory& from, const dnnl::memory& to);
  /// Throws dnnl::error, as dnnl::primitive::execute does.
  void operator()(const dnnl::stream& stream) const;
  explicit operator bool() const { return !list_.empty(); }

 private:
  dnnl::primitive primitive_;
  std::vector<dnnl::memory> memories_;  // what the list points to
  std::vector<dnnl_exec_arg_t> list_;
};

}  // namespace trainyard::ops::cpu
