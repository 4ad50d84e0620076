#include "daemons/cli/follow.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "common/base/text.hpp"
#include "daemons/cli/table.hpp"
#include "daemons/cli/terminal.hpp"

namespace trainyard::cli {

namespace {

constexpr Duration poll_every = 200ms;
constexpr Duration away_max = 60s;

std::string path_of(std::int64_t id) { return format("/jobs/{}", id); }

double first_of(const Json& metrics, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    const double value = number_at(metrics, name, NAN);
    if (!std::isnan(value)) return value;
  }
  return NAN;
}

/// Prints what is new since the last look. Erases the bar first, so that lines do not run into it.
class Screen {
 public:
  Screen() : bar_(can_redraw(Stream::err)) {}
  ~Screen() { clear(); }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  void show(const Json& job) {
    for (const Json& event : fresh(list_at(job, "events"), events_)) print_event(event);
    const std::int64_t epochs = integer_at(object_at(job, "progress"), "epochs");
    for (const Json& entry : fresh(list_at(job, "history"), epochs_)) {
      clear();
      say_line(epoch_text(entry, epochs));
    }
    show_waiting(job);
    if (!bar_) return;
    const std::string text = progress_text(job, SystemClock{}.now().wall, terminal_width() - 1);
    say_raw("\r\x1b[2K" + text);
    drawn_ = true;
  }

  void note(const std::string& text) {
    clear();
    warn(text);
  }

 private:
  static void say_raw(const std::string& text) { std::fputs(text.c_str(), stderr); }

  void clear() {
    if (drawn_) say_raw("\r\x1b[2K");
    drawn_ = false;
  }

  static std::vector<Json> fresh(const Json& list, std::size_t& seen) {
    std::vector<Json> out;
    for (std::size_t i = seen; i < list.size(); ++i) out.push_back(list[i]);
    seen = std::max(seen, list.size());
    return out;
  }

  void print_event(const Json& event) {
    const std::string kind = text_at(event, "kind");
    if (kind == "failing" || kind == "failed") return;  // the summary tells the end of the job
    // The ordinary course of a job shows in the bar; what disturbs it is told.
    constexpr std::array<std::string_view, 6> telling = {"fail", "lost", "restart", "unreach", "skip", "bad"};
    const bool tell = std::any_of(telling.begin(), telling.end(), [&](std::string_view part) {
      return std::search(kind.begin(), kind.end(), part.begin(), part.end(),
                         [](char a, char b) { return (a | 0x20) == b; }) != kind.end();
    });
    if (tell) note(text_at(event, "text"));
  }

  void show_waiting(const Json& job) {
    const std::string reason = text_at(job, "pending_reason");
    if (text_at(job, "state") == "PENDING" && !reason.empty() && reason != reason_)
      note("waiting: " + reason);
    reason_ = reason;
  }

  bool bar_;
  bool drawn_ = false;
  std::size_t events_ = 0, epochs_ = 0;
  std::string reason_;
};

std::string test_metrics_text(const Json& job) {
  std::vector<std::string> parts;
  const Json& metrics = object_at(object_at(job, "progress"), "metrics");
  for (const auto& [name, value] : metrics.items()) {
    if (name.rfind("test/", 0) == 0 && value.is_number()) {
      parts.push_back(format("{} {}", name, metric_text(value.get<double>())));
    }
  }
  return join(parts, "  ");
}

void append_failures(std::string& out, const Json& job) {
  for (const Json& task : list_at(job, "tasks")) {
    const std::string state = text_at(task, "state");
    if (state != "FAILED" && state != "LOST") continue;
    const std::string who = format("{}-{} on {}", text_at(task, "role"), integer_at(task, "index"),
                                   text_at(task, "node", "no node"));
    const std::string cause = text_at(task, "cause", state);
    out += "\n" + (cause.rfind(who, 0) == 0 ? cause : who + ": " + cause) + "\n";
    const Json& lines = list_at(task, "last_lines");
    const std::size_t first = lines.size() > 10 ? lines.size() - 10 : 0;
    for (std::size_t i = first; i < lines.size(); ++i) {
      if (lines[i].is_string()) out += "  | " + lines[i].get<std::string>() + "\n";
    }
    if (const std::string text = text_at(task, "last_lines"); !text.empty()) {
      for (const std::string& line : split(text, '\n')) out += "  | " + line + "\n";
    }
  }
}

}  // namespace

bool has_ended(const Json& job) {
  const std::string state = text_at(job, "state");
  return state == "SUCCEEDED" || state == "FAILED" || state == "CANCELLED";
}

int outcome_code(const Json& job) { return text_at(job, "state") == "SUCCEEDED" ? exit_ok : exit_failed; }

