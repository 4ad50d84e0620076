#include <algorithm>
#include <optional>

#include "common/base/text.hpp"
#include "daemons/trainer/bundle/bundle.hpp"
#include "daemons/trainer/bundle/chart.hpp"

namespace trainyard::trainer {

namespace {

constexpr std::size_t samples_max = 24;
constexpr std::uint32_t sample_side = 240;
constexpr int jpeg_quality = 80;

constexpr std::string_view style = R"(
:root { color-scheme: light dark; --line: color-mix(in srgb, CanvasText 14%, Canvas);
  --soft: color-mix(in srgb, CanvasText 5%, Canvas); --quiet: color-mix(in srgb, CanvasText 62%, Canvas);
  --one: light-dark(#1d5fa8, #7db4f0); --two: light-dark(#c05a17, #f0a06c);
  --good: light-dark(#15703a, #6fd394); --bad: light-dark(#b3261e, #ff8a80); }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .8rem; border-bottom: 1px solid var(--line);
  padding-bottom: .3rem; }
h3 { font-size: .95rem; font-weight: 600; margin: 0 0 .4rem; }
.quiet { color: var(--quiet); margin: 0; }
table { border-collapse: collapse; }
th, td { padding: .35rem .7rem; text-align: right; font-variant-numeric: tabular-nums; }
th { font-weight: 600; } th:first-child, td:first-child { text-align: left; }
tr + tr td { border-top: 1px solid var(--line); }
.confusion td:not(:first-child) { text-align: center; min-width: 2.6rem; border: 1px solid var(--line); }
.confusion th { text-align: center; } .scroll { overflow-x: auto; max-width: 100%; }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 2rem; }
.row > * { min-width: 0; }
figure { margin: 0; } figcaption { display: flex; gap: 1.2rem; flex-wrap: wrap; font-size: 13px; }
figcaption b { font-weight: 600; } figcaption i { display: inline-block; width: .9rem; height: .25rem;
  border-radius: .1rem; margin-right: .4rem; vertical-align: middle; }
svg { display: block; width: 100%; height: auto; } svg text { fill: var(--quiet); font-size: 11px; }
.figures { display: flex; gap: .8rem; flex-wrap: wrap; margin: 1.2rem 0 0; }
.figures div { background: var(--soft); border-radius: .5rem; padding: .6rem 1rem; color: var(--quiet);
  flex: 1 1 8rem; }
.figures b { display: block; font-size: 1.6rem; line-height: 1.3; color: CanvasText; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr)); gap: 1rem; }
.card { background: var(--soft); border-radius: .5rem; overflow: hidden; }
.card img { display: block; width: 100%; height: 11rem; object-fit: cover; }
.card > div { padding: .7rem .8rem; } .card p { margin: 0 0 .5rem; overflow-wrap: anywhere; }
.card .name { margin: .5rem 0 0; font-size: 12px; color: var(--quiet);
  overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.bar { display: grid; grid-template-columns: 6rem 1fr 3.2rem; gap: .5rem; align-items: center;
  font-size: 13px; }
.bar span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.bar i { display: block; height: .6rem; border-radius: .2rem; background: var(--line); overflow: hidden; }
.bar i::before { content: ""; display: block; height: 100%; width: var(--share); background: var(--one); }
.bar.true span { font-weight: 600; } .bar.true i::before { background: var(--good); }
.bar em { font-style: normal; text-align: right; font-variant-numeric: tabular-nums; }
.right { color: var(--good); } .wrong { color: var(--bad); }
@media (max-width: 40rem) {
  body { margin-top: 1rem; } th, td { padding: .3rem .4rem; font-size: 14px; }
  .confusion td:not(:first-child) { min-width: 1.8rem; }
  .confusion tr:first-child th:not(:first-child) { writing-mode: vertical-rl;
    transform: rotate(180deg); text-align: left; }
}
)";

std::string base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t word = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      word = word << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      out += i + k > bytes.size() ? '=' : digits[word >> (18 - 6 * k) & 63];
    }
  }
  return out;
}

std::string picture_html(const data::Image& image, const std::string& name) {
  if (image.pixels.empty()) return "";
  const auto jpeg = data::encode_jpeg(image, jpeg_quality);
  if (!jpeg) return "";
  return format("<img alt=\"{}\" src=\"data:image/jpeg;base64,{}\">", escape_html(name), base64(*jpeg));
}

/// The likeliest classes as bars; `own` is the class that it is, where that is known.
std::string bars_html(const std::vector<std::string>& labels, std::span<const float> probabilities,
                      std::size_t top, std::optional<std::size_t> own = std::nullopt) {
  std::vector<std::size_t> order(labels.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](auto a, auto b) { return probabilities[a] > probabilities[b]; });
  std::string out;
  for (std::size_t i = 0; i < std::min(top, order.size()); ++i) {
    const double percent = 100.0 * static_cast<double>(probabilities[order[i]]);
    out += format(
        "<div class=\"bar{}\"><span>{}</span><i style=\"--share:{:.1f}%\"></i><em>{:.1f}%</em></div>\n",
        own == order[i] ? " true" : "", escape_html(labels[order[i]]), percent, percent);
  }
  return out;
}

std::string confusion_html(const Metrics& metrics) {
  std::string out = "<div class=\"scroll\"><table class=\"confusion\"><tr><th></th>";
  for (const std::string& label : metrics.labels) out += "<th>" + escape_html(label) + "</th>";
  out += "</tr>\n";
  for (std::size_t k = 0; k < metrics.labels.size(); ++k) {
    const double support = std::max(1.0, static_cast<double>(metrics.per_class[k].support));
    out += "<tr><td>" + escape_html(metrics.labels[k]) + "</td>";
    for (const std::uint64_t count : metrics.confusion[k]) {
      out += format("<td style=\"background:color-mix(in srgb, var(--one) {:.0f}%, Canvas)\">{}</td>",
                    60.0 * static_cast<double>(count) / support, count);
    }
    out += "</tr>\n";
  }
  return out + "</table></div>\n";
}

