// Work that must not follow the size of the team: one thread does it, whoever asks. Private to this backend.
#pragma once

#include <omp.h>

#include <memory>

#include "common/ops/backend.hpp"

namespace trainyard::ops::cpu {

/// While it lives, teams of this thread are the thread alone.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

/// A kernel that is made and run so.
class OnOneThread final : public Kernel {
 public:
  template <typename Make>
  explicit OnOneThread(Make&& make) {
    const OneThread alone;
    inner_ = make();
    outputs_ = inner_->outputs();
    scratch_bytes_ = inner_->scratch_bytes();
    in_place_ = inner_->in_place();
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    const OneThread alone;
    inner_->run(inputs, outputs, scratch);
  }

 private:
  std::unique_ptr<Kernel> inner_;
};

}  // namespace trainyard::ops::cpu
