// How the gang works together: options of `strategy`, and what of them fits together.
#include "common/config/fields.hpp"
#include "common/config/tables.hpp"

namespace trainyard::config {

Table<StrategySection> strategy_section() {
  using S = StrategySection;
  using D = DelaySection;
  using U = UpdateRule;
  const Table<D> delay{
      choice(&D::variant, "variant", {{"constant", D::Variant::constant}, {"adaptive", D::Variant::adaptive}},
             {}, "adaptive: lambda is divided by the root of the gradients' mean square, value by value."),
      optional_number(
          &D::lambda, "lambda", 0, 1000,
          "Weight of the compensation; 0 is async. 2 of adaptive, 0.04 of constant unless given."),
      number(&D::decay, "decay", 0, 0.9999999, "adaptive: of the mean square.")};
  return {
      choice(&S::kind, "kind",
             {{"parameter_server", StrategyKind::parameter_server},
              {"all_reduce", StrategyKind::all_reduce},
              {"local", StrategyKind::local}},
             {"pipeline"},
             "How trainers share their work; all_reduce: without shards, every trainer has the sum of all "
             "gradients and updates all values; local: one trainer, no shards."),
      choice(&S::update, "update",
             {{"sync", U::sync},
              {"async", U::async},
              {"ssp", U::ssp},
              {"dc_asgd", U::dc_asgd},
              {"dynsgd", U::dynsgd},
              {"local_sgd", U::local_sgd},
              {"easgd", U::easgd},
              {"downpour", U::downpour},
              {"adag", U::adag}},
             {},
             "What becomes of gradients. sync: a step is the mean of all trainers; async: each push at once; "
             "ssp: async with a bound; dc_asgd: async, corrected for delay; dynsgd: async, divided by delay. "
             "Stepping locally for a period: local_sgd (the mean of values), easgd (an elastic centre), "
             "downpour (the sum of changes), adag (changes divided by the period)."),
      integer(&S::staleness, "staleness", 0, 1'000'000,
              "ssp: how many steps a trainer may be ahead of the slowest."),
      integer(&S::backup_trainers, "backup_trainers", 0, 1023,
              "sync: a step is complete without so many of the trainers; what the slowest send is dropped."),
      section(&S::delay, "dc_asgd", delay, "Settings of dc_asgd."),
      integer(&S::period, "period", 1, 1'000'000,
              "local_sgd, easgd, downpour, adag: steps between two exchanges."),
      number(&S::elasticity, "elasticity", 0.0001, 1,
             "easgd: trainer and centre move towards each other by this over the number of trainers."),
      choice(&S::compression, "compression",
             {{"none", Compression::none},
              {"bf16", Compression::bf16},
              {"fp16", Compression::fp16},
              {"int8", Compression::int8},
              {"topk", Compression::topk}},
             {},
             "Of gradients on their way to the shards; values come back in fp32. int8: a byte a value and a "
             "scale for 1024. topk: the largest hundredth. What int8 and topk leave out is added to the next "
             "step's."),
  };
}

void check_strategy(const Node& root, const JobSpec& spec, Problems& problems) {
  const auto at = [&](const std::string& path, const std::string& message) {
    problems.add(nearest_node(root, path).place, path, message);
  };
  const StrategySection& strategy = spec.strategy;
  if (strategy.kind == StrategyKind::local) {
    if (spec.cluster.trainers != 1)
      at("cluster.trainers", "strategy local has one trainer; use 1, or strategy parameter_server");
    if (spec.cluster.parameter_servers != 0)
      at("cluster.parameter_servers", "strategy local has no parameter servers; use 0");
    if (strategy.update != UpdateRule::sync)
      at("strategy.update", "strategy local has nobody to wait for or to be late; use sync");
  } else if (strategy.kind == StrategyKind::all_reduce) {
    if (spec.cluster.parameter_servers != 0)
      at("cluster.parameter_servers", "strategy all_reduce has no parameter servers; use 0");
    if (strategy.update != UpdateRule::sync) at("strategy.update", "strategy all_reduce is always sync");
    if (strategy.backup_trainers != 0)
      at("strategy.backup_trainers", "strategy all_reduce sums the gradients of all trainers; use 0");
    if (strategy.compression != Compression::none)
      at("strategy.compression", "strategy all_reduce sums gradients as they are; use none");
  } else if (spec.cluster.parameter_servers == 0) {
    at("cluster.parameter_servers",
       "strategy parameter_server needs at least 1; or use strategy all_reduce, or local with one trainer");
  }
  if (spec.cluster.replicas > 0 && spec.cluster.parameter_servers == 0)
    at("cluster.replicas", "are of parameter servers, and there are none; use 0");
  if (strategy.backup_trainers > 0) {
    if (strategy.update != UpdateRule::sync)
      at("strategy.backup_trainers", "only update sync waits for trainers; use 0");
    else if (strategy.backup_trainers >= spec.cluster.trainers)
      at("strategy.backup_trainers", format("{} of {} trainers; at least one has to be waited for",
                                            strategy.backup_trainers, spec.cluster.trainers));
  }
  if (strategy.update == UpdateRule::dc_asgd && spec.train.optimizer.kind == OptimizerKind::lars)
    at("train.optimizer.kind",
       "lars needs the norm of a gradient before dc_asgd corrects it; use another optimizer, or update "
       "async");
  if (steps_locally(strategy.update)) {
    if (strategy.compression != Compression::none)
      at("strategy.compression", "is of gradients, and this rule sends values and changes; use none");
    if (spec.train.ema)
      at("train.ema", "shards see values once a period; leave it out with a rule that steps locally");
  }
}

}  // namespace trainyard::config
