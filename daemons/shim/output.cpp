#include "daemons/shim/output.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "common/runtime/task_files.hpp"

namespace trainyard::shim {

LogFile::LogFile(std::string path, std::uint64_t bytes_max) : path_(std::move(path)), bytes_max_(bytes_max) {
  open();
}

LogFile::~LogFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void LogFile::open() {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  struct stat status {};
  size_ =
      descriptor_ >= 0 && ::fstat(descriptor_, &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

void LogFile::append(std::string_view bytes) {
  if (size_ >= bytes_max_) rotate();
  if (descriptor_ < 0) open();
  while (!bytes.empty() && descriptor_ >= 0) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;
    size_ += static_cast<std::uint64_t>(written);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  dropped_ += bytes.size();
}

void LogFile::rotate() {
  // Where a rename fails the file is emptied: the newest output is worth more than the oldest.
  if (::rename(path_.c_str(), (path_ + ".1").c_str()) != 0) {
    if (descriptor_ >= 0 && ::ftruncate(descriptor_, 0) != 0) return;
  }
  if (descriptor_ >= 0) ::close(descriptor_);
  start_ += size_;
  static_cast<void>(runtime::write_log_start(path_, start_).has_value());
  open();
}

void LineTail::append(std::string_view bytes) {
  for (const char c : bytes) {
    if (c == '\n' || c == '\r') {
      end_line();
    } else if (open_.size() < line_bytes_max_) {
      open_.push_back(c);
    }
  }
}

void LineTail::end_line() {
  if (!open_.empty()) lines_.push_back(std::move(open_));
  open_.clear();
  if (lines_.size() > lines_max_) lines_.pop_front();
}

std::vector<std::string> LineTail::lines() const {
  std::vector<std::string> all(lines_.begin(), lines_.end());
  if (!open_.empty()) all.push_back(open_);
  if (all.size() > lines_max_) all.erase(all.begin());
  return all;
}

}  // namespace trainyard::shim
