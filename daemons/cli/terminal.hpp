// The person at the other end: is it a terminal, may it be coloured, how wide is it, was Ctrl-C pressed.
// Messages go to stderr, data to stdout. One thread.
#pragma once

#include <string>
#include <string_view>

#include "common/base/result.hpp"
#include "common/base/text.hpp"

namespace trainyard::cli {

inline constexpr int exit_ok = 0, exit_failed = 1, exit_usage = 2, exit_unreachable = 3, exit_not_found = 4,
                     exit_refused = 5, exit_interrupted = 130;

/// SPEC section 3: the exit code that tells of this kind of error.
int exit_code(Errc code);

/// "trainyard: MESSAGE" on stderr, and the exit code that fits.
int fail(const Error& error);
void warn(std::string_view message);

/// A line on stderr.
void say_line(std::string_view line);
template <typename... Args>
void say(fmt::format_string<Args...> text, Args&&... args) {
  say_line(fmt::format(text, std::forward<Args>(args)...));
}

/// Data on stdout, flushed. After the first failure nothing more is written: loops ask has_reader(), and what
/// was started is still cleaned up.
void put(std::string_view text);
bool has_reader();
/// The exit code after all: a reader that has gone away ends the program quietly, as `| head` expects; a
/// stdout that cannot be written to (a full disk) is an error.
int exit_code_after(int code);

enum class Stream { out, err };
bool is_terminal(Stream stream);
/// Terminal, NO_COLOR unset or empty, TERM not "dumb".
bool has_colour(Stream stream);
/// A terminal that understands more than lines.
bool can_redraw(Stream stream);
/// Columns of the terminal behind stderr; 80 when there is none.
std::size_t terminal_width();

enum class Colour { none, bold, dim, red, green, yellow, cyan };
std::string paint(std::string_view text, Colour colour, Stream stream);

/// From now on SIGINT, SIGTERM and the SIGHUP of a closed terminal are only remembered; a third one ends the
/// program at once.
void catch_interrupts();
bool was_interrupted();
/// Sleeps, but returns early when interrupted.
void pause_for(Duration duration);

}  // namespace trainyard::cli
