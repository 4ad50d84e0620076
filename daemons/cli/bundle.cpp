#include "daemons/cli/bundle.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/base/text.hpp"
#include "common/runtime/daemon.hpp"
#include "daemons/cli/terminal.hpp"

namespace trainyard::cli {

int become_trainer(const std::string& bundle, const std::vector<std::string>& arguments) {
  if (access((bundle + "/bundle.yaml").c_str(), R_OK) != 0) {
    return fail(
        {Errc::not_found, format("{}: no model bundle there (it has no readable bundle.yaml)", bundle)});
  }
  return become_trainer(arguments);
}

int become_trainer(const std::vector<std::string>& arguments) {
  const std::string binary = runtime::binary_directory() + "/trainyard-trainer";
  std::vector<std::string> command = {binary};
  command.insert(command.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(command.size() + 1);
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  execv(binary.c_str(), argv.data());
  return fail({Errc::io, format("{}: {}", binary, std::strerror(errno))});
}

}  // namespace trainyard::cli
