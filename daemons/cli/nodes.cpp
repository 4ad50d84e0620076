#include <CLI/CLI.hpp>
#include <memory>

#include "common/base/text.hpp"
#include "daemons/cli/context.hpp"
#include "daemons/cli/listing.hpp"

namespace trainyard::cli {

namespace {

std::string share(const Json& node, std::string_view free, std::string_view all) {
  return format("{}/{}", metric_text(number_at(node, free)), metric_text(number_at(node, all)));
}

std::string memory_share(const Json& node) {
  return size_text(static_cast<std::uint64_t>(std::max<std::int64_t>(0, integer_at(node, "memory_free")))) +
         "/" + size_text(static_cast<std::uint64_t>(std::max<std::int64_t>(0, integer_at(node, "memory"))));
}

std::string join_list(const Json& list) {
  std::vector<std::string> parts;
  for (const Json& entry : list)
    parts.push_back(entry.is_string() ? entry.get<std::string>() : to_text(entry));
  return parts.empty() ? "-" : join(parts, ",");
}

std::string labels_text(const Json& node) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : object_at(node, "labels").items()) {
    parts.push_back(name + "=" + (value.is_string() ? value.get<std::string>() : to_text(value)));
  }
  return parts.empty() ? "-" : join(parts, ",");
}

std::string nodes_table(const Json& answer, bool wide) {
  std::vector<std::string> header = {"NAME",      "STATE", "CPUS FREE", "MEMORY FREE",
                                     "GPUS FREE", "TASKS", "HEARD"};
  if (wide) header.insert(header.end(), {"ADDRESS", "GPU MODELS", "LABELS"});
  Table table(header);
  const std::int64_t now = SystemClock{}.now().wall;
  for (const Json& node : list_at(answer, "nodes")) {
    const Json& tasks = list_at(node, "tasks");
    std::vector<std::string> row = {text_at(node, "name"),
                                    text_at(node, "state"),
                                    share(node, "cpus_free", "cpus"),
                                    memory_share(node),
                                    share(node, "gpus_free", "gpus"),
                                    wide ? join_list(tasks) : format("{}", tasks.size()),
                                    age_text(now - integer_at(node, "last_heard_ms", now)) + " ago"};
    if (wide) {
      row.insert(row.end(),
                 {text_at(node, "address"), join_list(list_at(node, "gpu_models")), labels_text(node)});
    }
    table.add(std::move(row));
  }
  return table.text();
}

std::string node_text(const Json& node, bool) {
  std::string out = format("node {}: {}\n", text_at(node, "name"), text_at(node, "state"));
  out += "address: " + text_at(node, "address") + "\n";
  out += "cpus free: " + share(node, "cpus_free", "cpus") + "\n";
  out += "memory free: " + memory_share(node) + "\n";
  out +=
      "gpus free: " + share(node, "gpus_free", "gpus") + "  " + join_list(list_at(node, "gpu_models")) + "\n";
  out += "labels: " + labels_text(node) + "\n";
  out += "tasks: " + join_list(list_at(node, "tasks")) + "\n";
  out += "heard: " + wall_text(integer_at(node, "last_heard_ms")) + "\n";
  return out;
}

}  // namespace

void add_nodes(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("nodes", "List executors, what they offer and what is free");
  auto options = std::make_shared<ListOptions>();
  add_list_options(*verb, *options);
  verb->callback([&context, options] {
    context.action = [&context, options] {
      return show_listing(context, "/nodes", {}, *options, nodes_table);
    };
  });
}

void add_node(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("node", "Everything about one executor");
  auto options = std::make_shared<ListOptions>();
  auto name = std::make_shared<std::string>();
  verb->add_option("NAME", *name, "The executor")->required();
  add_list_options(*verb, *options);
  verb->callback([&context, options, name] {
    context.action = [&context, options, name] {
      return show_listing(context, "/nodes/" + *name, {}, *options, node_text);
    };
  });
}

}  // namespace trainyard::cli
