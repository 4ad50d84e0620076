#include "daemons/trainer/bundle/chart.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "common/base/text.hpp"

namespace trainyard::trainer {

namespace {

constexpr double width = 460, height = 220, left = 40, bottom = 24, top = 10, right = 8;

std::optional<double> value_of(const EpochRow& row, const char* metric) {
  const auto it = row.metrics.find(metric);
  if (it == row.metrics.end() || !std::isfinite(it->second)) return std::nullopt;
  return it->second;
}

double most_of(const Chart& chart, std::span<const EpochRow> history) {
  double most = 0;
  for (const EpochRow& row : history) {
    for (const char* metric : {chart.first, chart.second})
      most = std::max(most, value_of(row, metric).value_or(0));
  }
  return most;
}

/// Positions on the picture.
struct Scale {
  std::size_t rows;
  double ceiling;
  double x(std::size_t row) const {
    const double share = rows < 2 ? 0.5 : static_cast<double>(row) / static_cast<double>(rows - 1);
    return left + share * (width - left - right);
  }
  double y(double value) const { return height - bottom - value / ceiling * (height - bottom - top); }
};

std::string axes(const Scale& scale, double tick, std::span<const EpochRow> history) {
  std::string out;
  const auto ticks = static_cast<int>(std::lround(scale.ceiling / tick));
  for (int i = 0; i <= ticks; ++i) {
    const double y = scale.y(i * tick);
    out += format(
        "<line x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"var(--line)\"/>"
        "<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{:.6g}</text>",
        left, width - right, y, y, left - 6, y + 4, i * tick);
  }
  return out +
         format(
             "<text x=\"{}\" y=\"{}\">epoch {}</text><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
             left, height - 8, history.front().epoch, width - right, height - 8, history.back().epoch);
}

std::string curve(const Scale& scale, std::span<const EpochRow> history, const char* metric,
                  const char* colour) {
  std::string points, dot;
  for (std::size_t i = 0; i < history.size(); ++i) {
    const auto value = value_of(history[i], metric);
    if (!value) continue;
    const double y = scale.y(std::min(*value, scale.ceiling));
    points += format("{:.1f},{:.1f} ", scale.x(i), y);
    dot = format("<circle r=\"3\" cx=\"{:.1f}\" cy=\"{:.1f}\" fill=\"var({})\"/>", scale.x(i), y, colour);
  }
  if (points.empty()) return "";
  return format(
             "<polyline fill=\"none\" stroke-width=\"2\" stroke-linejoin=\"round\" stroke=\"var({})\" "
             "points=\"{}\"/>",
             colour, points) +
         dot;
}

std::string legend(const char* metric, const char* colour, std::span<const EpochRow> history) {
  const auto last = value_of(history.back(), metric);
  if (!last) return "";
  return format("<span><i style=\"background:var({})\"></i>{} {:.3f}</span>", colour, metric, *last);
}

}  // namespace

double tick_of(double most) {
  constexpr double lines_max = 5;
  const double power = std::pow(10.0, std::floor(std::log10(most / lines_max)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (most <= lines_max * factor * power) return factor * power;
  }
  return 10 * power;
}

std::string chart_svg(const Chart& chart, std::span<const EpochRow> history) {
  const double most = most_of(chart, history);
  if (most <= 0) return "";
  const double axis = chart.top > 0 ? chart.top : most;
  const double tick = tick_of(axis);
  const Scale scale{history.size(), std::ceil(axis / tick - 1e-9) * tick};
  return format("<figure><svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", width, height,
                chart.title) +
         axes(scale, tick, history) + curve(scale, history, chart.first, "--one") +
         curve(scale, history, chart.second, "--two") +
         format("</svg><figcaption><b>{}</b>{}{}</figcaption></figure>\n", chart.title,
                legend(chart.first, "--one", history), legend(chart.second, "--two", history));
}

}  // namespace trainyard::trainer
