// A ring of neighbours. Each rank sends values to the next one and short notices back to the previous one
// over the same connection. One thread at a time moves the bytes, hears of failures and passes them on: the
// caller's while it waits, else the ring's own.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "common/collective/flow.hpp"
#include "common/collective/group.hpp"
#include "common/collective/notice.hpp"
#include "common/collective/passage.hpp"

namespace trainyard::collective {

struct Neighbours {
  Descriptor next, previous;  // connected, after their greetings
  std::unique_ptr<Outflow> out;
  std::unique_ptr<Inflow> in;
};

class Ring final : public Group {
 public:
  Ring(RingSettings settings, Neighbours neighbours);
  /// Tells the neighbours that this rank leaves; what is still under way ends with an error everywhere.
  ~Ring() override;

  std::uint32_t rank() const override { return settings_.rank; }
  std::uint32_t ranks() const override { return static_cast<std::uint32_t>(settings_.endpoints.size()); }
  Ticket submit(std::vector<Piece> bucket) override;
  Status wait(Ticket ticket) override;
  Status finish(std::vector<Piece> bucket) override;
  Status broadcast(std::span<std::byte> bytes, std::uint32_t root) override;
  Status reduce_scatter(std::span<float> values) override;
  Status all_gather(std::span<float> values) override;
  void abort(const std::string& reason) override;

 private:
  Ticket enqueue(Kind kind, std::uint32_t root, std::vector<Piece> pieces);
  bool over_or_done(Ticket ticket);
  // What follows belongs to whoever has the turn.
  void run();
  void help(Ticket ticket);
  bool go_on();
  bool take_next();
  void begin();
  bool move();
  void complete();
  void add_up();
  void await_events(std::unique_lock<std::mutex>& turn, bool helper);
  void tick();
  void hear();
  void heard(const Notice& notice);
  void next_ended(const std::string& reason);
  void troubled(const Trouble& trouble);
  void fail(const std::string& text);
  void flush();
  void flush_for(Duration patience);
  void leave();
  std::uint32_t next() const { return (rank() + 1) % ranks(); }
  std::uint32_t previous() const { return (rank() + ranks() - 1) % ranks(); }

  const RingSettings settings_;
  Neighbours neighbours_;
  const Descriptor wake_;

  std::mutex mutex_;  // of what follows
  std::deque<Operation> queue_;
  Ticket submitted_ = 0, done_ = 0;
  std::optional<Error> failed_;
  std::optional<std::string> abort_;
  bool closing_ = false;

  std::mutex turn_;                        // of what follows
  std::condition_variable returned_;       // the turn, to the ring's own thread
  std::atomic<std::uint32_t> helpers_{0};  // who want the turn before the ring's own thread
  std::optional<Operation> operation_;
  std::optional<Passage> passage_;
  std::vector<float> whole_;  // arrays of all ranks, where they go round whole
  NoticeReader notices_;
  std::vector<std::byte> notices_out_;
  struct Suspect {
    std::string text;
    Time until{};
  };
  std::optional<Suspect> suspect_;  // the previous rank; the true culprit may still be named
  bool next_left_ = false, next_closed_ = false, previous_closed_ = false, over_ = false;
  Time next_tick_{};
  Duration tick_every_{};
  bool heard_ = true;
  std::uint32_t silent_ = 0;  // ticks

  std::thread thread_;
};

}  // namespace trainyard::collective