std::string epoch_text(const Json& entry, std::int64_t epochs) {
  const std::int64_t epoch = integer_at(entry, "epoch");
  std::string line = epochs > 0 ? format("epoch {}/{}", epoch, epochs) : format("epoch {}", epoch);
  line += format("  step {}", integer_at(entry, "step"));
  const Json& metrics = object_at(entry, "metrics");
  constexpr std::array<const char*, 4> first = {"train/loss", "train/accuracy", "validation/loss",
                                                "validation/accuracy"};
  for (const char* name : first) {
    if (const double value = number_at(metrics, name, NAN); !std::isnan(value))
      line += format("  {} {}", name, metric_text(value));
  }
  for (const auto& [name, value] : metrics.items()) {
    const bool told = std::find(first.begin(), first.end(), name) != first.end();
    if (told || !value.is_number() || name.rfind("wait/", 0) == 0) continue;
    line += format("  {} {}", name, metric_text(value.get<double>()));
  }
  return line;
}

std::string progress_text(const Json& job, std::int64_t now_ms, std::size_t width) {
  const Json& progress = object_at(job, "progress");
  const Json& metrics = object_at(progress, "metrics");
  const double steps = number_at(progress, "steps");
  const double done = steps > 0 ? std::clamp(number_at(progress, "step") / steps, 0.0, 1.0) : 0;
  constexpr std::size_t cells = 20;
  const auto full = static_cast<std::size_t>(done * cells);
  const std::string bar = std::string(full, '#') + std::string(cells - full, '.');

  const std::string state = text_at(job, "state");
  const std::string phase = text_at(progress, "phase");
  std::string line = format("{} [{}]", text_at(job, "name"), bar);
  if (state != "RUNNING" || (!phase.empty() && phase != "training")) {
    line += " " + (state != "RUNNING" ? state : phase);
  }
  if (const auto epochs = integer_at(progress, "epochs"); epochs > 0) {
    line += format(" epoch {}/{}", integer_at(progress, "epoch"), epochs);
  }
  if (steps > 0) line += format(" step {}/{}", integer_at(progress, "step"), integer_at(progress, "steps"));
  const double loss = first_of(metrics, {"loss", "train/loss", "validation/loss"});
  const double accuracy = first_of(metrics, {"accuracy", "train/accuracy", "validation/accuracy"});
  if (!std::isnan(loss)) line += " loss " + metric_text(loss);
  if (!std::isnan(accuracy)) line += " accuracy " + metric_text(accuracy);
  const std::int64_t first_step = integer_at(job, "first_step_ms");
  if (done > 0.01 && done < 1 && first_step > 0 && now_ms > first_step) {
    const double spent = static_cast<double>(now_ms - first_step);
    line += " eta " + age_text(static_cast<std::int64_t>(spent * (1 - done) / done));
  }
  return line.substr(0, width);
}

Result<Outcome> follow_job(const Client& client, std::int64_t id) {
  Screen screen;
  Duration away{};
  bool told = false;
  Json last;
  while (true) {
    auto answer = client.get(path_of(id));
    if (answer) {
      if (told) screen.note("the master is back");
      away = Duration::zero();
      told = false;
      last = std::move(*answer);
      screen.show(last);
      if (has_ended(last)) return Outcome{std::move(last), false};
    } else if (answer.error().code == Errc::unavailable && away < away_max) {
      if (!told && away >= 400ms) {
        screen.note(format("{}; waiting up to {} for it (the job goes on)", answer.error().message,
                           duration_text(away_max)));
        told = true;
      }
      away += poll_every;
    } else {
      return answer.error();
    }
    if (was_interrupted()) return Outcome{std::move(last), true};
    pause_for(poll_every);
  }
}

std::string summary_text(const Json& job) {
  const std::string state = text_at(job, "state");
  const Colour colour = state == "SUCCEEDED" ? Colour::green : Colour::red;
  std::string out = format("job {} ({}): {}", integer_at(job, "id"), text_at(job, "name"),
                           paint(state, colour, Stream::out));
  if (const std::string cause = text_at(job, "cause"); !cause.empty()) out += ": " + cause;
  out += "\n";
  const std::int64_t began = integer_at(job, "submitted_ms"), ended = integer_at(job, "ended_ms");
  if (began > 0 && ended >= began) out += "time:   " + age_text(ended - began) + "\n";
  if (const auto restarts = integer_at(job, "restarts"); restarts > 0)
    out += format("restarts: {}\n", restarts);
  if (const std::string metrics = test_metrics_text(job); !metrics.empty())
    out += "test:   " + metrics + "\n";
  const std::string bundle = text_at(job, "output_dir");
  if (state == "SUCCEEDED" && !bundle.empty()) {
    out += "bundle: " + bundle + "\nreport: " + bundle + "/report.html\n";
  }
  append_failures(out, job);
  return out;
}

}  // namespace trainyard::cli
