// Lists and single things that the master tells about: fetched, printed in the wanted format, again and again
// with
// --watch. The verbs differ only in the path and in how a table is made of the answer.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "daemons/cli/client.hpp"
#include "daemons/cli/table.hpp"

namespace CLI {
class App;
}

namespace trainyard::cli {

struct ListOptions {
  std::string output = "table";
  bool watch = false;
};

/// Adds -o and --watch to a verb.
void add_list_options(CLI::App& verb, ListOptions& options);

/// `render` makes the text for people; `wide` asks for more columns.
int show_listing(const Context& context, const std::string& path, const Client::Query& query,
                 const ListOptions& options,
                 const std::function<std::string(const Json&, bool wide)>& render);

}  // namespace trainyard::cli
