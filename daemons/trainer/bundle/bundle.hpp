// The model bundle: the folder that a finished training leaves (bundle.yaml, model.onnx, weights.safetensors,
// labels.txt, metrics.json, history.csv, report.html, events.out.tfevents.* when asked for), there whole or
// not at all.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.hpp"
#include "common/config/job_spec.hpp"
#include "common/data/dataset.hpp"
#include "common/data/loader.hpp"
#include "common/graph/network.hpp"
#include "common/graph/safetensors.hpp"
#include "daemons/trainer/bundle/evaluation.hpp"
#include "daemons/trainer/chief.hpp"

namespace trainyard::trainer {

struct BundleContents {
  const config::JobSpec& job;
  std::uint64_t job_id = 0;
  graph::Network& network;
  const data::Dataset& dataset;
  const data::Pipeline& pipeline;
  const Evaluation& test;
  std::span<const EpochRow> history;
  std::vector<std::string> skipped;  // "name: reason", of all parts and trainers
};

/// Writes beside `directory` first and renames file by file, bundle.yaml last: without it there is no bundle.
/// On failure what was written already is removed. What else lies in the directory (checkpoints) stays.
Status write_bundle(const std::string& directory, const BundleContents& contents);

struct Bundle {
  config::JobSpec job;
  std::vector<std::string> labels;
  std::unique_ptr<graph::Network> network;  // for prediction, with its weights
};

/// Errc::not_found when there is no bundle, Errc::corrupt when it does not fit together. batch_max as in
/// graph::NetworkOptions; so is the precision, of predictions, whatever the training had.
Result<Bundle> read_bundle(const std::string& directory, std::uint32_t batch_max,
                           config::Precision precision = config::Precision::fp32);

/// A page that stands alone: curves, confusion matrix, sample pictures with their probabilities.
std::string report_html(const BundleContents& contents);
/// The same for predictions of pictures without labels: the first of `inputs`.
struct PredictedPicture {
  std::string name;
  std::string error;  // or
  std::vector<float> probabilities;
  data::Image picture;
};
std::string predictions_html(const std::vector<std::string>& labels,
                             std::span<const PredictedPicture> pictures, std::size_t inputs, std::size_t top);

}  // namespace trainyard::trainer
