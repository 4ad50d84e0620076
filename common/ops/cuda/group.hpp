// Who takes one line, row or sample: a team of threads or a single one. Device code is written once, over a
// Group with over() and reduce(). Private to this backend.
#pragma once

#include <cstdint>

#include "launch.hpp"

namespace trainyard::ops::cuda {

/// One thread.
struct Alone {
  template <typename Use>
  __device__ void over(std::int64_t count, const Use& use) const {
    for (std::int64_t k = 0; k < count; ++k) use(k);
  }
  template <typename T, typename Combine>
  __device__ T reduce(T value, const Combine&) const {
    return value;
  }
  __device__ bool first() const { return true; }
};

/// A team; all its threads have to reach each reduce().
struct Together {
  const Team& team;
  template <typename Use>
  __device__ void over(std::int64_t count, const Use& use) const {
    for (std::int64_t k = team.thread(); k < count; k += team.threads()) use(k);
  }
  template <typename T, typename Combine>
  __device__ T reduce(T value, const Combine& combine) const {
    return team.reduce(value, combine);
  }
  __device__ bool first() const { return team.thread() == 0; }
};

template <typename F>
struct ByOne {
  F function;
  __device__ void operator()(std::int64_t i) const { function(i, Alone{}); }
};
template <typename F>
struct ByTeam {
  F function;
  __device__ void operator()(const Team& team) const { function(team.index(), Together{team}); }
};

/// Enqueues function(i, group) for i in 0..count-1; `values` that a group goes over each time; `beside`:
/// those of neighbouring i lie beside each other, so that single threads read together.
template <typename F>
void each_group(Queue& queue, std::int64_t count, std::int64_t values, bool beside, const F& function) {
  const bool alone = values <= 16 || (beside && (values <= 256 || count >= 65536));
  if (alone)
    each(queue, count, ByOne<F>{function});
  else
    teams(queue, count, values <= 64 ? 32 : values <= 512 ? 64 : 256, ByTeam<F>{function});
}

}  // namespace trainyard::ops::cuda
