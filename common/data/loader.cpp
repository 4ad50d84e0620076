#include "common/data/loader.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "common/base/random.hpp"

namespace trainyard::data {

namespace {

struct Request {
  std::uint64_t step = 0, epoch = 0;
  bool training = false;
  std::vector<std::uint32_t> records;
};

/// A batch that was asked for: waiting, being made, or made.
struct Slot {
  Request request;
  bool started = false, done = false;
  Batch batch;
};

}  // namespace

struct Loader::State {
  State(const Dataset& dataset, const Pipeline& pipeline, std::uint32_t depth, std::uint64_t seed)
      : dataset(dataset), pipeline(pipeline), depth(depth), seed(seed) {}

  const Dataset& dataset;
  const Pipeline& pipeline;
  const std::uint32_t depth;
  const std::uint64_t seed;

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::shared_ptr<Slot>> slots;  // in the order of the requests
  bool ended = false;
  std::vector<std::thread> threads;

  /// The oldest batch that nobody makes yet, among the first `depth`.
  std::shared_ptr<Slot> take_waiting() {
    for (std::size_t i = 0; i < slots.size() && i < depth; ++i) {
      if (!slots[i]->started) {
        slots[i]->started = true;
        return slots[i];
      }
    }
    return nullptr;
  }

  /// The oldest one, which is done.
  Batch take(std::unique_lock<std::mutex>& lock) {
    const std::shared_ptr<Slot> first = slots.front();
    slots.pop_front();
    lock.unlock();
    changed.notify_all();  // the window moved on
    return std::move(first->batch);
  }

  Batch make(const Request& request) const {
    Batch batch;
    batch.step = request.step;
    std::vector<float> picture(pipeline.floats());
    for (const std::uint32_t record : request.records) {
      const std::uint64_t key = mix(seed, request.epoch, record);
      auto image = dataset.read(record, pipeline.height_wanted(), pipeline.width_wanted());
      const Status status =
          image ? pipeline.apply(*image, request.training, key, picture) : Status(image.error());
      if (!status) {
        batch.bad.push_back(dataset.name(record) + ": " + status.error().message);
        continue;
      }
      batch.images.insert(batch.images.end(), picture.begin(), picture.end());
      batch.labels.push_back(dataset.label(record));
      batch.keys.push_back(key);
      batch.records.push_back(record);
    }
    return batch;
  }

  void work() {
    std::unique_lock lock(mutex);
    while (!ended) {
      const std::shared_ptr<Slot> slot = take_waiting();
      if (!slot) {
        changed.wait(lock);
        continue;
      }
      lock.unlock();
      Batch batch = make(slot->request);
      lock.lock();
      slot->batch = std::move(batch);
      slot->done = true;
      changed.notify_all();
    }
  }
};

Loader::Loader(const Dataset& dataset, const Pipeline& pipeline, std::uint32_t threads, std::uint32_t depth,
               std::uint64_t seed)
    : state_(std::make_unique<State>(dataset, pipeline, std::max(1u, depth), seed)) {
  for (std::uint32_t i = 0; i < std::max(1u, threads); ++i)
    state_->threads.emplace_back([state = state_.get()] { state->work(); });
}

Loader::~Loader() {
  {
    std::lock_guard lock(state_->mutex);
    state_->ended = true;
  }
  state_->changed.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

void Loader::request(std::uint64_t step, std::uint64_t epoch, bool training,
                     std::vector<std::uint32_t> records) {
  auto slot = std::make_shared<Slot>();
  slot->request = {step, epoch, training, std::move(records)};
  {
    std::lock_guard lock(state_->mutex);
    state_->slots.push_back(std::move(slot));
  }
  state_->changed.notify_all();
}

std::optional<Batch> Loader::next() {
  std::unique_lock lock(state_->mutex);
  if (state_->slots.empty()) return std::nullopt;
  const std::shared_ptr<Slot> first = state_->slots.front();
  state_->changed.wait(lock, [&] { return first->done; });
  return state_->take(lock);
}

std::optional<Batch> Loader::next_if_ready() {
  std::unique_lock lock(state_->mutex);
  if (state_->slots.empty() || !state_->slots.front()->done) return std::nullopt;
  return state_->take(lock);
}

}  // namespace trainyard::data
