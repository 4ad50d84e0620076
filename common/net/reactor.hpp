// One thread's event loop. Everything that is given to it runs on the thread inside run(); post() alone may
// be called from other threads. Owns timers and signals; sessions and servers borrow it and must not outlive
// it.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>

#include "common/base/time.hpp"

namespace boost::asio {
class io_context;
}

namespace trainyard::net {

class Reactor {
 public:
  Reactor();
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  void run();                                              // until stop()
  void stop();                                             // from any thread
  void post(std::function<void()> work);                   // from any thread; in order
  void after(Duration delay, std::function<void()> work);  // once
  void every(Duration period,
             std::function<void()> work);  // first after one period; a late call is not repeated
  void on_signal(std::initializer_list<int> signals, std::function<void(int)> handler);
  /// Calls back each time the descriptor can be read. The descriptor stays the caller's; forget it by
  /// unwatch().
  void watch(int descriptor, std::function<void()> readable);
  void unwatch(int descriptor);

  boost::asio::io_context& context();  // for common/net itself

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace trainyard::net
