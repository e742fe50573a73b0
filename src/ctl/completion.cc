// `candela ctl completion bash|zsh|fish`: a script made from the table of verbs.

#include <map>
#include <set>

#include "base/text.h"
#include "ctl/global_options.h"
#include "ctl/verb.h"

namespace candela::ctl {

namespace {

std::vector<std::string> option_names(const Verb& verb) {
    std::vector<std::string> out;
    for (const VerbOption& option : verb.options) out.emplace_back(option.name);
    for (const VerbOption& option : global_options()) out.emplace_back(option.name);
    return out;
}

// Verbs and groups at the top, and the verbs of each group.
struct Words {
    std::set<std::string> top;
    std::map<std::string, std::set<std::string>> groups;

    Words() {
        for (const Verb& verb : verb_table()) {
            top.emplace(verb.group.empty() ? verb.name : verb.group);
            if (!verb.group.empty()) groups[std::string(verb.group)].emplace(verb.name);
        }
    }
};

std::string words(const std::set<std::string>& set) {
    return fmt::format("{}", fmt::join(set, " "));
}

std::string bash_script() {
    const Words all;
    std::string cases;
    for (const auto& [group, names] : all.groups) {
        cases += fmt::format("        {}) words=\"{}\" ;;\n", group, words(names));
    }
    std::string options;
    for (const Verb& verb : verb_table()) {
        const std::string key = verb.group.empty() ? std::string(verb.name)
                                                   : fmt::format("{}\\ {}", verb.group, verb.name);
        options +=
            fmt::format("        {}) words=\"{}\" ;;\n", key, fmt::join(option_names(verb), " "));
    }
    return "_candela() {\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} words=\"\"\n"
           "    if [ \"$COMP_CWORD\" = 1 ]; then words=\"ctl dev node init version help\"\n"
           "    elif [ \"${COMP_WORDS[1]}\" != ctl ]; then return\n"
           "    elif [[ $cur == -* ]]; then\n"
           "        local verb=${COMP_WORDS[2]}\n"
           "        case $verb in " +
           fmt::format("{}", fmt::join(
                                 [&] {
                                     std::vector<std::string> names;
                                     for (const auto& [group, unused] : all.groups)
                                         names.push_back(group);
                                     return names;
                                 }(),
                                 "|")) +
           ") verb=\"$verb ${COMP_WORDS[3]}\" ;; esac\n"
           "        case $verb in\n" +
           options +
           "        esac\n"
           "    elif [ \"$COMP_CWORD\" = 2 ]; then words=\"" +
           words(all.top) +
           "\"\n"
           "    elif [ \"$COMP_CWORD\" = 3 ]; then\n"
           "        case ${COMP_WORDS[2]} in\n" +
           cases +
           "        esac\n"
           "    fi\n"
           "    [ -n \"$words\" ] && mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
           "}\n"
           "complete -o default -F _candela candela\n";
}

// Quotes for a single-quoted string of zsh and fish.
std::string quoted(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '\'')
            out += "'\\''";
        else
            out += c;
    }
    return out;
}

std::string zsh_script() {
    // zsh runs bash's completion functions; descriptions would need a second table.
    return "#compdef candela\nautoload -U +X bashcompinit && bashcompinit\n" + bash_script();
}

std::string fish_script() {
    std::string out =
        "complete -c candela -f -n __fish_use_subcommand -a 'ctl dev node init version help'\n";
    for (const Verb& verb : verb_table()) {
        const std::string_view first = verb.group.empty() ? verb.name : verb.group;
        std::string seen = "__fish_seen_subcommand_from ctl; and not __fish_seen_subcommand_from ";
        if (verb.group.empty()) {
            out += fmt::format("complete -c candela -n '{}{}' -a {} -d '{}'\n", seen, first, first,
                               quoted(verb.summary));
        } else {
            out += fmt::format("complete -c candela -n '{}{}' -a {}\n", seen, first, first);
            out += fmt::format(
                "complete -c candela -f -n '__fish_seen_subcommand_from {}' -a {} -d '{}'\n", first,
                verb.name, quoted(verb.summary));
        }
        for (const VerbOption& option : verb.options) {
            out += fmt::format(
                "complete -c candela -n '__fish_seen_subcommand_from {}' -l {} -d '{}'\n",
                verb.group.empty() ? verb.name : verb.group, option.name.substr(2),
                quoted(option.help));
        }
    }
    for (const VerbOption& option : global_options()) {
        out +=
            fmt::format("complete -c candela -n '__fish_seen_subcommand_from ctl' -l {} -d '{}'\n",
                        option.name.substr(2), quoted(option.help));
    }
    return out;
}

Task<Result<int>> run(Session& session, Arguments arguments) {
    const std::string shell = arguments.text("SHELL");
    std::string script;
    if (shell == "bash")
        script = bash_script();
    else if (shell == "zsh")
        script = zsh_script();
    else if (shell == "fish")
        script = fish_script();
    else
        co_return fail(Code::kInvalid, "there are bash, zsh and fish, not \"{}\"",
                       printable(shell));
    session.terminal.out(script);
    co_return kOk;
}

}  // namespace

Verb completion_verb() {
    return Verb{"",
                "completion",
                "Prints a shell's completion script",
                {{"SHELL", "bash, zsh or fish."}},
                {},
                false,
                run};
}

}  // namespace candela::ctl
