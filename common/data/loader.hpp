// Decodes and transforms batches ahead of the consumer on its own threads, and hands them over in the order
// in which they were requested. Random transforms are keyed by (seed, epoch, record): the same picture comes
// out on whichever trainer and thread it is made.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/config/job_spec.hpp"
#include "common/data/dataset.hpp"

namespace trainyard::data {

/// The transforms of a job as one function from record to floats.
class Pipeline {
 public:
  /// Errors: no resize or crop for pictures of differing sizes, normalize with a wrong number of channels.
  static Result<Pipeline> make(const std::vector<config::Transform>& transforms, const Dataset& dataset);
  std::uint32_t channels() const { return channels_; }
  std::uint32_t height() const { return height_; }
  std::uint32_t width() const { return width_; }
  std::size_t floats() const { return std::size_t{channels_} * height_ * width_; }
  /// out [channels, height, width]. Random transforms act only when `training`.
  Status apply(const Image& image, bool training, std::uint64_t seed, std::span<float> out) const;
  std::uint32_t height_wanted() const;  // what to ask of Dataset::read
  std::uint32_t width_wanted() const;

 private:
  std::vector<config::Transform> transforms_;
  std::uint32_t channels_ = 0, height_ = 0, width_ = 0;
};

struct Batch {
  std::uint64_t step = 0;
  std::vector<float> images;  // [count, channels, height, width]
  std::vector<std::int32_t> labels;
  std::vector<std::uint64_t> keys;     // mix(seed, epoch, record)
  std::vector<std::uint32_t> records;  // those that could be read
  std::vector<std::string> bad;        // "name: reason" of those that could not
  std::uint32_t count() const { return static_cast<std::uint32_t>(records.size()); }
};

class Loader {
 public:
  /// The dataset and the pipeline must outlive it. At most `depth` batches wait ready.
  Loader(const Dataset& dataset, const Pipeline& pipeline, std::uint32_t threads, std::uint32_t depth,
         std::uint64_t seed);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;
  /// Never waits.
  void request(std::uint64_t step, std::uint64_t epoch, bool training, std::vector<std::uint32_t> records);
  /// Waits for the next requested batch; nothing when none is requested.
  std::optional<Batch> next();
  /// The same without a wait: nothing when the next one is not ready.
  std::optional<Batch> next_if_ready();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace trainyard::data
