#include <sys/socket.h>
#include <unistd.h>

#include <sys/wait.h>
#include <atomic>
#include <csignal>
#include <thread>

#include "common/base/text.hpp"
#include "common/collective/greeting.hpp"
#include "tests/unit/collective/rings.hpp"

namespace trainyard::collective {

namespace {

Time now() { return std::chrono::steady_clock::now(); }

/// Sums until somebody fails.
Status sum_on(Group& group, std::size_t count) {
  std::vector<float> values(count, 1.0f);
  while (true) {
    if (const Status done = group.all_reduce(values); !done) return done;
    std::fill(values.begin(), values.end(), 1.0f);
  }
}

/// A ring of three whose rank 2 is a process of its own, which `signal` meets while all sum.
std::vector<Status> ring_whose_last_gets(int signal, bool shared) {
  const test::Shape shape{.ranks = 3, .shared_memory = shared, .patience = 800ms};
  const auto all = test::listeners(3);
  const pid_t child = fork();
  if (child == 0) {
    auto group = connect_ring(test::settings_of(all, 2, shape), *all[2]);
    if (group) (void)sum_on(**group, 200'000);
    _exit(0);
  }
  std::vector<std::future<Status>> running;
  for (std::uint32_t rank = 0; rank < 2; ++rank) {
    running.push_back(std::async(std::launch::async, [&, rank]() -> Status {
      auto group = connect_ring(test::settings_of(all, rank, shape), *all[rank]);
      if (!group) return group.error();
      return sum_on(**group, 200'000);
    }));
  }
  std::this_thread::sleep_for(300ms);
  ::kill(child, signal);
  std::vector<Status> ends;
  for (auto& one : running) ends.push_back(one.get());
  ::kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  return ends;
}

}  // namespace

TEST_CASE("the death of a rank is an error on all others that names it", "[collective]") {
  for (const bool shared : {false, true}) {
    for (const Status& end : ring_whose_last_gets(SIGKILL, shared)) {
      REQUIRE_FALSE(end.has_value());
      INFO(end.error().message);
      CHECK(end.error().code == Errc::unavailable);
      CHECK(end.error().message.starts_with("rank 2 is gone: "));
    }
  }
}

TEST_CASE("a rank that stands still is named once the patience is over", "[collective]") {
  for (const Status& end : ring_whose_last_gets(SIGSTOP, false)) {
    REQUIRE_FALSE(end.has_value());
    CHECK(end.error().message == "rank 2 was silent for 800ms");
  }
}

TEST_CASE("a rank that leaves with work before it is named by all who wait for it", "[collective]") {
  for (const std::uint32_t ranks : {2u, 3u, 5u}) {
    const auto ends = test::run_ring({ranks, true}, [](std::unique_ptr<Group> group) -> Status {
      std::vector<float> values(200'000, 1.0f);
      if (const Status done = group->all_reduce(values); !done) return done;
      if (group->rank() == 1) return {};
      return sum_on(*group, 200'000);
    });
    for (std::uint32_t rank = 0; rank < ranks; ++rank) {
      INFO(ranks << " ranks, rank " << rank << ": " << (ends[rank] ? "" : ends[rank].error().message));
      CHECK(ends[rank].has_value() == (rank == 1));
      if (rank == 1) continue;
      const std::string& text = ends[rank].error().message;
      CHECK((text == "rank 1 has left" || text.starts_with("rank 1 is gone: ")));
    }
  }
}

TEST_CASE("ranks whose arrays differ get an error, and nobody hangs", "[collective]") {
  for (const bool shared : {false, true}) {
    const auto ends = test::run_ring({3, shared}, [](std::unique_ptr<Group> group) -> Status {
      std::vector<float> values(group->rank() == 1 ? 99'999 : 100'000, 1.0f);
      return group->all_reduce(values);
    });
    for (const Status& end : ends) {
      REQUIRE_FALSE(end.has_value());
      CHECK_THAT(end.error().message,
                 Catch::Contains("is at operation 1, all_reduce of") && Catch::Contains("399996"));
    }
  }
}

TEST_CASE("an abort wakes every waiter on every rank and says why", "[collective]") {
  const auto ends = test::run_ring({3, true}, [](std::unique_ptr<Group> group) -> Status {
    std::vector<float> values(1000, 1.0f);
    if (const Status done = group->all_reduce(values); !done) return done;
    if (group->rank() != 2) return group->all_reduce(values);  // which rank 2 never joins
    std::this_thread::sleep_for(50ms);
    group->abort("it has seen enough");
    return group->all_reduce(values);
  });
  for (const Status& end : ends) {
    REQUIRE_FALSE(end.has_value());
    CHECK(end.error().message == "rank 2 gave up: it has seen enough");
  }
}

TEST_CASE("what a rank cancels ends its waits and those of the others", "[collective]") {
  std::atomic<bool> cancelled{false};
  const auto all = test::listeners(2);
  const auto rank = [&](std::uint32_t number, bool cancels) -> Status {
    auto settings = test::settings_of(all, number, {});
    if (cancels) settings.cancelled = &cancelled;
    auto group = connect_ring(settings, *all[number]);
    if (!group) return group.error();
    std::vector<float> values(1000, 1.0f);
    if (cancels) return (*group)->all_reduce(values);
    std::this_thread::sleep_for(50ms);
    cancelled = true;
    std::this_thread::sleep_for(150ms);
    return (*group)->all_reduce(values);
  };
  auto other = std::async(std::launch::async, rank, 1, true);
  CHECK(rank(0, false).error().message == "rank 1 gave up: cancelled");
  CHECK(other.get().error().message == "rank 1 gave up: cancelled");
}

TEST_CASE("an earlier life is refused, strangers are sent away, and the ring still comes about",
          "[collective]") {
  const auto all = test::listeners(2);
  const auto settings = [&](std::uint32_t rank, std::uint32_t incarnation) {
    auto out = test::settings_of(all, rank, {.ranks = 2, .patience = 5s});
    out.incarnation = incarnation;
    return out;
  };
  auto first = std::async(std::launch::async, [&]() -> Status {
    auto group = connect_ring(settings(0, 3), *all[0]);
    if (!group) return group.error();
    std::vector<float> values(10, 1.0f);
    const Status done = (*group)->all_reduce(values);
    return done && values[9] != 2.0f ? Status(Error{Errc::corrupt, "the sum"}) : done;
  });
  auto stranger = connect_to(all[0]->endpoint(), {now() + 2s, nullptr});
  REQUIRE(stranger.has_value());
  const char words[] = "GET / HTTP/1.1\r\n\r\n";
  REQUIRE(::send(stranger->number(), words, sizeof words, MSG_NOSIGNAL) > 0);
  // The earlier life has a listener of its own, where nobody of this one connects.
  const auto old = Listener::bind("127.0.0.1");
  const auto stale = connect_ring(settings(1, 2), **old);
  REQUIRE_FALSE(stale.has_value());
  CHECK(stale.error().code == Errc::refused);
  CHECK_THAT(stale.error().message, Catch::EndsWith("refuses: this is incarnation 3; 2 is over"));
  auto group = connect_ring(settings(1, 3), *all[1]);
  INFO((group ? "" : group.error().message));
  REQUIRE(group.has_value());
  std::vector<float> values(10, 1.0f);
  CHECK((*group)->all_reduce(values).has_value());
  CHECK(values[9] == 2.0f);
  const Status end = first.get();
  INFO((end ? "" : end.error().message));
  CHECK(end.has_value());
}

TEST_CASE("who waits for a rank that never comes is told which one after its patience", "[collective]") {
  const auto all = test::listeners(2);
  const Time began = now();
  const auto group = connect_ring(test::settings_of(all, 0, {.ranks = 2, .patience = 300ms}), *all[0]);
  REQUIRE_FALSE(group.has_value());
  CHECK(group.error().message == "rank 1: nobody connected");
  CHECK(now() - began < 5s);
}

}  // namespace trainyard::collective
