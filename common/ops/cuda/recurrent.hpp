// What the two passes of recurrent cells share: sizes, the time of a step, and where things lie. Device code,
// private to this backend. Formulas and their sources: reference/recurrent.cpp.
#pragma once

#include <cmath>

#include "common/ops/cuda/gemm.hpp"
#include "common/ops/cuda/kernel.hpp"
#include "common/ops/cuda/numbers.hpp"

namespace trainyard::ops::cuda {

struct Cells {
  Cells(const Shape& x, const Shape& r, const Attributes& a)
      : n(x[0]),
        t(x[1]),
        inputs(x[2]),
        hidden(r[2]),
        gates(r[1] / r[2]),
        directions(r[0]),
        cell(a.cell),
        reverse(a.direction == Direction::reverse) {}
  /// Elements of a row of all gates.
  std::int64_t row() const { return gates * hidden; }
  std::int64_t states() const { return n * hidden; }
  bool gru() const { return cell == Cell::gru; }
  __device__ std::int64_t length(const std::int32_t* lengths, std::int64_t in) const {
    const std::int64_t length = lengths != nullptr ? lengths[in] : t;
    return length < 0 ? 0 : length < t ? length : t;
  }
  /// The time of step `step` of a sequence with `length` steps.
  __device__ std::int64_t time(std::int64_t direction, std::int64_t length, std::int64_t step) const {
    return reverse || direction == 1 ? length - 1 - step : step;
  }
  __device__ std::int64_t y_at(std::int64_t direction, std::int64_t in, std::int64_t it) const {
    return ((in * t + it) * directions + direction) * hidden;
  }
  /// What the workspace keeps of a step: its gates, and c, or R2 h + Rb2 of a gru.
  __device__ std::int64_t kept_at(std::int64_t direction, std::int64_t in, std::int64_t it) const {
    return ((direction * n + in) * t + it) * (gates + 1) * hidden;
  }
  std::size_t workspace_bytes() const {
    return static_cast<std::size_t>(directions * n * t * (gates + 1) * hidden) * sizeof(float);
  }
  std::int64_t n, t, inputs, hidden, gates, directions;
  Cell cell;
  bool reverse;
};

__device__ inline float logistic(float x) { return 1.0f / (1.0f + std::exp(-x)); }

/// Products of one direction; operands are elements of type `in`.
struct CellProduct {
  static Result<CellProduct> make(Queue& queue, GemmSpec spec, std::size_t& workspace) {
    spec.alignment = static_cast<std::uint32_t>(tensor::size_of(spec.in));
    auto made = make_gemm(queue, spec);
    if (!made) return made.error();
    workspace = std::max(workspace, (*made)->workspace_bytes());
    return CellProduct{*made};
  }
  void operator()(const void* a, const void* b, void* d, void* workspace) const {
    of->run(a, b, d, nullptr, workspace);
  }
  std::shared_ptr<const Gemm> of;
};

}  // namespace trainyard::ops::cuda
