#include "daemons/cli/listing.hpp"

#include <CLI/CLI.hpp>

#include "daemons/cli/terminal.hpp"

namespace trainyard::cli {

namespace {

constexpr Duration watch_every = 1s;

std::string render_as(const Json& answer, Format wanted, bool one_line,
                      const std::function<std::string(const Json&, bool)>& render) {
  if (wanted == Format::json && one_line) return to_text(answer) + "\n";
  if (wanted == Format::json || wanted == Format::yaml) return structured(answer, wanted);
  return render(answer, wanted == Format::wide);
}

}  // namespace

void add_list_options(CLI::App& verb, ListOptions& options) {
  verb.add_option("-o,--output", options.output, "table, wide, json or yaml")->capture_default_str();
  verb.add_flag("-w,--watch", options.watch, "Print again when it changes, until Ctrl-C");
}

int show_listing(const Context& context, const std::string& path, const Client::Query& query,
                 const ListOptions& options, const std::function<std::string(const Json&, bool)>& render) {
  const auto wanted = parse_format(options.output);
  if (!wanted) return fail(wanted.error());
  const auto client = connect(context);
  if (!client) return fail(client.error());
  if (options.watch) catch_interrupts();
  std::string shown;
  while (true) {
    const auto answer = client->get(path, query);
    if (!answer) return fail(answer.error());
    const std::string text = render_as(*answer, *wanted, options.watch, render);
    if (text != shown) {
      const bool redraw = options.watch && *wanted != Format::json && can_redraw(Stream::out);
      put((redraw ? "\x1b[H\x1b[2J" : "") + text);
      shown = text;
    }
    if (!options.watch || !has_reader()) return exit_ok;
    pause_for(watch_every);
    if (was_interrupted()) return exit_interrupted;
  }
}

}  // namespace trainyard::cli
