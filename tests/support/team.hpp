// As many threads of OpenMP as a test wants, for as long as this lives.
#pragma once

#include <omp.h>

namespace trainyard::test {

class Team {
 public:
  explicit Team(int threads) : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
  ~Team() { omp_set_num_threads(before_); }
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

 private:
  int before_;
};

}  // namespace trainyard::test
