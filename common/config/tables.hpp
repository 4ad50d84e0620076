// The tables of our files. Private to common/config.
#pragma once

#include "common/config/cluster_spec.hpp"
#include "common/config/job_spec.hpp"
#include "common/config/schema.hpp"

namespace trainyard::config {

/// Built once, at the first use.
const Table<JobSpec>& job_table();
const Table<ClusterConfig>& cluster_table();
Table<TrainSection> train_section();
Table<StrategySection> strategy_section();
Field<ModelSection> layers_field();
/// `preset`, then the options of presets, which need to know it.
Table<ModelSection> preset_fields();
Field<DataSection> transform_field();
/// Checks between options; `root` says where they stand.
void check_job(const Node& root, const JobSpec& spec, Problems& problems);
void check_model(const Node& root, const JobSpec& spec, Problems& problems);
void check_strategy(const Node& root, const JobSpec& spec, Problems& problems);
void check_train(const Node& root, const JobSpec& spec, Problems& problems);
void check_cluster(const Node& root, const ClusterConfig& config, Problems& problems);
/// Parts of the job's reference page, behind its table.
std::string layers_page();
std::string presets_page();
/// A JSON value as block YAML that reads back the same.
std::string yaml_text(const Json& value);

}  // namespace trainyard::config
