// Counters, gauges and histograms of one process, printed in the text format of Prometheus (version 0.0.4).
// A metric is said once, where it is registered: name, labels, help. Updating is lock-free; registering is
// not.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace trainyard::metrics {

class Counter {
 public:
  void add(double amount = 1) { value_.fetch_add(amount, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

class Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

/// Upper bounds 1 ms ... 100 s in steps of about 3; observe() takes seconds.
class Histogram {
 public:
  static constexpr std::array bounds{0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0};
  void observe(double seconds);
  std::uint64_t count() const { return count_.load(std::memory_order_relaxed); }
  double sum() const { return sum_.load(std::memory_order_relaxed); }
  std::uint64_t bucket(std::size_t i) const { return buckets_[i].load(std::memory_order_relaxed); }

 private:
  std::array<std::atomic<std::uint64_t>, bounds.size()> buckets_{};
  std::atomic<std::uint64_t> count_{0};
  std::atomic<double> sum_{0};
};

/// Owned by the process's main; references that it hands out live as long as it does.
class Registry {
 public:
  /// `labels` is the inner text of the braces, e.g. `kind="heartbeat"`, or empty.
  Counter& counter(std::string name, std::string help, std::string labels = "");
  Gauge& gauge(std::string name, std::string help, std::string labels = "");
  Histogram& histogram(std::string name, std::string help, std::string labels = "");
  std::string text() const;

 private:
  enum class Kind { counter, gauge, histogram };
  struct Entry {
    Kind kind;
    std::string name, help, labels;
    Counter counter;
    Gauge gauge;
    Histogram histogram;
  };
  Entry& entry(Kind kind, std::string name, std::string help, std::string labels);
  mutable std::mutex mutex_;
  std::deque<Entry> entries_;
};

}  // namespace trainyard::metrics
