// Gradients in fewer bytes on their way to a shard (`strategy.compression`). Little-endian, without padding:
//   none  4 bytes a value
//   bf16  2 bytes a value, rounded to the nearest, ties to even
//   fp16  the same; beyond 65,504 the largest of the sign
//   int8  blocks of 1,024 values: a scale (f32, the largest magnitude over 127), a signed byte a value
//   topk  count n (u32), n places (u32, ascending), n values (f32): the largest hundredth by magnitude
// Values that are exact (statistics, which no later message corrects) go in front, 4 bytes each. Pure; any
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/result.hpp"
#include "common/config/job_spec.hpp"

namespace trainyard::codec {

using config::Compression;

/// A stretch of the values, in their order.
struct Part {
  std::size_t length = 0;
  bool exact = false;
};

/// Does a coding leave out what the next message has to make up for?
bool has_residual(Compression how);

/// The message of `values`, which `parts` cover. `residual` has a value for each value where has_residual,
/// and is empty else: what earlier messages left out is added, and what this one leaves out stays there
/// (error feedback: Seide and others, "1-Bit Stochastic Gradient Descent", 2014, section 2).
std::vector<std::byte> encode(Compression how, std::span<const Part> parts, std::span<const float> values,
                              std::span<float> residual);

/// The opposite: fills `values`. Errc::corrupt says what is wrong with the bytes.
Status decode(Compression how, std::span<const Part> parts, std::span<const std::byte> bytes,
              std::span<float> values);

}  // namespace trainyard::codec
