#include <algorithm>
#include <cmath>

#include "common/base/random.hpp"
#include "common/graph/model.hpp"

namespace trainyard::graph {

namespace {

/// Values that one output sums, and outputs that one value reaches; of weights in PyTorch's order, and of
/// those of a recurrent cell, [directions, rows, columns].
struct Fans {
  explicit Fans(const TensorInfo& info) {
    if (info.shape.size() == 3) {
      in = static_cast<double>(info.shape[2]);
      out = static_cast<double>(info.shape[1]);
      return;
    }
    const double rows = info.shape.empty() ? 1 : static_cast<double>(info.shape[0]);
    const double columns = info.shape.size() < 2 ? 1 : static_cast<double>(info.shape[1]);
    in = rows == 0 ? 1 : static_cast<double>(info.length) / rows;
    out = columns == 0 ? 1 : static_cast<double>(info.length) / columns;
  }
  double in = 1, out = 1;
};

void normal(std::span<float> out, Random& random, double deviation) {
  for (float& value : out) value = static_cast<float>(deviation * random.normal());
}

/// Gram and Schmidt over the shorter side of [rows, columns], for each block of square rows: an orthogonal
/// map.
void orthogonal(std::span<float> out, std::size_t rows, std::size_t columns, Random& random) {
  const std::size_t block = std::min(rows, columns);
  for (std::size_t first = 0; first < rows; first += block) {
    const std::size_t last = std::min(rows, first + block);
    for (std::size_t r = first; r < last; ++r) {
      float* const row = out.data() + r * columns;
      double norm = 0;
      do {
        for (std::size_t c = 0; c < columns; ++c) row[c] = static_cast<float>(random.normal());
        for (std::size_t other = first; other < r; ++other) {
          const float* const base = out.data() + other * columns;
          double dot = 0;
          for (std::size_t c = 0; c < columns; ++c) dot += static_cast<double>(row[c]) * base[c];
          for (std::size_t c = 0; c < columns; ++c) row[c] -= static_cast<float>(dot * base[c]);
        }
        norm = 0;
        for (std::size_t c = 0; c < columns; ++c) norm += static_cast<double>(row[c]) * row[c];
      } while (norm < 1e-12);
      for (std::size_t c = 0; c < columns; ++c) row[c] = static_cast<float>(row[c] / std::sqrt(norm));
    }
  }
}

void draw(const TensorInfo& info, std::span<float> out, Random& random) {
  const Fans fans(info);
  switch (info.init) {
    case Init::zero:
    case Init::given:
      return;
    case Init::one:
      std::ranges::fill(out, 1.0f);
      return;
    case Init::quarter:
      std::ranges::fill(out, 0.25f);
      return;
    case Init::he:
      return normal(out, random, std::sqrt(2.0 / fans.in));
    case Init::he_fan_out:
      return normal(out, random, std::sqrt(2.0 / fans.out));
    case Init::lecun:
      return normal(out, random, std::sqrt(1.0 / fans.in));
    case Init::normal_02:
      return normal(out, random, 0.02);
    case Init::glorot: {
      const double bound = std::sqrt(6.0 / (fans.in + fans.out));
      for (float& value : out) value = static_cast<float>(random.uniform(-bound, bound));
      return;
    }
    case Init::orthogonal: {
      const auto columns = static_cast<std::size_t>(info.shape.back());
      return orthogonal(out, out.size() / columns, columns, random);
    }
    case Init::forget_bias: {
      // [directions, 2 * 4 * H], gates in ONNX's order i, o, f, c.
      const std::size_t row = static_cast<std::size_t>(info.shape.back()), hidden = row / 8;
      for (std::size_t first = 0; first < out.size(); first += row)
        std::ranges::fill(out.subspan(first + 2 * hidden, hidden), 1.0f);
      return;
    }
  }
}

}  // namespace

void draw_initial(const Model& model, std::uint64_t seed, std::vector<float>& values) {
  values.assign(model.length, 0.0f);
  if (!model.given.empty()) std::ranges::copy(model.given, values.begin());
  for (std::size_t t = 0; t < model.tensors.size(); ++t) {
    const TensorInfo& info = model.tensors[t];
    if (info.length == 0 || info.init == Init::given) continue;
    Random random(mix(seed, t));
    const auto out = std::span(values).subspan(info.offset, info.length);
    std::ranges::fill(out, 0.0f);
    draw(info, out, random);
  }
}

}  // namespace trainyard::graph
