// Text in and out: format, numbers, sizes ("2GiB"), durations ("10s"), nearest names for hints.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.hpp"
#include "common/base/time.hpp"

namespace trainyard {

using fmt::format;

/// Whole decimal numbers; nothing may follow. Overflow, blanks and empty text give nothing.
std::optional<std::int64_t> parse_int(std::string_view text);
std::optional<std::uint64_t> parse_uint(std::string_view text);
/// Finite decimal numbers ("1e-4"); "nan" and "inf" give nothing.
std::optional<double> parse_double(std::string_view text);

/// "512", "64KiB", "1.5GiB": bytes, at most 2^62.
Result<std::uint64_t> parse_size(std::string_view text);
/// "250ms", "10s", "5m", "2h", "0.5s"; at most 10 years. A bare number is refused: it has no unit.
Result<Duration> parse_duration(std::string_view text);

std::string size_text(std::uint64_t bytes);    // "1.5GiB"; the largest unit that stays exact to one digit
std::string duration_text(Duration duration);  // parse_duration(duration_text(d)) == d for whole ms
std::string wall_text(WallMillis wall);        // "2026-01-31T12:00:00.123Z"

/// The candidate nearest to `word` by edit distance, if near enough to be a likely misspelling.
std::optional<std::string> nearest(std::string_view word, std::span<const std::string> candidates);

std::vector<std::string> split(std::string_view text, char separator);
std::string join(std::span<const std::string> parts, std::string_view separator);
bool starts_with_ignoring_case(std::string_view text, std::string_view prefix);
/// Text for HTML: & < > " ' become entities.
std::string escape_html(std::string_view text);
/// 32 lowercase hex digits from the system's random source.
std::string random_token();

}  // namespace trainyard
