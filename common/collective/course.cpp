#include "common/collective/course.hpp"

namespace trainyard::collective {

namespace {

/// `back` ranks before this one.
std::uint32_t before(std::uint32_t rank, std::uint32_t ranks, std::uint32_t back) {
  return (rank + ranks - back % ranks) % ranks;
}

/// `turns` more turns, the first of which sends chunk `first`.
void add_turns(Course& course, std::uint32_t first, std::uint32_t ranks, std::uint64_t bytes, bool sums) {
  for (std::uint32_t turn = 0; turn + 1 < ranks; ++turn) {
    const Range sent = chunk_of(bytes, ranks, before(first, ranks, turn));
    Range received = chunk_of(bytes, ranks, before(first, ranks, turn + 1));
    received.sums = sums;
    course.sends.push_back(sent);
    course.receives.push_back(received);
  }
}

Course with_head(Course course) {
  if (!course.sends.empty()) course.head = course.sends.front().bytes;
  return course;
}

}  // namespace

Range chunk_of(std::uint64_t bytes, std::uint32_t ranks, std::uint32_t index, std::uint64_t unit) {
  const std::uint64_t values = bytes / unit, each = values / ranks, longer = values % ranks;
  const auto begin = [&](std::uint64_t i) { return (each * i + (i < longer ? i : longer)) * unit; };
  return {begin(index), begin(index + std::uint64_t{1}) - begin(index), false};
}

Course reduce_scatter_course(std::uint32_t rank, std::uint32_t ranks, std::uint64_t bytes) {
  Course course;
  add_turns(course, before(rank, ranks, 1), ranks, bytes, true);
  return with_head(std::move(course));
}

Course all_gather_course(std::uint32_t rank, std::uint32_t ranks, std::uint64_t bytes) {
  Course course;
  add_turns(course, rank, ranks, bytes, false);
  return with_head(std::move(course));
}

Course all_reduce_course(std::uint32_t rank, std::uint32_t ranks, std::uint64_t bytes) {
  Course course;
  add_turns(course, before(rank, ranks, 1), ranks, bytes, true);
  add_turns(course, rank, ranks, bytes, false);
  return with_head(std::move(course));
}

Course broadcast_course(std::uint32_t rank, std::uint32_t ranks, std::uint64_t bytes, std::uint32_t root) {
  Course course;
  if (ranks < 2) return course;
  const Range all{0, bytes, false};
  if (rank != root) course.receives.push_back(all);
  if ((rank + 1) % ranks != root) course.sends.push_back(all);
  if (rank == root) course.head = bytes;
  return course;
}

}  // namespace trainyard::collective
