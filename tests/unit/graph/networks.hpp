// Small networks that together hold every kind of layer; random input for them.
#pragma once

#include <vector>

#include "common/base/random.hpp"
#include "common/config/job_spec.hpp"
#include "common/graph/network.hpp"

namespace trainyard::graph::test {

using LayerKind = config::Layer::Kind;

inline config::Layer conv(std::uint32_t filters, std::uint32_t kernel, std::uint32_t stride = 1,
                          bool bias = true, bool same = true) {
  return {.kind = LayerKind::conv2d,
          .filters = filters,
          .kernel = kernel,
          .stride = stride,
          .padding = {same ? config::Padding::Mode::same : config::Padding::Mode::valid, 0},
          .bias = bias};
}
inline config::Layer dense(std::uint32_t units) { return {.kind = LayerKind::dense, .units = units}; }
inline config::Layer plain(LayerKind kind) { return {.kind = kind}; }
inline config::Layer max_pool(std::uint32_t size) {
  return {
      .kind = LayerKind::max_pool, .stride = 0, .padding = {config::Padding::Mode::valid, 0}, .size = size};
}
inline config::Layer avg_pool(std::uint32_t size) {
  return {
      .kind = LayerKind::avg_pool, .stride = 0, .padding = {config::Padding::Mode::valid, 0}, .size = size};
}
inline config::Layer dropout(double rate) { return {.kind = LayerKind::dropout, .rate = rate}; }

inline config::ModelSection mlp() {
  return {{plain(LayerKind::flatten), dense(17), plain(LayerKind::relu), dense(3)}};
}
inline config::ModelSection photo_net() {
  return {{conv(8, 5, 2, false), plain(LayerKind::batch_norm), plain(LayerKind::relu), max_pool(2),
           conv(12, 3, 1, false), plain(LayerKind::batch_norm), plain(LayerKind::relu),
           plain(LayerKind::global_avg_pool), dropout(0.3), dense(3)}};
}
inline config::ModelSection old_net() {
  return {{conv(6, 3, 1, true, false), plain(LayerKind::relu), avg_pool(2), conv(5, 2),
           plain(LayerKind::batch_norm), max_pool(3), plain(LayerKind::flatten), dense(9),
           plain(LayerKind::batch_norm), plain(LayerKind::relu), dense(3)}};
}

struct Batch {
  std::vector<float> images;
  std::vector<std::int32_t> labels;
  std::vector<std::uint64_t> keys;
};

/// Class k has a bright k-th third, under noise.
inline Batch batch_of(std::uint32_t count, InputShape shape, std::uint64_t seed) {
  Random random(seed);
  Batch batch;
  const auto floats = static_cast<std::size_t>(shape.channels * shape.height * shape.width);
  for (std::uint32_t n = 0; n < count; ++n) {
    const auto label = static_cast<std::int32_t>(random.below(3));
    for (std::size_t i = 0; i < floats; ++i) {
      const bool bright = i * 3 / floats == static_cast<std::size_t>(label);
      batch.images.push_back(static_cast<float>(random.normal() * 0.5 + (bright ? 1.0 : 0.0)));
    }
    batch.labels.push_back(label);
    batch.keys.push_back(random.next());
  }
  return batch;
}

}  // namespace trainyard::graph::test
