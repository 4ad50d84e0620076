#include <algorithm>
#include <cmath>

#include "common/base/text.hpp"
#include "daemons/trainer/bundle/bundle.hpp"

namespace trainyard::trainer {

namespace {

constexpr std::size_t samples_max = 24;
constexpr std::uint32_t sample_side = 160;
constexpr int jpeg_quality = 80;

constexpr std::string_view style = R"(
:root { color-scheme: light dark; --line: color-mix(in srgb, CanvasText 15%, Canvas);
  --soft: color-mix(in srgb, CanvasText 6%, Canvas);
  --one: light-dark(#1d5fa8, #7db4f0); --two: light-dark(#b3541e, #f0a06c); }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
table { border-collapse: collapse; }
th, td { padding: .3rem .7rem; text-align: right; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; } tr + tr td { border-top: 1px solid var(--line); }
.row { display: flex; flex-wrap: wrap; gap: 2rem; } svg text { fill: CanvasText; font-size: 11px; }
.figures { display: flex; gap: 2rem; flex-wrap: wrap; margin: 1rem 0; }
.figures b { display: block; font-size: 1.6rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }
.card { background: var(--soft); border-radius: .5rem; padding: .7rem; }
.card img { width: 100%; height: 10rem; object-fit: cover; border-radius: .3rem; }
.bar { display: grid; grid-template-columns: 6.5rem 1fr 3.2rem; gap: .5rem; align-items: center; font-size: 13px; }
.bar span:first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.bar i { display: block; height: .6rem; border-radius: .2rem; background: var(--one); min-width: 1px; }
.bar em { font-style: normal; text-align: right; font-variant-numeric: tabular-nums; }
.right { color: light-dark(#15703a, #6fd394); } .wrong { color: light-dark(#b3261e, #ff8a80); }
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

std::string bars_html(const std::vector<std::string>& labels, std::span<const float> probabilities,
                      std::size_t top) {
  std::vector<std::size_t> order(labels.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](auto a, auto b) { return probabilities[a] > probabilities[b]; });
  std::string out;
  for (std::size_t i = 0; i < std::min(top, order.size()); ++i) {
    const double percent = 100.0 * static_cast<double>(probabilities[order[i]]);
    out += format("<div class=\"bar\"><span>{}</span><i style=\"width:{:.1f}%\"></i><em>{:.1f}%</em></div>\n",
                  escape_html(labels[order[i]]), percent, percent);
  }
  return out;
}

/// One chart with a line a metric over the epochs.
std::string chart(const char* title, std::span<const EpochRow> history, const char* first,
                  const char* second) {
  constexpr double width = 460, height = 220, left = 46, bottom = 26, top = 10, right = 8;
  double most = 0;
  for (const EpochRow& row : history) {
    for (const char* key : {first, second}) {
      const auto it = row.metrics.find(key);
      if (it != row.metrics.end() && std::isfinite(it->second)) most = std::max(most, it->second);
    }
  }
  if (history.empty() || most <= 0) return "";
  const double scale = std::pow(10.0, std::floor(std::log10(most)));
  const double ceiling = std::ceil(most / scale * 4) / 4 * scale;
  const auto x_of = [&](std::size_t i) {
    const double share =
        history.size() < 2 ? 0.5 : static_cast<double>(i) / static_cast<double>(history.size() - 1);
    return left + share * (width - left - right);
  };
  const auto y_of = [&](double value) { return height - bottom - value / ceiling * (height - bottom - top); };
  std::string out =
      format("<figure style=\"margin:0\"><svg width=\"{}\" height=\"{}\" role=\"img\" aria-label=\"{}\">",
             width, height, title);
  for (int tick = 0; tick <= 4; ++tick) {
    const double value = ceiling * tick / 4, y = y_of(value);
    out += format(
        "<line x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"var(--line)\"/><text x=\"{}\" "
        "y=\"{:.1f}\" "
        "text-anchor=\"end\">{:.3g}</text>",
        left, width - right, y, y, left - 6, y + 4, value);
  }
  out +=
      format("<text x=\"{}\" y=\"{}\">epoch {}</text><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
             left, height - 8, history.front().epoch, width - right, height - 8, history.back().epoch);
  for (const char* key : {first, second}) {
    std::string points;
    for (std::size_t i = 0; i < history.size(); ++i) {
      const auto it = history[i].metrics.find(key);
      if (it != history[i].metrics.end() && std::isfinite(it->second))
        points += format("{:.1f},{:.1f} ", x_of(i), y_of(it->second));
    }
    out += format("<polyline fill=\"none\" stroke-width=\"2\" stroke=\"var({})\" points=\"{}\"/>",
                  key == first ? "--one" : "--two", points);
  }
  return out + format(
                   "</svg><figcaption>{}: <span style=\"color:var(--one)\">{}</span>, <span "
                   "style=\"color:var(--two)\">{}</span>"
                   "</figcaption></figure>\n",
                   title, first, second);
}

std::string confusion_html(const Metrics& metrics) {
  std::string out = "<table><tr><th></th>";
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
  return out + "</table>\n";
}

std::string per_class_html(const Metrics& metrics) {
  std::string out =
      "<table><tr><th>class</th><th>precision</th><th>recall</th><th>f1</th><th>support</th></tr>\n";
  for (const ClassMetrics& one : metrics.per_class) {
    out += format("<tr><td>{}</td><td>{:.3f}</td><td>{:.3f}</td><td>{:.3f}</td><td>{}</td></tr>\n",
                  escape_html(one.label), one.precision, one.recall, one.f1, one.support);
  }
  return out + "</table>\n";
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
    out += format("<div class=\"card\">{}<p><b>{}</b> <span class=\"{}\">{}</span></p>\n{}</div>\n",
                  image ? picture_html(*image, name) : "", escape_html(c.test.metrics.labels[label]),
                  guess == label ? "right" : "wrong", guess == label ? "right" : "wrong",
                  bars_html(c.test.metrics.labels, one.probabilities, 5));
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

}  // namespace

std::string report_html(const BundleContents& c) {
  const Metrics& m = c.test.metrics;
  std::string body =
      format("<h1>{}</h1><p>job {}, {} epochs, {} parameters</p>\n", escape_html(c.job.name), c.job_id,
             c.history.empty() ? 0 : c.history.back().epoch, c.network.values().size());
  body += format(
      "<div class=\"figures\"><div><b>{:.1f}%</b>test accuracy</div><div><b>{:.3f}</b>test loss</div>"
      "<div><b>{}</b>test records</div></div>\n",
      100 * m.accuracy, m.loss, m.count);
  body += "<h2>Training</h2><div class=\"row\">\n";
  body += chart("loss", c.history, "train/loss", "validation/loss");
  body += chart("accuracy", c.history, "train/accuracy", "validation/accuracy");
  body +=
      "</div>\n<h2>Test</h2><div class=\"row\"><div><p>rows: what it is; columns: what was predicted</p>" +
      confusion_html(m) + "</div><div><p>per class</p>" + per_class_html(m) + "</div></div>\n";
  body += "<h2>Samples of the test records</h2>\n" + samples_html(c);
  if (!c.skipped.empty()) {
    body += "<h2>Skipped</h2><ul>\n";
    for (const std::string& bad : c.skipped) body += "<li>" + escape_html(bad) + "</li>\n";
    body += "</ul>\n";
  }
  return page(c.job.name, body);
}

std::string predictions_html(const std::vector<std::string>& labels,
                             std::span<const PredictedPicture> pictures, std::size_t top) {
  std::string body = format("<h1>Predictions</h1><p>{} pictures</p><div class=\"cards\">\n", pictures.size());
  for (const PredictedPicture& one : pictures) {
    body += "<div class=\"card\">" + picture_html(one.picture, one.name) + "<p>" + escape_html(one.name) +
            "</p>\n";
    body += one.error.empty() ? bars_html(labels, one.probabilities, top)
                              : format("<p class=\"wrong\">{}</p>", escape_html(one.error));
    body += "</div>\n";
  }
  return page("Predictions", body + "</div>\n");
}

}  // namespace trainyard::trainer
