// What every verb is given: the options that stand before or after any verb, and the place for the action
// that the command line chose. Verbs only describe themselves here; main runs the chosen one after parsing.
#pragma once

#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace trainyard::cli {

struct Context {
  std::string master;       // --master HOST:PORT; empty: looked up
  std::string config_file;  // --config; empty: looked up
  std::string log_level = "info";
  std::string log_format = "text";
  std::function<int()> action;  // set by the verb that was named; gives the exit code
};

// Each adds its verb to the program; one file a verb.
void add_up(CLI::App& app, Context& context);
void add_down(CLI::App& app, Context& context);
void add_run(CLI::App& app, Context& context);
void add_submit(CLI::App& app, Context& context);
void add_validate(CLI::App& app, Context& context);
void add_schema(CLI::App& app, Context& context);
void add_reference(CLI::App& app, Context& context);
void add_jobs(CLI::App& app, Context& context);
void add_job(CLI::App& app, Context& context);
void add_logs(CLI::App& app, Context& context);
void add_cancel(CLI::App& app, Context& context);
void add_nodes(CLI::App& app, Context& context);
void add_node(CLI::App& app, Context& context);
void add_evaluate(CLI::App& app, Context& context);
void add_predict(CLI::App& app, Context& context);
void add_inspect(CLI::App& app, Context& context);
void add_completion(CLI::App& app, Context& context);
void add_version(CLI::App& app, Context& context);

}  // namespace trainyard::cli
