// The protocol of a side of a benchmark: it reads the number of runs of a round from each line of its input
// and answers with the milliseconds of a run and a number that shows what was computed.
#pragma once

#include <chrono>
#include <cstdio>
#include <iostream>

namespace trainyard::bench {

/// run() computes once and gives that number.
template <typename Run>
void answer_rounds(const Run& run) {
  int runs = 0;
  while (std::cin >> runs) {
    double shown = 0;
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < runs; ++i) shown = run();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    std::printf("%.6f %.6f\n", took.count() / runs, shown);
    std::fflush(stdout);
  }
}

}  // namespace trainyard::bench
