// Two processes of a rung of the transport ladder: one serves, the other sends messages with a bounded number
// in flight and counts what is acknowledged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace trainyard::bench {

struct Load {
  std::size_t bytes = 0;    // of a message
  std::size_t window = 1;   // messages in flight
  double seconds = 0.2;     // of the timed part
  std::size_t warm_up = 8;  // messages before it
};

/// One end of a line of text between the two processes.
class Line {
 public:
  explicit Line(int descriptor) : descriptor_(descriptor) {}
  void say(const std::string& text) const;
  std::string hear() const;

 private:
  int descriptor_;
};

/// Says why on stderr and ends the process.
[[noreturn]] void give_up(const std::string& reason);

/// Each in a process of its own; `serve` is killed when `drive` returns. Gives what drive gave.
double in_two_processes(const std::function<void(const Line&)>& serve,
                        const std::function<double(const Line&)>& drive);

/// Messages a second: `send` sends one, `await` waits for the answer to the oldest one.
double pace(const Load& load, const std::function<void()>& send, const std::function<void()>& await);

struct Rung {
  std::string name;
  std::function<double(const Load&)> run;  // messages a second
};

/// memcpy, shared memory, TCP and ZeroMQ without anything of ours.
std::vector<Rung> raw_rungs();
/// DataServer, DataClient and the shard's core, over TCP and over shared memory.
std::vector<Rung> own_rungs();

/// `into` += `from`; both hold whole floats.
void add(std::vector<float>& into, const void* from, std::size_t bytes, std::size_t first = 0);

}  // namespace trainyard::bench
