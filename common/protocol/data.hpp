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
  // Where trainers do not step together:
  cut,    // shard -> trainer that waits for others: checkpoint `cut` is being made, to be marked
  mark,   // trainer -> shard: checkpoint `cut` holds its pushes up to `sequence` and none after; no answer
  leave,  // trainer -> shard: `sequence` was its last push; answered by `values`, rank 0 when all have left
  // Between a shard and its follower, beside the messages of trainers that go on to it with `log` set:
  follow,  // follower -> shard: has `sequence` entries of the log, send what comes after
  logged,  // follower -> shard: has `sequence` entries now
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
  // push: the trainer's step, from 1, applied exactly once. values: the last one that they hold; where
  // trainers do not step together, of this trainer
  std::uint64_t sequence = 0;
  std::uint32_t samples = 0;     // push: how many samples the gradient is the sum over
  std::uint64_t checkpoint = 0;  // push or leave of rank 0: write one after it, with this number; 0: none
  Ending ending = Ending::none;  // push of rank 0: of training, with this step. values: of the applied step
  std::uint64_t epoch = 0;
  std::uint64_t steps_per_epoch = 0;  // init: for the learning-rate schedule
  std::vector<SliceInfo> slices;      // init: what the payload holds
  std::string reason;
  bool averages = false;            // pull: send the moving averages. values: these are they
  std::vector<double> square_sums;  // squares: of the mean gradient, one for each slice of the shard
  // norm: of the mean gradient over all shards. push where trainers do not step together: of its own one
  double norm = 0;
  config::Compression coding = config::Compression::none;  // push: of the payload
  // values: the checkpoint that is being made, 0: none. mark, push, leave: the last one that this trainer has
  // marked, before this message
  std::uint64_t cut = 0;
  std::uint64_t version = 0;    // values: how many steps of the shard they went through
  bool last = false;            // values: the answer to `leave`
  std::uint64_t log = 0;        // of a message that goes on to a follower: its number, from 1
  std::uint64_t staleness = 0;  // values after a push: how many steps it was behind when it was applied
  friend bool operator==(const DataHeader&, const DataHeader&) = default;
};

std::string encode(const DataHeader& header);
Result<DataHeader> decode_data_header(std::string_view bytes);

}  // namespace trainyard::protocol
