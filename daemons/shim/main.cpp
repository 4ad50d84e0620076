// trainyard-shim TASK_DIR: started by the executor, one for each task; users never call it.
#include <string>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "daemons/shim/shim.hpp"

int main(int argc, char** argv) {
  using namespace trainyard;
  log::configure({.daemon = "trainyard-shim"});
  const std::string argument = argc == 2 ? argv[1] : "";
  if (argument == "--version") return fmt::print("trainyard-shim {}\n", TRAINYARD_VERSION), 0;
  if (argument.empty() || argument.front() == '-') {
    fmt::print(
        "usage: trainyard-shim TASK_DIR\nRuns the task that TASK_DIR/launch.json describes. The executor "
        "starts it; it is not meant to be typed.\n");
    return argument == "--help" ? 0 : 2;
  }
  auto launch = runtime::read_launch(argument);
  if (!launch) return log::error("{}", launch.error().message), 2;
  shim::Shim shim(argument, std::move(*launch));
  if (const Status run = shim.run(); !run) return log::error("{}", run.error().message), 1;
  return 0;
}
