// What a task prints: LogFile keeps it on disk within a bound, LineTail keeps the last lines in memory.
// Neither ever waits or fails towards the task: what the disk does not take is dropped and counted.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace trainyard::shim {

/// Appends to `path`; above `bytes_max` the file becomes `path`.1 (the one before is gone) and a new one
/// begins.
class LogFile {
 public:
  LogFile(std::string path, std::uint64_t bytes_max);
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;
  ~LogFile();

  void append(std::string_view bytes);
  std::uint64_t dropped() const { return dropped_; }

 private:
  void open();
  void rotate();

  const std::string path_;
  const std::uint64_t bytes_max_;
  int descriptor_ = -1;
  std::uint64_t start_ = 0;  // of this file in the whole stream
  std::uint64_t size_ = 0;
  std::uint64_t dropped_ = 0;
};

/// The last `lines_max` lines, each cut after `line_bytes_max` bytes. A carriage return also ends a line,
/// since progress bars use it.
class LineTail {
 public:
  LineTail(std::size_t lines_max, std::size_t line_bytes_max)
      : lines_max_(lines_max), line_bytes_max_(line_bytes_max) {}
  void append(std::string_view bytes);
  std::vector<std::string> lines() const;

 private:
  void end_line();

  const std::size_t lines_max_, line_bytes_max_;
  std::deque<std::string> lines_;
  std::string open_;
};

}  // namespace trainyard::shim
