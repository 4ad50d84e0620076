// Mailbox<T>: a bounded queue between two threads, by moving values. A full one makes the sender wait, a
// closed one ends both sides. With Reactor::post the only ways in which threads meet.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include "common/base/check.hpp"
#include "common/base/time.hpp"

namespace trainyard {

template <typename T>
class Mailbox {
 public:
  explicit Mailbox(std::size_t capacity) : capacity_(capacity) {
    check(capacity > 0, "a mailbox needs room");
  }
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  /// Waits for room. False: closed, the value is dropped.
  bool put(T value) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return closed_ || queue_.size() < capacity_; });
    if (closed_) return false;
    queue_.push_back(std::move(value));
    lock.unlock();
    filled_.notify_one();
    return true;
  }
  /// Never waits. False: full or closed, `value` is untouched.
  bool try_put(T& value) {
    {
      std::lock_guard lock(mutex_);
      if (closed_ || queue_.size() >= capacity_) return false;
      queue_.push_back(std::move(value));
    }
    filled_.notify_one();
    return true;
  }
  /// Waits for a value; nothing once the mailbox is closed and empty.
  std::optional<T> take() {
    std::unique_lock lock(mutex_);
    filled_.wait(lock, [&] { return closed_ || !queue_.empty(); });
    return pop(lock);
  }
  /// As take, but gives up after `patience`.
  std::optional<T> take_for(Duration patience) {
    std::unique_lock lock(mutex_);
    filled_.wait_for(lock, patience, [&] { return closed_ || !queue_.empty(); });
    return pop(lock);
  }
  void close() {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    room_.notify_all();
    filled_.notify_all();
  }
  bool closed() const {
    std::lock_guard lock(mutex_);
    return closed_;
  }

 private:
  std::optional<T> pop(std::unique_lock<std::mutex>& lock) {
    if (queue_.empty()) return std::nullopt;
    std::optional<T> value(std::move(queue_.front()));
    queue_.pop_front();
    lock.unlock();
    room_.notify_one();
    return value;
  }

  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::condition_variable room_;
  std::condition_variable filled_;
  std::deque<T> queue_;
  bool closed_ = false;
};

}  // namespace trainyard
