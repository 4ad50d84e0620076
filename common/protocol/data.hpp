// Header of the data plane between trainers and shards: a small Protobuf frame, followed by the tensor bytes
// as a frame of their own (float32, little-endian), never copied through Protobuf.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.hpp"
#include "common/config/job_spec.hpp"

namespace trainyard::protocol {

enum class DataKind : std::uint8_t {
  init,     // trainer -> shard: initial values of the shard's slices; ignored if the shard has values
  pull,     // trainer -> shard: send values; answered once the shard has some
  push,     // trainer -> shard: gradients of step `sequence`; answered by `values` after the update
  values,   // shard -> trainer: the values after step `sequence`
  refused,  // shard -> trainer: `reason`; a stale incarnation or a wrong size
  squares,  // shard -> rank 0: `square_sums` of step `sequence`, whose gradients are all there
  norm,     // rank 0 -> shard: `norm` of step `sequence`; answered by `values` after the update
};

enum class SliceKind : std::uint8_t {
  weight,  // optimizer
  bias,    // optimizer; biases and norms, which lars and lamb do not scale
  buffer,  // no optimizer: the new value is the mean of what was pushed (running statistics)
};

/// A run of floats of the trainer's flat value array that one shard owns. A payload is the concatenation of
/// the shard's slices in this order.
struct SliceInfo {
  std::uint64_t offset = 0;  // first float in the flat array
  std::uint64_t length = 0;  // floats
  SliceKind kind = SliceKind::weight;
  double rate = 1;   // times the step's rate
  double decay = 0;  // weight decay; ftrl: share of l1 and l2 that holds
  friend bool operator==(const SliceInfo&, const SliceInfo&) = default;
};

/// Whether training ends with a step, and how. Where two are said, the one further down holds.
enum class Ending {
  none,
  done,     // the model is made from its values
  stopped,  // it was asked to save and stop: no model
};

struct DataHeader {
  DataKind kind = DataKind::pull;
  std::uint64_t job = 0;
  std::uint32_t incarnation = 0;  // of the gang; a shard answers `refused` to another
  std::uint32_t trainer = 0;      // rank
  std::uint32_t shard = 0;
  std::uint64_t sequence = 0;    // push: the step, from 1, applied exactly once. values: last applied step
  std::uint32_t samples = 0;     // push: how many samples the gradient is the sum over
  bool checkpoint = false;       // push of rank 0: write a checkpoint after this step
  Ending ending = Ending::none;  // push of rank 0: of training, with this step. values: of the applied step
  std::uint64_t epoch = 0;
  std::uint64_t steps_per_epoch = 0;  // init: for the learning-rate schedule
  std::vector<SliceInfo> slices;      // init: what the payload holds
  std::string reason;
  bool averages = false;            // pull: send the moving averages. values: these are they
  std::vector<double> square_sums;  // squares: of the mean gradient, one for each slice of the shard
  double norm = 0;                  // norm: of the mean gradient over all shards
  config::Compression coding = config::Compression::none;  // push: of the payload
  friend bool operator==(const DataHeader&, const DataHeader&) = default;
};

std::string encode(const DataHeader& header);
Result<DataHeader> decode_data_header(std::string_view bytes);

}  // namespace trainyard::protocol
