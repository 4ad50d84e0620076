#include "common/net/reactor.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <vector>

namespace trainyard::net {

namespace asio = boost::asio;

struct Reactor::State {
  struct Signals {
    Signals(asio::io_context& context, std::function<void(int)> handler)
        : set(context), handler(std::move(handler)) {}
    asio::signal_set set;
    std::function<void(int)> handler;
    void wait() {
      set.async_wait([this](const boost::system::error_code& error, int signal) {
        if (error) return;
        handler(signal);
        wait();
      });
    }
  };
  struct Watch {
    asio::posix::stream_descriptor descriptor;
    std::function<void()> readable;
  };

  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard{context.get_executor()};
  std::vector<std::unique_ptr<Signals>> signals;
  std::map<int, std::shared_ptr<Watch>> watches;

  void tick(const std::shared_ptr<asio::steady_timer>& timer, Duration period,
            const std::shared_ptr<std::function<void()>>& work) {
    timer->expires_after(period);
    timer->async_wait([this, timer, period, work](const boost::system::error_code& error) {
      if (error) return;
      (*work)();
      tick(timer, period, work);
    });
  }
  static void wait_readable(const std::shared_ptr<Watch>& watch) {
    watch->descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                                 [watch](const boost::system::error_code& error) {
                                   if (error || !watch->readable) return;
                                   const auto work = watch->readable;  // it may unwatch itself
                                   work();
                                   if (watch->readable) wait_readable(watch);
                                 });
  }
};

Reactor::Reactor() : state_(std::make_unique<State>()) {}

Reactor::~Reactor() {
  while (!state_->watches.empty()) unwatch(state_->watches.begin()->first);
}

void Reactor::run() {
  state_->context.restart();
  state_->context.run();
}
void Reactor::stop() { state_->context.stop(); }
void Reactor::post(std::function<void()> work) { asio::post(state_->context, std::move(work)); }

void Reactor::after(Duration delay, std::function<void()> work) {
  auto timer = std::make_shared<asio::steady_timer>(state_->context, delay);
  timer->async_wait([timer, work = std::move(work)](const boost::system::error_code& error) {
    if (!error) work();
  });
}

void Reactor::every(Duration period, std::function<void()> work) {
  state_->tick(std::make_shared<asio::steady_timer>(state_->context), period,
               std::make_shared<std::function<void()>>(std::move(work)));
}

void Reactor::on_signal(std::initializer_list<int> signals, std::function<void(int)> handler) {
  auto& entry =
      state_->signals.emplace_back(std::make_unique<State::Signals>(state_->context, std::move(handler)));
  for (const int signal : signals) entry->set.add(signal);
  entry->wait();
}

void Reactor::watch(int descriptor, std::function<void()> readable) {
  auto entry = std::make_shared<State::Watch>(
      State::Watch{asio::posix::stream_descriptor(state_->context, descriptor), std::move(readable)});
  state_->watches[descriptor] = entry;
  State::wait_readable(entry);
}

void Reactor::unwatch(int descriptor) {
  const auto found = state_->watches.find(descriptor);
  if (found == state_->watches.end()) return;
  found->second->readable = nullptr;
  found->second->descriptor.release();  // the descriptor stays its owner's
  state_->watches.erase(found);
}

asio::io_context& Reactor::context() { return state_->context; }

}  // namespace trainyard::net
