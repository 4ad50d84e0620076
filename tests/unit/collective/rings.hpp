// Rings of threads in one process, over real sockets and shared memory.
#pragma once

#include <catch2/catch.hpp>
#include <functional>
#include <future>
#include <memory>
#include <vector>

#include "common/collective/group.hpp"

namespace trainyard::collective::test {

struct Shape {
  std::uint32_t ranks = 2;
  bool shared_memory = false;
  Duration patience = 20s;
  std::uint64_t whole_bytes_max = 256 << 10;
};

inline std::vector<std::unique_ptr<Listener>> listeners(std::uint32_t ranks) {
  std::vector<std::unique_ptr<Listener>> all;
  for (std::uint32_t i = 0; i < ranks; ++i) {
    auto listener = Listener::bind("127.0.0.1");
    REQUIRE(listener.has_value());
    all.push_back(std::move(*listener));
  }
  return all;
}

inline RingSettings settings_of(const std::vector<std::unique_ptr<Listener>>& all, std::uint32_t rank,
                                const Shape& shape) {
  RingSettings settings{.rank = rank,
                        .endpoints = {},
                        .job = 7,
                        .incarnation = 3,
                        .secret = "of this job",
                        .patience = shape.patience,
                        .shared_memory = shape.shared_memory,
                        .whole_bytes_max = shape.whole_bytes_max};
  for (const auto& listener : all) settings.endpoints.push_back(listener->endpoint());
  return settings;
}

/// What each rank ends with. `work` runs on a thread of its own, where Catch may not be called.
inline std::vector<Status> run_ring(const Shape& shape,
                                    const std::function<Status(std::unique_ptr<Group>)>& work) {
  const auto all = listeners(shape.ranks);
  std::vector<std::future<Status>> running;
  for (std::uint32_t rank = 0; rank < shape.ranks; ++rank) {
    running.push_back(std::async(std::launch::async, [&, rank]() -> Status {
      auto group = connect_ring(settings_of(all, rank, shape), *all[rank]);
      if (!group) return group.error();
      return work(std::move(*group));
    }));
  }
  std::vector<Status> ends;
  for (auto& one : running) ends.push_back(one.get());
  return ends;
}

inline void require_all(const std::vector<Status>& ends) {
  for (const Status& end : ends) {
    INFO((end ? "" : end.error().message));
    REQUIRE(end.has_value());
  }
}

}  // namespace trainyard::collective::test
