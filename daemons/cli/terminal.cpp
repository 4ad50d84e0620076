#include "daemons/cli/terminal.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace trainyard::cli {

namespace {

volatile std::sig_atomic_t interrupts = 0;
int output_error = 0;  // errno of the first write to stdout that failed

void remember_interrupt(int) {
  interrupts = interrupts + 1;
  if (interrupts > 2) _exit(exit_interrupted);
}

void write_all(std::FILE* file, std::string_view text) { std::fwrite(text.data(), 1, text.size(), file); }

std::string_view code_of(Colour colour) {
  switch (colour) {
    case Colour::bold:
      return "\x1b[1m";
    case Colour::dim:
      return "\x1b[2m";
    case Colour::red:
      return "\x1b[31m";
    case Colour::green:
      return "\x1b[32m";
    case Colour::yellow:
      return "\x1b[33m";
    case Colour::cyan:
      return "\x1b[36m";
    case Colour::none:
      break;
  }
  return "";
}

}  // namespace

int exit_code(Errc code) {
  switch (code) {
    case Errc::invalid:
      return exit_usage;
    case Errc::unavailable:
      return exit_unreachable;
    case Errc::not_found:
      return exit_not_found;
    case Errc::refused:
      return exit_refused;
    case Errc::conflict:
    case Errc::io:
    case Errc::corrupt:
      break;
  }
  return exit_failed;
}

int fail(const Error& error) {
  say_line(paint("trainyard:", Colour::red, Stream::err) + " " + error.message);
  return exit_code(error.code);
}

void warn(std::string_view message) {
  say_line(paint("trainyard:", Colour::yellow, Stream::err) + " " + std::string(message));
}

void say_line(std::string_view line) {
  std::fflush(stdout);
  write_all(stderr, line);
  if (line.empty() || line.back() != '\n') std::fputc('\n', stderr);
}

void put(std::string_view text) {
  if (output_error != 0) return;
  const bool whole = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (!whole || std::fflush(stdout) != 0) output_error = errno == 0 ? EIO : errno;
}

bool has_reader() { return output_error == 0; }

int exit_code_after(int code) {
  if (output_error == 0 || output_error == EPIPE) return code;
  return fail({Errc::io, std::string("standard output: cannot write: ") + std::strerror(output_error)});
}

bool is_terminal(Stream stream) { return isatty(stream == Stream::out ? STDOUT_FILENO : STDERR_FILENO) == 1; }

bool can_redraw(Stream stream) {
  const char* term = std::getenv("TERM");
  return term != nullptr && std::string_view(term) != "dumb" && is_terminal(stream);
}

bool has_colour(Stream stream) {
  const char* no_color = std::getenv("NO_COLOR");
  return (no_color == nullptr || *no_color == '\0') && can_redraw(stream);
}

std::size_t terminal_width() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20) return 80;
  return size.ws_col;
}

std::string paint(std::string_view text, Colour colour, Stream stream) {
  if (colour == Colour::none || !has_colour(stream)) return std::string(text);
  return std::string(code_of(colour)) + std::string(text) + "\x1b[0m";
}

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = remember_interrupt;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction before {};
  sigaction(SIGHUP, nullptr, &before);
  if (before.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);  // nohup keeps its promise
}

bool was_interrupted() { return interrupts > 0; }

void pause_for(Duration duration) {
  constexpr Duration slice = 50ms;
  for (Duration left = duration; left > Duration::zero() && !was_interrupted(); left -= slice) {
    std::this_thread::sleep_for(std::min(left, slice));
  }
}

}  // namespace trainyard::cli
