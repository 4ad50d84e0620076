// Shell completion, written from the verbs and options as the parser knows them: nothing to keep in step by
// hand.
#include <CLI/CLI.hpp>
#include <memory>

#include "common/base/text.hpp"
#include "daemons/cli/context.hpp"
#include "daemons/cli/terminal.hpp"

namespace trainyard::cli {

namespace {

struct Verb {
  std::string name, description;
  std::vector<std::string> options;  // "--output", "-o"
};

std::vector<std::string> options_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  return names;
}

std::vector<Verb> verbs_of(const CLI::App& app) {
  std::vector<Verb> verbs;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    std::vector<std::string> options = options_of(*verb);
    for (const std::string& option : options_of(app)) {
      if (std::find(options.begin(), options.end(), option) == options.end()) options.push_back(option);
    }
    verbs.push_back({verb->get_name(), verb->get_description(), std::move(options)});
  }
  return verbs;
}

/// 'text' for any of the three shells, whatever is in it.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string names_of(const std::vector<Verb>& verbs) {
  std::vector<std::string> names;
  names.reserve(verbs.size());
  for (const Verb& verb : verbs) names.push_back(verb.name);
  return join(names, " ");
}

std::string bash_text(const std::vector<Verb>& verbs) {
  std::string out =
      "_trainyard() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]}\n"
      "  COMPREPLY=()\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    COMPREPLY=($(compgen -W '" +
      names_of(verbs) +
      "' -- \"$word\"))\n"
      "    return\n"
      "  fi\n"
      "  case \"$word\" in -*) ;; *) return ;; esac\n"
      "  case \"$verb\" in\n";
  for (const Verb& verb : verbs) {
    out += format("    {}) COMPREPLY=($(compgen -W '{}' -- \"$word\")) ;;\n", verb.name,
                  join(verb.options, " "));
  }
  return out + "  esac\n}\ncomplete -o default -F _trainyard trainyard\n";
}

std::string zsh_text(const std::vector<Verb>& verbs) {
  std::string out =
      "#compdef trainyard\n"
      "_trainyard() {\n"
      "  if (( CURRENT == 2 )); then\n"
      "    local -a verbs=(\n";
  for (const Verb& verb : verbs) out += "      " + quoted(verb.name + ":" + verb.description) + "\n";
  out +=
      "    )\n"
      "    _describe 'command' verbs\n"
      "    return\n"
      "  fi\n"
      "  if [[ $words[CURRENT] != -* ]]; then\n"
      "    _files\n"
      "    return\n"
      "  fi\n"
      "  case $words[2] in\n";
  for (const Verb& verb : verbs)
    out += format("    {}) compadd -- {} ;;\n", verb.name, join(verb.options, " "));
  return out + "  esac\n}\ncompdef _trainyard trainyard\n";
}

std::string fish_text(const std::vector<Verb>& verbs) {
  std::string out;
  for (const Verb& verb : verbs) {
    out += format("complete -c trainyard -n __fish_use_subcommand -a {} -d {}\n", verb.name,
                  quoted(verb.description));
    for (const std::string& option : verb.options) {
      const bool is_long = option.rfind("--", 0) == 0;
      out += format("complete -c trainyard -n '__fish_seen_subcommand_from {}' {} {}\n", verb.name,
                    is_long ? "-l" : "-s", option.substr(is_long ? 2 : 1));
    }
  }
  return out;
}

}  // namespace

void add_completion(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand(
      "completion", "Print the shell's completion script: eval \"$(trainyard completion bash)\"");
  auto shell = std::make_shared<std::string>();
  verb->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  verb->callback([&app, &context, shell] {
    context.action = [&app, shell] {
      const std::vector<Verb> verbs = verbs_of(app);
      put(*shell == "bash" ? bash_text(verbs) : *shell == "zsh" ? zsh_text(verbs) : fish_text(verbs));
      return exit_ok;
    };
  });
}

}  // namespace trainyard::cli
