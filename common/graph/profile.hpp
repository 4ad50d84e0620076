// Times every operator of a program from inside, and says in a table or as a trace where a step's time went.
// Belongs to the thread that runs the program.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/time.hpp"
#include "common/graph/graph.hpp"
#include "common/graph/program.hpp"

namespace trainyard::graph {

class Profiler final : public Observer {
 public:
  /// `origins` are those of the model that the program comes from. Both have to live as long as this.
  Profiler(const Program& program, std::span<const Origin> origins);

  void begins(std::size_t index) override;
  void ended(std::size_t index) override;
  /// A part of a step that is no operator: "input", "step 7". For the trace.
  void span(std::string name, Time from, Time to);
  /// Runs of the program that were seen.
  std::uint64_t runs() const { return totals_.empty() ? 0 : totals_.back().calls; }

  /// Operators by the time that they take, then the `rows` slowest places of the network. Times are of the
  /// clock, a run; GFLOP/s and GB/s count as ops/work.hpp says.
  std::string table(std::size_t rows = 20) const;
  /// JSON that chrome://tracing and Perfetto show; bounded to events_max events.
  std::string trace(int process = 0) const;

  static constexpr std::size_t events_max = 200'000;

 private:
  struct Total {
    std::uint64_t calls = 0;
    Duration time{};
  };
  struct Event {
    std::uint32_t index = 0;
    Time from;
    Duration took{};
  };
  struct Span {
    std::string name;
    Time from;
    Duration took{};
  };
  std::string place_of(std::size_t index) const;

  const Program& program_;
  const std::span<const Origin> origins_;
  std::vector<Total> totals_;  // of steps of the program
  std::vector<Event> events_;
  std::vector<Span> spans_;
  Time began_;
};

}  // namespace trainyard::graph
