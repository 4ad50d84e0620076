// What a device's two streams may do, as unkindly as they may: kernels and copies wait until somebody has to
// see them, a copy beside them is done as early or as late as its order allows, in turns. So a test fails
// where memory is used again too soon, or an address of a recording is gone. Of one thread.
#pragma once

#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

namespace trainyard::ops::cuda {

class HostStream {
 public:
  using Work = std::function<void()>;

  void enqueue(Work work) { (recorded_ != nullptr ? *recorded_ : waiting_).push_back(std::move(work)); }
  void enqueue_beside(Work work) {
    late_.push_back(std::move(work));
    early_ = !early_;
    if (!early_) return;
    run(joined_);
    run_late();
  }
  void join() {
    for (Work& work : late_) waiting_.push_back(std::move(work));
    late_.clear();
    joined_ = waiting_.size();
  }
  std::vector<Work> record(const Work& work) {
    std::vector<Work> out;
    recorded_ = &out;
    work();
    recorded_ = nullptr;
    return out;
  }
  void wait() { run(waiting_.size()); }
  /// Both streams.
  void finish() {
    wait();
    run_late();
  }

 private:
  void run(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) waiting_[i]();
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(count));
    joined_ -= joined_ < count ? joined_ : count;
  }
  void run_late() {
    for (const Work& work : late_) work();
    late_.clear();
  }

  std::vector<Work> waiting_, late_;
  std::vector<Work>* recorded_ = nullptr;
  std::size_t joined_ = 0;  // of those that wait: enqueued in front of the last join
  bool early_ = false;
};

}  // namespace trainyard::ops::cuda
