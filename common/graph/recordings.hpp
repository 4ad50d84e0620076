// What was recorded of the runs of a graph on a device. The first run of a kind is enqueued kernel by kernel,
// which warms libraries up; the second one is recorded; this one and all later ones are replayed at the cost
// of one call. Private to this layer.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <tuple>

#include "common/ops/device.hpp"

namespace trainyard::graph {

class Recordings {
 public:
  /// Batch, slot of the feed, with an update: runs of one key enqueue the same at the same addresses.
  using Key = std::tuple<std::uint32_t, std::size_t, bool>;

  explicit Recordings(ops::Device& device) : device_(device) {}
  /// Addresses change, or kernels go: everything begins anew. Nothing may be running.
  void forget() { known_.clear(); }
  /// `enqueue` is called now or never; it may run, or be recorded.
  void play(const Key& key, const std::function<void()>& enqueue) {
    Known& known = known_[key];
    if (known.warm && !known.recording && !known.refused) {
      auto recording = device_.record(enqueue);
      known.refused = !recording;
      if (recording) known.recording = std::move(*recording);
    }
    known.warm = true;
    if (known.recording)
      known.recording->replay();
    else
      enqueue();
  }

 private:
  struct Known {
    bool warm = false, refused = false;
    std::unique_ptr<ops::Recording> recording;
  };
  ops::Device& device_;
  std::map<Key, Known> known_;
};

}  // namespace trainyard::graph
