// How a function over indices, or over teams of threads, becomes a grid of the device. The functions
// themselves know no grid: tests run them on the host with a launch.hpp of their own.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "common/ops/cuda/queue.hpp"

namespace trainyard::ops::cuda {

inline constexpr int kTeamMax = 256;         // threads of a team
inline constexpr int kSharedDoubles = 1056;  // that a team shares: a tile of 32 by 33
inline constexpr int kEachThreads = 256;
inline constexpr std::int64_t kEachBlocksMax = 16384;

/// The threads of one block. Every thread has to reach each sync and each reduction.
class Team {
 public:
  __device__ explicit Team(double* shared) : shared_(shared) {}
  __device__ int thread() const { return static_cast<int>(threadIdx.x); }
  __device__ int threads() const { return static_cast<int>(blockDim.x); }
  /// The number of the team.
  __device__ std::int64_t index() const { return blockIdx.x; }
  __device__ void sync() const { __syncthreads(); }
  /// kSharedDoubles of memory; reductions write over it.
  template <typename T>
  __device__ T* shared() const {
    return reinterpret_cast<T*>(shared_);
  }
  /// Of one value a thread, to all threads, always in the same order. The number of threads is a power of 2.
  template <typename T, typename Combine>
  __device__ T reduce(T value, const Combine& combine) const {
    static_assert(sizeof(T) <= sizeof(double));
    T* const slots = shared<T>();
    __syncthreads();
    slots[thread()] = value;
    for (int width = threads() / 2; width > 0; width /= 2) {
      __syncthreads();
      if (thread() < width) slots[thread()] = combine(slots[thread()], slots[thread() + width]);
    }
    __syncthreads();
    return slots[0];
  }

 private:
  double* shared_;
};

template <typename F>
__global__ void __launch_bounds__(kEachThreads) each_kernel(std::int64_t count, const F function) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += step)
    function(i);
}

template <typename F>
__global__ void __launch_bounds__(kTeamMax) team_kernel(const F function) {
  __shared__ double shared[kSharedDoubles];
  function(Team(shared));
}

/// Enqueues function(i) for i in 0..count-1, in any order.
template <typename F>
void each(Queue& queue, std::int64_t count, const F& function) {
  if (count <= 0) return;
  const std::int64_t blocks = std::min((count + kEachThreads - 1) / kEachThreads, kEachBlocksMax);
  each_kernel<F>
      <<<static_cast<unsigned>(blocks), kEachThreads, 0, static_cast<cudaStream_t>(queue.stream())>>>(
          count, function);
  queue.note(static_cast<int>(cudaGetLastError()), "starting a kernel");
}

/// Enqueues function(team) for so many teams (at most 2^31 - 1) of `threads`, a power of 2 up to kTeamMax.
template <typename F>
void teams(Queue& queue, std::int64_t count, int threads, const F& function) {
  if (count <= 0) return;
  team_kernel<F><<<static_cast<unsigned>(count), static_cast<unsigned>(threads), 0,
                   static_cast<cudaStream_t>(queue.stream())>>>(function);
  queue.note(static_cast<int>(cudaGetLastError()), "starting a kernel");
}

}  // namespace trainyard::ops::cuda
