#include "daemons/trainer/bundle/evaluation.hpp"

#include <algorithm>
#include <cmath>

namespace trainyard::trainer {

namespace {

constexpr double probability_min = 1e-30;  // a surer mistake costs no more than this

std::size_t arg_max(std::span<const float> values) {
  return static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

double ratio(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

Metrics measure(const std::vector<std::string>& classes, std::span<const Prediction> predictions) {
  const std::size_t n = classes.size();
  Metrics metrics{.count = predictions.size(), .labels = classes};
  metrics.confusion.assign(n, std::vector<std::uint64_t>(n, 0));
  std::uint64_t correct = 0, near = 0;
  double loss = 0;
  for (const Prediction& one : predictions) {
    const auto label = static_cast<std::size_t>(one.label);
    const std::size_t guess = arg_max(one.probabilities);
    ++metrics.confusion[label][guess];
    correct += guess == label ? 1 : 0;
    const float own = one.probabilities[label];
    const auto better = std::count_if(one.probabilities.begin(), one.probabilities.end(),
                                      [&](float other) { return other > own; });
    near += better < 5 ? 1 : 0;
    loss -= std::log(std::max(static_cast<double>(own), probability_min));
  }
  metrics.accuracy = ratio(correct, metrics.count);
  metrics.top_5 = ratio(near, metrics.count);
  metrics.loss = metrics.count == 0 ? 0.0 : loss / static_cast<double>(metrics.count);
  for (std::size_t k = 0; k < n; ++k) {
    std::uint64_t support = 0, predicted = 0;
    for (std::size_t other = 0; other < n; ++other) {
      support += metrics.confusion[k][other];
      predicted += metrics.confusion[other][k];
    }
    const double precision = ratio(metrics.confusion[k][k], predicted);
    const double recall = ratio(metrics.confusion[k][k], support);
    const double sum = precision + recall;
    metrics.per_class.push_back(
        {classes[k], precision, recall, sum == 0 ? 0.0 : 2 * precision * recall / sum, support});
  }
  return metrics;
}

Json to_json(const Metrics& metrics) {
  Json json{{"count", metrics.count}, {"loss", metrics.loss}, {"accuracy", metrics.accuracy}};
  json["top_k"] = Json{{"5", metrics.top_5}};
  json["labels"] = metrics.labels;
  json["confusion"] = metrics.confusion;
  json["per_class"] = Json::array();
  for (const ClassMetrics& one : metrics.per_class) {
    json["per_class"].push_back(Json{{"label", one.label},
                                     {"precision", one.precision},
                                     {"recall", one.recall},
                                     {"f1", one.f1},
                                     {"support", one.support}});
  }
  return json;
}

Evaluation evaluate(graph::Network& network, const data::Dataset& dataset, const data::Pipeline& pipeline,
                    std::span<const std::uint32_t> records, std::uint32_t batch, std::uint32_t loaders,
                    const std::atomic<bool>& cancelled) {
  Evaluation out;
  constexpr std::uint32_t depth = 2;
  data::Loader loader(dataset, pipeline, loaders, depth, 0);
  for (std::size_t first = 0; first < records.size(); first += batch) {
    const auto part = records.subspan(first, std::min<std::size_t>(batch, records.size() - first));
    loader.request(first / batch, 0, false, {part.begin(), part.end()});
  }
  const std::size_t classes = network.classes();
  std::vector<float> probabilities;
  while (!cancelled) {
    const auto next = loader.next();
    if (!next) break;
    out.bad.insert(out.bad.end(), next->bad.begin(), next->bad.end());
    if (next->count() == 0) continue;
    probabilities.resize(next->count() * classes);
    network.predict(next->images, next->count(), probabilities);
    for (std::uint32_t i = 0; i < next->count(); ++i) {
      const auto row = std::span(probabilities).subspan(i * classes, classes);
      out.predictions.push_back({next->records[i], next->labels[i], {row.begin(), row.end()}});
    }
  }
  out.metrics = measure(dataset.classes(), out.predictions);
  return out;
}

}  // namespace trainyard::trainer
