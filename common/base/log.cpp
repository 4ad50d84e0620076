#include "common/base/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>

#include "common/base/json.hpp"

namespace trainyard::log {

namespace {

struct Output {
  std::string daemon = Settings{}.daemon;
  std::atomic<Level> level{Settings{}.level};
  std::atomic<bool> json{Settings{}.json};
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

void configure(const Settings& settings) {
  output().daemon = settings.daemon;
  adjust(settings.level, settings.json);
}

void adjust(Level level, bool json) {
  output().level = level;
  output().json = json;
}

Result<Level> parse_level(std::string_view text) {
  for (const Level level : {Level::debug, Level::info, Level::warn, Level::error}) {
    if (text == name(level)) return level;
  }
  return Error{Errc::invalid, format("'{}' is not a log level; use debug, info, warn or error", text)};
}

void write(Level level, std::string_view message) {
  Output& out = output();
  if (level < out.level) return;
  const std::string time = wall_text(SystemClock{}.now().wall);
  if (out.json) {
    out.logger->info(to_text(Json{
        {"time", time}, {"level", name(level)}, {"daemon", out.daemon}, {"message", std::string(message)}}));
  } else {
    out.logger->info("{} {:<5} {}: {}", time, name(level), out.daemon, message);
  }
}

}  // namespace trainyard::log
