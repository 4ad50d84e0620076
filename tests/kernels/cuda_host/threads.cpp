// Coroutines for the threads of a team. All of them sync the same number of times, or the device would hang:
// that is checked.
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "launch.hpp"

namespace trainyard::ops::cuda {
namespace {

constexpr std::size_t kStackBytes = 64 * 1024;

struct Coroutine {
  ucontext_t context{};
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  bool done = false;
};

std::vector<std::unique_ptr<Coroutine>> coroutines;
ucontext_t scheduler;
int current = 0;
const std::function<void(int)>* body = nullptr;

void enter() {
  (*body)(current);
  coroutines[static_cast<std::size_t>(current)]->done = true;
}

}  // namespace

void turn() { swapcontext(&coroutines[static_cast<std::size_t>(current)]->context, &scheduler); }

void run_threads(int threads, const std::function<void(int)>& of_thread) {
  body = &of_thread;
  while (coroutines.size() < static_cast<std::size_t>(threads))
    coroutines.push_back(std::make_unique<Coroutine>());
  for (int thread = 0; thread < threads; ++thread) {
    Coroutine& coroutine = *coroutines[static_cast<std::size_t>(thread)];
    getcontext(&coroutine.context);
    coroutine.context.uc_stack.ss_sp = coroutine.stack.get();
    coroutine.context.uc_stack.ss_size = kStackBytes;
    coroutine.context.uc_link = &scheduler;
    coroutine.done = false;
    makecontext(&coroutine.context, enter, 0);
  }
  for (int left = threads; left > 0;) {
    const int before = left;
    left = 0;
    // Backwards: nothing may rely on an order between two syncs.
    for (int thread = threads; thread-- > 0;) {
      Coroutine& coroutine = *coroutines[static_cast<std::size_t>(thread)];
      if (coroutine.done) continue;
      current = thread;
      swapcontext(&scheduler, &coroutine.context);
      if (!coroutine.done) ++left;
    }
    if (left != 0 && left != before) {
      std::fprintf(stderr, "%d threads of a team wait for %d that have ended\n", left, before - left);
      std::abort();
    }
  }
}

}  // namespace trainyard::ops::cuda
