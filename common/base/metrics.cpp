#include "common/base/metrics.hpp"

#include <set>

#include "common/base/text.hpp"

namespace trainyard::metrics {

void Histogram::observe(double seconds) {
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    if (seconds <= bounds[i]) buckets_[i].fetch_add(1, std::memory_order_relaxed);
  }
  count_.fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(seconds, std::memory_order_relaxed);
}

Registry::Entry& Registry::entry(Kind kind, std::string name, std::string help, std::string labels) {
  std::lock_guard lock(mutex_);
  for (Entry& entry : entries_) {
    if (entry.name == name && entry.labels == labels) return entry;
  }
  Entry& entry = entries_.emplace_back();
  entry.kind = kind;
  entry.name = std::move(name);
  entry.help = std::move(help);
  entry.labels = std::move(labels);
  return entry;
}

Counter& Registry::counter(std::string name, std::string help, std::string labels) {
  return entry(Kind::counter, std::move(name), std::move(help), std::move(labels)).counter;
}
Gauge& Registry::gauge(std::string name, std::string help, std::string labels) {
  return entry(Kind::gauge, std::move(name), std::move(help), std::move(labels)).gauge;
}
Histogram& Registry::histogram(std::string name, std::string help, std::string labels) {
  return entry(Kind::histogram, std::move(name), std::move(help), std::move(labels)).histogram;
}

std::string Registry::text() const {
  std::lock_guard lock(mutex_);
  std::string out;
  std::set<std::string> described;
  for (const Entry& first : entries_) {
    if (!described.insert(first.name).second) continue;
    const char* kind = first.kind == Kind::counter ? "counter"
                       : first.kind == Kind::gauge ? "gauge"
                                                   : "histogram";
    out += format("# HELP {} {}\n# TYPE {} {}\n", first.name, first.help, first.name, kind);
    for (const Entry& entry : entries_) {
      if (entry.name != first.name) continue;
      const std::string braces = entry.labels.empty() ? "" : "{" + entry.labels + "}";
      if (entry.kind == Kind::counter) out += format("{}{} {}\n", entry.name, braces, entry.counter.value());
      if (entry.kind == Kind::gauge) out += format("{}{} {}\n", entry.name, braces, entry.gauge.value());
      if (entry.kind != Kind::histogram) continue;
      const std::string comma = entry.labels.empty() ? "" : ",";
      for (std::size_t i = 0; i < Histogram::bounds.size(); ++i) {
        out += format("{}_bucket{{{}{}le=\"{}\"}} {}\n", entry.name, entry.labels, comma,
                      Histogram::bounds[i], entry.histogram.bucket(i));
      }
      out += format("{}_bucket{{{}{}le=\"+Inf\"}} {}\n", entry.name, entry.labels, comma,
                    entry.histogram.count());
      out += format("{}_sum{} {}\n{}_count{} {}\n", entry.name, braces, entry.histogram.sum(), entry.name,
                    braces, entry.histogram.count());
    }
  }
  return out;
}

}  // namespace trainyard::metrics
