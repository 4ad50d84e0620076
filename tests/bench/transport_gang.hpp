// Many trainers and several shards: whether the same bytes take longer the more trainers share them. And
// what our rungs have in common.
#pragma once

#include <cstdint>
#include <vector>

#include "common/net/data_channel.hpp"
#include "common/protocol/data.hpp"
#include "daemons/ps/core.hpp"
#include "tests/bench/transport_pair.hpp"

namespace trainyard::bench {

/// load.bytes: what a trainer pushes to a shard in a step. Prints a line for each number of trainers.
int run_gang(const Load& load, int rounds);

/// What a push is answered with: values, or a header alone.
enum class Answers : std::uint8_t { values, short_ones };

std::vector<protocol::SliceInfo> slices_of(std::size_t floats, std::size_t piece);
protocol::DataHeader header_of(protocol::DataKind kind, std::uint64_t sequence);
ps::Core core_of(std::uint32_t trainers, std::uint32_t shard, std::uint32_t shards);
/// Until the process ends.
void serve_core(net::DataServer& server, ps::Core core, Answers answers);

}  // namespace trainyard::bench
