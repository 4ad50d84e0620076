// The same interface as common/ops/cuda/nvidia/launch.hpp on the host: indices one after the other, the
// threads of a team as coroutines that take turns at each sync. Proves what kernels compute and where they
// read and write; it says nothing about the device's own order or speed.
#pragma once

#include <cstdint>
#include <functional>

#include "common/ops/cuda/queue.hpp"
#include "stream.hpp"

#define __device__

namespace trainyard::ops::cuda {

inline constexpr int kTeamMax = 256;
inline constexpr int kSharedDoubles = 1056;

/// Calls body(thread) for each of `threads` threads; turn() inside hands over to the next.
void run_threads(int threads, const std::function<void(int)>& body);
void turn();

class Team {
 public:
  Team(std::int64_t index, int thread, int threads, double* shared)
      : index_(index), thread_(thread), threads_(threads), shared_(shared) {}
  int thread() const { return thread_; }
  int threads() const { return threads_; }
  std::int64_t index() const { return index_; }
  void sync() const { turn(); }
  template <typename T>
  T* shared() const {
    return reinterpret_cast<T*>(shared_);
  }
  template <typename T, typename Combine>
  T reduce(T value, const Combine& combine) const {
    static_assert(sizeof(T) <= sizeof(double));
    T* const slots = shared<T>();
    sync();
    slots[thread_] = value;
    for (int width = threads_ / 2; width > 0; width /= 2) {
      sync();
      if (thread_ < width) slots[thread_] = combine(slots[thread_], slots[thread_ + width]);
    }
    sync();
    return slots[0];
  }

 private:
  std::int64_t index_;
  int thread_, threads_;
  double* shared_;
};

inline HostStream& stream_of(const Queue& queue) { return *static_cast<HostStream*>(queue.stream()); }

template <typename F>
void each(Queue& queue, std::int64_t count, const F& function) {
  stream_of(queue).enqueue([=] {
    // Backwards: nothing may rely on an order.
    for (std::int64_t i = count; i-- > 0;) function(i);
  });
}

template <typename F>
void teams(Queue& queue, std::int64_t count, int threads, const F& function) {
  stream_of(queue).enqueue([=] {
    double shared[kSharedDoubles];
    for (std::int64_t index = count; index-- > 0;) {
      for (double& value : shared) value = -7e300;
      run_threads(threads, [&](int thread) { function(Team(index, thread, threads, shared)); });
    }
  });
}

}  // namespace trainyard::ops::cuda
