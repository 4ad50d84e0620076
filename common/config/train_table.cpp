#include <algorithm>

#include "common/config/fields.hpp"
#include "common/config/kinds.hpp"
#include "common/config/lists.hpp"
#include "common/config/tables.hpp"

namespace trainyard::config {

namespace {

constexpr double below_one = 0.9999999;
constexpr double tiny = 1e-20;
constexpr std::size_t pattern_bytes_max = 256;

/// A section that may be left out; an absent or empty value leaves the member without one.
template <typename T, typename S>
Field<T> optional_section(std::optional<S> T::*member, std::string name, Table<S> table, std::string doc) {
  return {name,
          doc,
          section_schema(table),
          "section",
          false,
          [=](const Node& node, const std::string& path, T& out, Problems& problems) {
            if (node.kind == Node::Kind::null) return;
            (out.*member).emplace();
            read_section(node, path, table, *(out.*member), problems);
          },
          [=](const T& value) { return value.*member ? show_section(table, *(value.*member)) : Json(); },
          [=](const std::string& path, std::string& out) { section_page(table, path, out); }};
}

std::string accept_pattern(const std::string& text) {
  if (text.empty()) return "a pattern needs at least one character";
  return text.size() <= pattern_bytes_max ? std::string()
                                          : format("a pattern has at most {} characters", pattern_bytes_max);
}

KindedSection<OptimizerSection, OptimizerKind, optimizer_names.size()> optimizer_section() {
  using O = OptimizerSection;
  using K = OptimizerKind;
  const std::vector<K> moments{K::adam, K::adamw, K::lamb};
  const std::vector<K> decaying{K::sgd, K::adam, K::adamw, K::adagrad, K::rmsprop, K::lars, K::lamb};
  return {
      &O::kind,
      optimizer_names,
      optimizer_defaults,
      {
          {number(&O::learning_rate, "learning_rate", 0, 1000, "Step size."), {}},
          {number(&O::momentum, "momentum", 0, below_one, "Share of the last step that is taken again."),
           {K::sgd, K::rmsprop, K::lars}},
          {flag(&O::nesterov, "nesterov", "Nesterov's momentum."), {K::sgd}},
          {number(&O::weight_decay, "weight_decay", 0, 1, "Decay of weights, not of biases and batch norm."),
           decaying},
          {two_numbers(&O::betas, "betas", 0, below_one, "Decay of the mean and of the mean square."),
           moments},
          {number(&O::epsilon, "epsilon", tiny, 1, "Added to the denominator."),
           {K::adam, K::adamw, K::adagrad, K::rmsprop, K::lamb}},
          {number(&O::rho, "rho", 0, below_one, "Decay of the mean square."), {K::rmsprop}},
          {flag(&O::centered, "centered", "Divide by the deviation instead of the root mean square."),
           {K::rmsprop}},
          {number(&O::initial_accumulator, "initial_accumulator", 0, 1e6,
                  "What the sum of squares begins with."),
           {K::adagrad, K::ftrl}},
          {number(&O::l1, "l1", 0, 1e6, "L1 penalty of weights, not of biases and batch norm."), {K::ftrl}},
          {number(&O::l2, "l2", 0, 1e6, "L2 penalty of weights, not of biases and batch norm."), {K::ftrl}},
          {number(&O::beta, "beta", 0, 1e6, "Added to the root of the sum of squares."), {K::ftrl}},
          {number(&O::trust_coefficient, "trust_coefficient", tiny, 1000,
                  "Of the ratio of the weights' norm to the gradient's."),
           {K::lars}},
          {texts(
               &O::no_decay, "no_decay",
               "Patterns (* and ?) over names of tensors that have no weight decay, beside biases and batch "
               "norm; of ftrl: no l1 and l2.",
               "list of patterns", accept_pattern),
           {}},
      },
      "The update rule."};
}

ScheduleSection schedule_defaults(ScheduleKind kind) { return {.kind = kind}; }

KindedSection<ScheduleSection, ScheduleKind, schedule_names.size()> schedule_section() {
  using C = ScheduleSection;
  using K = ScheduleKind;
  Field<C> step_epochs = integer(&C::step_epochs, "step_epochs", 1, 1'000'000, "Epochs between two drops.");
  step_epochs.show = [](const C& value) {
    return value.milestones.empty() ? Json(value.step_epochs) : Json();
  };
  return {
      &C::kind,
      schedule_names,
      schedule_defaults,
      {
          {integer(&C::warmup_steps, "warmup_steps", 0, 1ull << 40, "Steps of linear growth from 0."), {}},
          {step_epochs, {K::step}},
          {rising(&C::milestones, "milestones", 1, 1'000'000,
                  "Epochs after which the rate drops, in the place of step_epochs."),
           {K::step}},
          {number(&C::factor, "factor", 0, 1, "What a drop multiplies by."), {K::step}},
          {number(&C::min_rate, "min_rate", 0, 1000, "The rate of the last step."), {K::cosine}},
          {number(&C::rise, "rise", 0.001, 0.999, "Share of the steps until the peak, the learning rate."),
           {K::one_cycle}},
          {number(&C::start_divisor, "start_divisor", 1, 1e9, "The peak divided by this is the first rate."),
           {K::one_cycle}},
          {number(&C::end_divisor, "end_divisor", 1, 1e12,
                  "The first rate divided by this is the last rate."),
           {K::one_cycle}},
          {number(&C::power, "power", 0.01, 100, "Of what is left of the steps."), {K::polynomial}},
          {number(&C::end_rate, "end_rate", 0, 1000, "The rate of the last step."), {K::polynomial}},
      },
      "How the learning rate changes."};
}

Field<TrainSection> clip_field() {
  using C = ClipSection;
  const Table<C> table{
      optional_number(&C::norm, "norm", tiny, 1e9, "Largest global norm of a step's mean gradient."),
      optional_number(&C::value, "value", tiny, 1e9, "Largest absolute value in a step's mean gradient.")};
  return {"clip",
          "Bounds of the gradient.",
          section_schema(table),
          "section",
          false,
          [=](const Node& node, const std::string& path, TrainSection& out, Problems& problems) {
            read_section(node, path, table, out.clip, problems);
            if (out.clip.norm && out.clip.value)
              problems.add(node.place, path, "norm and value exclude each other; give one of them");
          },
          [=](const TrainSection& value) {
            return value.clip.norm || value.clip.value ? show_section(table, value.clip) : Json();
          },
          [=](const std::string& path, std::string& out) { section_page(table, path, out); }};
}

const Table<ParameterRule>& rule_table() {
  using R = ParameterRule;
  static const Table<R> table{
      required(text(&R::match, "match", "Pattern over tensor names.", accept_pattern)),
      optional_number(&R::learning_rate, "learning_rate", 0, 1000, "Times the rate of the schedule."),
      optional_number(&R::weight_decay, "weight_decay", 0, 1, "In the place of the optimizer's."),
      optional(&R::freeze, flag(&std::pair<bool, int>::first, "freeze", "Neither sent nor updated."))};
  return table;
}

Field<TrainSection> parameters_field() {
  return list_field<TrainSection, ParameterRule>(
      &TrainSection::parameters, "parameters",
      "Other settings for tensors whose names match: {match: \"conv1.*\", learning_rate: times the rate, "
      "weight_decay: instead of the optimizer's, freeze: true}. The last entry that matches wins. What is "
      "frozen costs no backward time; a batch_norm whose scale and shift are frozen keeps its statistics "
      "too.",
      "list of rules", Json{{"type", "array"}, {"items", section_schema(rule_table())}},
      [](const Node& node, const std::string& path, std::vector<ParameterRule>& out, Problems& problems) {
        ParameterRule& rule = out.emplace_back();
        const std::size_t before = problems.size();
        read_section(node, path, rule_table(), rule, problems);
        if (problems.size() == before && !rule.learning_rate && !rule.weight_decay && !rule.freeze)
          problems.add(node.place, path, "says nothing: add learning_rate, weight_decay or freeze");
      },
      [](const ParameterRule& rule) { return show_section(rule_table(), rule); });
}

std::string accept_metric(const std::string& text) {
  const auto it = std::find(history_metrics.begin(), history_metrics.end(), text);
  if (it != history_metrics.end()) return "";
  const std::vector<std::string> names(history_metrics.begin(), history_metrics.end());
  const auto hint = nearest(text, names);
  return format("'{}' is not one of {}{}", shortened(text), join(names, ", "),
                hint ? format("; did you mean '{}'?", *hint) : "");
}

Field<TrainSection> early_stop_field() {
  using E = EarlyStop;
  return optional_section(
      &TrainSection::early_stop, "early_stop",
      Table<E>{
          text(&E::metric, "metric",
               "Any metric of the history; of a loss and of times less is better, else more.", accept_metric),
          integer(&E::patience, "patience", 1, 100'000, "Epochs without improvement.")},
      "End when a metric no longer improves.");
}

}  // namespace

Table<TrainSection> train_section() {
  using S = TrainSection;
  return {
      integer(&S::epochs, "epochs", 1, 1'000'000, "Passes over the training split."),
      kinded(&S::optimizer, "optimizer", optimizer_section(), "How values change."),
      kinded(&S::schedule, "schedule", schedule_section(), "How the learning rate changes."),
      clip_field(),
      integer(&S::accumulation, "accumulation", 1, 4096,
              "Batches of each trainer whose gradients are summed before one update."),
      optional_section(&S::ema, "ema",
                       Table<EmaSection>{number(&EmaSection::decay, "decay", 0, below_one,
                                                "Share of the average that stays at each step.")},
                       "Exponential moving average of the values; validation, test and bundle use it."),
      parameters_field(),
      choice(
          &S::precision, "precision",
          {{kPrecisionNames[0], Precision::fp32},
           {kPrecisionNames[1], Precision::bf16},
           {kPrecisionNames[2], Precision::fp16}},
          {},
          "Of what convolutions, dense layers and matrix products read, forward and backward; weights, sums, "
          "statistics, losses and the model that is left are fp32. fp16: the loss is scaled, and a batch "
          "whose "
          "gradients overflow is left out."),
      choice(
          &S::low_memory, "memory", {{"normal", false}, {"low", true}}, {},
          "low: what the backward pass needs of the forward pass is computed a second time, piece by piece, "
          "instead of being kept; the same bits, for about a third more time."),
      flag(&S::deterministic, "deterministic",
           "The same bits with any number of threads; some operators then take longer."),
      integer(&S::seed, "seed", 0, 1ull << 53, "Of initial values, order, augmentation and dropout."),
      flag(&S::profile, "profile",
           "Time every operator of some steps: a table in the trainer's log, and trace.json, for "
           "chrome://tracing or Perfetto, beside the model."),
      early_stop_field(),
  };
}

void check_train(const Node& root, const JobSpec& spec, Problems& problems) {
  const auto at = [&](const std::string& path, const std::string& message) {
    problems.add(nearest_node(root, path).place, path, message);
  };
  const OptimizerSection& optimizer = spec.train.optimizer;
  const ScheduleSection& schedule = spec.train.schedule;
  if (optimizer.nesterov && optimizer.momentum == 0)
    at("train.optimizer.nesterov", "needs a momentum above 0");
  if (optimizer.kind == OptimizerKind::ftrl) {
    if (schedule.kind != ScheduleKind::constant || schedule.warmup_steps != 0)
      at("train.schedule", "ftrl needs a rate that never changes: kind constant without warmup_steps");
    if (optimizer.learning_rate == 0)
      at("train.optimizer.learning_rate", "ftrl divides by it; use more than 0");
    for (std::size_t i = 0; i < spec.train.parameters.size(); ++i) {
      const ParameterRule& rule = spec.train.parameters[i];
      const std::string path = format("train.parameters.{}", i);
      if (rule.weight_decay) at(path + ".weight_decay", "is not an option of ftrl; use no_decay");
      if (rule.learning_rate == 0.0) at(path + ".learning_rate", "ftrl divides by it; use freeze: true");
    }
  }
  if (!schedule.milestones.empty() &&
      nearest_node(root, "train.schedule.step_epochs").kind == Node::Kind::scalar)
    at("train.schedule.step_epochs", "excludes milestones; give one of them");
  if (schedule.min_rate > optimizer.learning_rate)
    at("train.schedule.min_rate",
       format("{} is above the learning rate of {}", schedule.min_rate, optimizer.learning_rate));
  if (schedule.end_rate > optimizer.learning_rate)
    at("train.schedule.end_rate",
       format("{} is above the learning rate of {}", schedule.end_rate, optimizer.learning_rate));
  if (spec.train.early_stop && spec.train.early_stop->metric.starts_with("validation/") &&
      spec.data.validation == 0)
    at("train.early_stop.metric",
       format("{} needs records to validate; data.split.validation is 0", spec.train.early_stop->metric));
}

}  // namespace trainyard::config
