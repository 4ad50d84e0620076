#include <algorithm>
#include <cmath>

#include "common/config/fields.hpp"
#include "common/config/tables.hpp"

namespace trainyard::config {

namespace {

std::string accept_name(const std::string& text) {
  const auto alnum = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  const bool good = !text.empty() && text.size() <= 63 && alnum(text[0]) &&
                    std::all_of(text.begin(), text.end(),
                                [&](char c) { return alnum(c) || c == '.' || c == '_' || c == '-'; });
  return good ? ""
              : format(
                    "'{}' is not a name: letters, digits, '.', '_' and '-', at most 63, the first a letter "
                    "or digit",
                    shortened(text));
}

Field<Resources> custom_field() {
  return {"custom",
          "Named resources; only 0 in this release.",
          {{"type", "object"}},
          "map of numbers",
          false,
          [](const Node& node, const std::string& path, Resources&, Problems& problems) {
            if (!expect_map(node, path, problems)) return;
            for (const Entry& entry : node.entries) {
              if (entry.value.text != "0")
                problems.add(entry.value.place, child_path(path, entry.key),
                             "custom resources are not supported in this release; leave it out");
            }
          },
          {},
          {}};
}

Table<Resources> resources_table() {
  return {number(&Resources::cpus, "cpus", 0.001, 65536, "Cores."),
          size(&Resources::memory, "memory", 1 << 20, "Memory."),
          integer(&Resources::gpus, "gpus", 0, 1024, "GPUs, whole ones."), custom_field()};
}

Table<ClusterSection> cluster_section() {
  using S = ClusterSection;
  const Table<S> resources{section(&S::trainer, "trainer", resources_table(), "What one trainer gets."),
                           section(&S::ps, "ps", resources_table(), "What one parameter-server shard gets.")};
  const Table<S> placement{flag(&S::spread, "spread", "Prefer different nodes over packing."),
                           labels(&S::require, "require", "Labels that a node must have."),
                           later<S>("prefer", {}, "Labels that a node should have.")};
  return {
      integer(&S::trainers, "trainers", 1, 1024, "Trainers."),
      integer(&S::parameter_servers, "parameter_servers", 0, 1024, "Parameter-server shards."),
      integer(&S::replicas, "replicas", 0, 1,
              "Followers of each shard, with resources of their own: one takes over when its shard dies, and "
              "nothing that a shard has acknowledged is lost."),
      later<S>("evaluator", {"false"}, "Evaluates each checkpoint beside the training."),
      group<S>("resources", resources, "What each task gets."),
      group<S>("placement", placement, "Where tasks may run."),
      later<S>("elastic", {}, "Bounds between which the number of trainers may change."),
      integer(&S::restarts, "restarts", 0, 1000, "Restarts of the gang before the job fails."),
      duration(&S::time_limit, "time_limit", "The job is stopped after so long; 0s: never."),
  };
}

Table<DataSection> data_section() {
  using S = DataSection;
  const Table<S> source{
      choice(&S::source, "kind", {{"images", SourceKind::images}, {"mnist", SourceKind::mnist}},
             {"tfrecord", "csv", "libsvm", "text", "jsonl", "mongodb", "video", "stream"},
             "images: a folder of class folders of JPEG files; mnist: a folder of the four idx files."),
      required(text(&S::path, "path", "The folder; relative to the job file."))};
  const Table<S> split{number(&S::train, "train", 0.01, 1, "Part for training."),
                       number(&S::validation, "validation", 0, 1, "Part for validation."),
                       number(&S::test, "test", 0, 1,
                              "Part for the final test; a dataset with a test set of its own keeps that."),
                       integer(&S::split_seed, "seed", 0, 1ull << 53, "Which records fall where.")};
  Field<S> bad = {"on_bad_record",
                  "skip: leave it out, count and list it; fail: end the job.",
                  {{"enum", {"skip", "fail"}}},
                  "skip, fail",
                  false,
                  [](const Node& node, const std::string& path, S& out, Problems& problems) {
                    if (node.text == "skip" || node.text == "fail")
                      out.fail_on_bad_record = node.text == "fail";
                    else
                      problems.add(node.place, path,
                                   format("{} is not one of skip, fail", description(node)));
                  },
                  [](const S& value) { return Json(value.fail_on_bad_record ? "fail" : "skip"); },
                  {}};
  return {
      group<S>("source", source, "Where the records are."),
      later<S>("feed", {"direct"}, "Who reads: direct, the trainers themselves."),
      group<S>("split", split, "Parts of the dataset; they sum to 1."),
      transform_field(),
      bad,
      integer(&S::batch_size, "batch_size", 1, 65536, "Records a step on each trainer."),
      integer(&S::loaders, "loaders", 1, 256, "Threads that decode, on each trainer."),
  };
}

Table<ModelSection> model_section() {
  using S = ModelSection;
  Field<S> onnx = text(&S::onnx, "onnx",
                       "A network from an ONNX file, in the place of layers; relative to the job file. Its "
                       "weights are where the training begins.");
  onnx.show = [](const S& model) { return model.onnx.empty() ? Json() : Json(model.onnx); };
  Field<S> head = text(&S::head, "head",
                       "Of onnx. auto: a dense layer with a score a class of the data takes the place of the "
                       "last dense layer or convolution. keep: the network gives as many scores as the data "
                       "have classes. Else the name of the value behind which the layer goes. Its tensors "
                       "are head.weight and head.bias.");
  head.show = [](const S& model) { return model.onnx.empty() ? Json() : Json(model.head); };
  Table<S> table{layers_field(), later<S>("loss", {"softmax_cross_entropy"}, "What is minimized."),
                 std::move(onnx), std::move(head)};
  for (Field<S>& field : preset_fields()) table.push_back(std::move(field));
  return table;
}

}  // namespace

const Table<JobSpec>& job_table() {
  using S = JobSpec;
  static const Table<JobSpec> table{
      choice(&S::kind, "kind", {{"train", JobKind::train}}, {"evaluate", "predict", "command"},
             "What the job does."),
      required(text(&S::name, "name", "Name of the job.", accept_name)),
      text(&S::queue, "queue", "Queue that it waits in.", accept_name),
      integer(&S::priority, "priority", 0, 100, "Higher goes first."),
      section(&S::cluster, "cluster", cluster_section(), "The gang."),
      section(&S::strategy, "strategy", strategy_section(), "How the gang works together."),
      required(section(&S::data, "data", data_section(), "The records.")),
      required(section(&S::model, "model", model_section(), "The network.")),
      section(&S::train, "train", train_section(), "The training."),
      section(&S::checkpoint, "checkpoint",
              Table<CheckpointSection>{
                  duration(&CheckpointSection::every, "every", "Time between two checkpoints."),
                  integer(&CheckpointSection::keep, "keep", 1, 1000, "Checkpoints that are kept.")},
              "What survives a crash."),
      section(&S::output, "output",
              Table<OutputSection>{
                  text(&OutputSection::path, "path", "Folder of the model bundle; out/NAME unless given."),
                  flag(&OutputSection::tensorboard, "tensorboard",
                       "Leaves an event file for TensorBoard in the bundle.")},
              "What the job leaves."),
      later<S>("command", {}, "Program of a command job."),
      later<S>("files", {}, "Files shipped with the job."),
  };
  return table;
}

void check_job(const Node& root, const JobSpec& spec, Problems& problems) {
  const auto at = [&](const std::string& path, const std::string& message) {
    problems.add(nearest_node(root, path).place, path, message);
  };
  const double sum = spec.data.train + spec.data.validation + spec.data.test;
  if (std::abs(sum - 1) > 1e-6)
    at("data.split", format("train, validation and test sum to {}, not to 1", sum));
  check_model(root, spec, problems);
  check_strategy(root, spec, problems);
  check_train(root, spec, problems);
}

}  // namespace trainyard::config
