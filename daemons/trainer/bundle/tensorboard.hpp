// TensorBoard's event file of a training: the curves as scalars. Pure: bytes out, no file is touched.
#pragma once

#include <map>
#include <span>
#include <string>

#include "common/base/time.hpp"
#include "daemons/trainer/chief.hpp"

namespace trainyard::trainer {

/// Events of all epochs, oldest first, then `last` at the last step. `ended` is when the last epoch ended;
/// earlier ones are dated back by their metric "seconds". Metrics that are not finite are left out.
/// Records are framed as TFRecord (length and payload, each with a masked CRC-32C), payloads are
/// tensorflow.Event messages. Source: TensorFlow's documents "TFRecord" and event.proto, summary.proto.
std::string tensorboard_events(std::span<const EpochRow> history, const std::map<std::string, double>& last,
                               WallMillis ended);

/// CRC-32C (Castagnoli) of RFC 3720, appendix B.4.
std::uint32_t crc32c(std::string_view bytes);

}  // namespace trainyard::trainer