std::string per_class_html(const Metrics& metrics) {
  std::string out =
      "<div class=\"scroll\"><table><tr><th>class</th><th>precision</th><th>recall</th><th>f1</th>"
      "<th>support</th></tr>\n";
  for (const ClassMetrics& one : metrics.per_class) {
    out += format("<tr><td>{}</td><td>{:.3f}</td><td>{:.3f}</td><td>{:.3f}</td><td>{}</td></tr>\n",
                  escape_html(one.label), one.precision, one.recall, one.f1, one.support);
  }
  return out + "</table></div>\n";
}

/// Evenly over the records, so that every class is there.
std::string samples_html(const BundleContents& c) {
  const auto& predictions = c.test.predictions;
  const std::size_t shown = std::min(samples_max, predictions.size());
  std::string out = "<div class=\"cards\">\n";
  for (std::size_t i = 0; i < shown; ++i) {
    const Prediction& one = predictions[i * predictions.size() / shown];
    const std::string name = c.dataset.name(one.record);
    const auto image = c.dataset.read(one.record, sample_side, sample_side);
    const auto label = static_cast<std::size_t>(one.label);
    const auto guess = static_cast<std::size_t>(
        std::max_element(one.probabilities.begin(), one.probabilities.end()) - one.probabilities.begin());
    const auto& labels = c.test.metrics.labels;
    const std::string verdict =
        guess == label ? "<span class=\"right\">found</span>"
                       : format("<span class=\"wrong\">taken for {}</span>", escape_html(labels[guess]));
    out += format(
        "<div class=\"card\">{}<div><p><b>{}</b> {}</p>\n{}<p class=\"name\" "
        "title=\"{}\">{}</p></div></div>\n",
        image ? picture_html(*image, name) : "", escape_html(labels[label]), verdict,
        bars_html(labels, one.probabilities, 5, label), escape_html(name), escape_html(name));
  }
  return out + "</div>\n";
}

std::string page(const std::string& title, const std::string& body) {
  return format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width, "
      "initial-scale=1\"><title>{}</title><style>{}</style></head><body>\n{}</body></html>\n",
      escape_html(title), style, body);
}

std::string training_seconds(std::span<const EpochRow> history) {
  double sum = 0;
  for (const EpochRow& row : history) {
    if (const auto it = row.metrics.find("seconds"); it != row.metrics.end()) sum += it->second;
  }
  return sum < 100 ? format("{:.1f} s", sum) : format("{:.0f} min", sum / 60);
}

}  // namespace

std::string report_html(const BundleContents& c) {
  const Metrics& m = c.test.metrics;
  std::string body = format(
      "<h1>{}</h1><p class=\"quiet\">job {}, {} epochs, {} trainers, {} parameter servers; Trainyard "
      "{}</p>\n",
      escape_html(c.job.name), c.job_id, c.history.empty() ? 0 : c.history.back().epoch,
      c.job.cluster.trainers, c.job.cluster.parameter_servers, TRAINYARD_VERSION);
  body += format(
      "<div class=\"figures\"><div><b>{:.1f}%</b>test accuracy</div><div><b>{:.3f}</b>test loss</div>"
      "<div><b>{}</b>test records</div><div><b>{}</b>parameters</div><div><b>{}</b>of training</div></div>\n",
      100 * m.accuracy, m.loss, m.count, c.network.values().size(), training_seconds(c.history));
  body += "<h2>Training</h2><div class=\"row\">\n";
  body += chart_svg({"loss", "train/loss", "validation/loss", 0}, c.history);
  body += chart_svg({"accuracy", "train/accuracy", "validation/accuracy", 1}, c.history);
  body +=
      "</div>\n<h2>Test</h2><div class=\"row\"><div><h3>Confusion: a row is what it is, a column what was "
      "predicted"
      "</h3>" +
      confusion_html(m) + "</div><div><h3>Per class</h3>" + per_class_html(m) + "</div></div>\n";
  body += "<h2>Samples of the test records</h2>\n" + samples_html(c);
  if (!c.skipped.empty()) {
    body += format("<h2>Skipped: {} unreadable</h2><ul>\n", c.skipped.size());
    for (const std::string& bad : c.skipped) body += "<li>" + escape_html(bad) + "</li>\n";
    body += "</ul>\n";
  }
  return page(c.job.name, body);
}

std::string predictions_html(const std::vector<std::string>& labels,
                             std::span<const PredictedPicture> pictures, std::size_t inputs,
                             std::size_t top) {
  const std::string shown = pictures.size() < inputs
                                ? format("the first {} of {} inputs", pictures.size(), inputs)
                                : format("{} input{}", inputs, inputs == 1 ? "" : "s");
  std::string body =
      format("<h1>Predictions</h1><p class=\"quiet\">{}</p><h2>Pictures</h2><div class=\"cards\">\n", shown);
  for (const PredictedPicture& one : pictures) {
    const std::string name = escape_html(one.name);
    body += format("<div class=\"card\">{}<div>{}<p class=\"name\" title=\"{}\">{}</p></div></div>\n",
                   picture_html(one.picture, one.name),
                   one.error.empty() ? bars_html(labels, one.probabilities, top)
                                     : format("<p class=\"wrong\">{}</p>", escape_html(one.error)),
                   name, escape_html(one.name.substr(one.name.rfind('/') + 1)));
  }
  return page("Predictions", body + "</div>\n");
}

}  // namespace trainyard::trainer
