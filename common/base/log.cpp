#include "common/base/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "common/base/json.hpp"

namespace trainyard::log {

namespace {

struct Output {
  Settings settings;
  std::shared_ptr<spdlog::logger> logger =
      std::make_shared<spdlog::logger>("trainyard", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  Output() {
    logger->set_pattern("%v");
    logger->set_level(spdlog::level::trace);
    logger->flush_on(spdlog::level::trace);
  }
};

Output& output() {
  static Output instance;
  return instance;
}

constexpr const char* name(Level level) {
  constexpr const char* names[] = {"debug", "info", "warn", "error"};
  return names[static_cast<int>(level)];
}

}  // namespace

void configure(const Settings& settings) { output().settings = settings; }

Result<Level> parse_level(std::string_view text) {
  for (const Level level : {Level::debug, Level::info, Level::warn, Level::error}) {
    if (text == name(level)) return level;
  }
  return Error{Errc::invalid, format("'{}' is not a log level; use debug, info, warn or error", text)};
}

void write(Level level, std::string_view message) {
  Output& out = output();
  if (level < out.settings.level) return;
  const std::string time = wall_text(SystemClock{}.now().wall);
  if (out.settings.json) {
    out.logger->info(to_text(Json{{"time", time},
                                  {"level", name(level)},
                                  {"daemon", out.settings.daemon},
                                  {"message", std::string(message)}}));
  } else {
    out.logger->info("{} {:<5} {}: {}", time, name(level), out.settings.daemon, message);
  }
}

}  // namespace trainyard::log
