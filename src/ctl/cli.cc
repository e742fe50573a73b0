// The command line: CLI11 built from the table of verbs, and the one place where a verb is run.

#include <unistd.h>

#include <csignal>
#include <map>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "ctl/ctl.h"
#include "ctl/global_options.h"
#include "ctl/synonyms.h"
#include "ctl/verb.h"
#include "loop/flow.h"
#include "loop/process.h"

namespace candela::ctl {

std::span<const VerbOption> global_options() {
    static const VerbOption options[] = {
        {"--json", "", "", "Prints JSON; the form is stable (docs/ctl-json.md)"},
        {"--space", "-s", "NAME", "The space to act in (default)"},
        {"--address", "-a", "ADDRESS", "unix:PATH or https://HOST:PORT; or CANDELA_ADDRESS"},
        {"--creds", "", "FILE", "The .creds file to log in with; or CANDELA_CREDS"},
        {"--ca", "", "FILE", "PEM of the cloud's certificate authority"},
        {"--fingerprint", "", "SHA256", "Of the lighthouse's certificate"},
    };
    return options;
}

namespace {

constexpr std::string_view kListVerb = "list";

std::string full_name(const Verb& verb) {
    return verb.group.empty() ? std::string(verb.name)
                              : fmt::format("{} {}", verb.group, verb.name);
}

// One verb's part of the command line, with where CLI11 puts what was given.
struct Bound {
    const Verb* verb = nullptr;
    CLI::App* app = nullptr;
    std::map<std::string, std::string> values;
    std::map<std::string, std::vector<std::string>> lists;
    std::map<std::string, bool> flags;
};

class CommandLine {
public:
    CommandLine() : app_("Deploys, shows and operates services.", "candela ctl") {
        app_.require_subcommand(0);
        app_.fallthrough();
        app_.set_help_flag("-h,--help", "Shows this");
        for (const VerbOption& option : global_options()) add_option(app_, option, globals_);
        for (const Verb& verb : verb_table()) add_verb(verb);
        app_.footer(
            "Every verb has --help. Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 denied,\n"
            "5 conflict, 6 unreachable, 7 timed out and still going, 8 rolled back, 10 differences.");
    }

    CLI::App& app() { return app_; }
    const Bound& globals() const { return globals_; }
    // The verb that was named; null where there was none.
    const Bound* chosen() const {
        for (const auto& bound : verbs_) {
            if (bound->app->parsed()) return bound.get();
        }
        return nullptr;
    }
    // Words that may follow "candela ctl" or a group.
    std::vector<std::string> words_below(std::string_view group) const {
        std::vector<std::string> out;
        for (const Verb& verb : verb_table()) {
            const bool is_top = group.empty();
            if (is_top)
                out.emplace_back(verb.group.empty() ? verb.name : verb.group);
            else if (verb.group == group)
                out.emplace_back(verb.name);
        }
        return out;
    }
    bool is_group(std::string_view word) const { return groups_.contains(word); }
    // A group that is named alone lists what it is about: "nodes" is "nodes list".
    bool has_list(std::string_view group) const {
        return std::ranges::any_of(verb_table(), [&](const Verb& verb) {
            return verb.group == group && verb.name == kListVerb;
        });
    }
    CLI::App* parsed_group() {
        for (const auto& [name, app] : groups_) {
            if (app->parsed()) return app;
        }
        return nullptr;
    }

private:
    void add_option(CLI::App& app, const VerbOption& option, Bound& bound) {
        std::string names = option.short_name.empty() ? "" : std::string(option.short_name) + ",";
        names += option.name;
        const std::string key(option.name);
        if (option.value_name.empty()) {
            app.add_flag(names, bound.flags[key], std::string(option.help));
        } else if (option.is_repeated) {
            app.add_option(names, bound.lists[key], std::string(option.help))
                ->type_name(std::string(option.value_name))
                ->allow_extra_args(false);
        } else {
            app.add_option(names, bound.values[key], std::string(option.help))
                ->type_name(std::string(option.value_name));
        }
    }

    void add_verb(const Verb& verb) {
        CLI::App* parent = &app_;
        if (!verb.group.empty()) {
            auto found = groups_.find(verb.group);
            if (found == groups_.end()) {
                CLI::App* made =
                    app_.add_subcommand(std::string(verb.group), group_summary(verb.group));
                made->fallthrough();
                found = groups_.emplace(std::string(verb.group), made).first;
            }
            parent = found->second;
        }
        auto bound = std::make_unique<Bound>();
        bound->verb = &verb;
        bound->app = parent->add_subcommand(std::string(verb.name), std::string(verb.summary));
        bound->app->fallthrough();
        for (const VerbArgument& argument : verb.arguments) {
            const std::string name(argument.name);
            const std::string help(argument.help);
            CLI::Option* added = argument.is_rest
                                     ? bound->app->add_option(name, bound->lists[name], help)
                                     : bound->app->add_option(name, bound->values[name], help);
            added->type_name("");
            if (argument.is_required) added->required();
        }
        for (const VerbOption& option : verb.options) add_option(*bound->app, option, *bound);
        verbs_.push_back(std::move(bound));
    }

    static std::string group_summary(std::string_view group) {
        std::vector<std::string> names;
        for (const Verb& verb : verb_table()) {
            if (verb.group == group) names.emplace_back(verb.name);
        }
        return join(names, ", ");
    }

    CLI::App app_;
    Bound globals_;
    std::map<std::string, CLI::App*, std::less<>> groups_;
    std::vector<std::unique_ptr<Bound>> verbs_;
};

int usage_error(std::string_view message, std::string_view help_of) {
    fmt::print(stderr, "candela ctl: {}\ntry: candela ctl {}{}--help\n", message, help_of,
               help_of.empty() ? "" : " ");
    return kUsage;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known) {
    const std::vector<std::string_view> views(known.begin(), known.end());
    auto near = meant_by(word, known);
    if (!near) near = nearest(word, views);
    return near ? fmt::format("; did you mean \"{}\"?", *near) : "";
}

// Where the verb's words are among the arguments, two at most.
std::vector<size_t> word_places(std::span<const std::string_view> arguments) {
    std::vector<size_t> places;
    for (size_t i = 0; i < arguments.size() && places.size() < 2; ++i) {
        const std::string_view argument = arguments[i];
        if (argument == "--") break;
        if (!argument.starts_with('-')) {
            places.push_back(i);
            continue;
        }
        for (const VerbOption& option : global_options()) {
            const bool takes_next = !option.value_name.empty() &&
                                    (argument == option.name || argument == option.short_name);
            if (takes_next) ++i;
        }
    }
    return places;
}

// The verb's words, before CLI11 sees them: it knows no suggestions. Absent: all is well, and a
// group that was named alone has got its "list".
std::optional<int> check_words(const CommandLine& line, std::vector<std::string_view>& arguments) {
    std::vector<size_t> places = word_places(arguments);
    if (places.empty()) return std::nullopt;
    if (arguments[places[0]] == "help") {  // as git has it
        arguments.erase(arguments.begin() + static_cast<ptrdiff_t>(places[0]));
        arguments.push_back("--help");
        places = word_places(arguments);
        if (places.empty()) return std::nullopt;
    }
    const std::string_view first = arguments[places[0]];
    const std::vector<std::string> top = line.words_below("");
    if (std::find(top.begin(), top.end(), first) == top.end()) {
        return usage_error(
            fmt::format("unknown verb \"{}\"{}", printable(first, 60), did_you_mean(first, top)),
            "");
    }
    if (!line.is_group(first)) return std::nullopt;
    const std::vector<std::string> below = line.words_below(first);
    if (places.size() < 2) {
        const bool wants_help =
            std::find(arguments.begin(), arguments.end(), "--help") != arguments.end() ||
            std::find(arguments.begin(), arguments.end(), "-h") != arguments.end();
        if (wants_help) return std::nullopt;
        if (line.has_list(first)) {
            arguments.insert(arguments.begin() + static_cast<ptrdiff_t>(places[0]) + 1, kListVerb);
            return std::nullopt;
        }
        return usage_error(fmt::format("{} what? There are {}", first, join(below, ", ")), first);
    }
    const std::string_view second = arguments[places[1]];
    if (std::find(below.begin(), below.end(), second) != below.end()) return std::nullopt;
    return usage_error(fmt::format("unknown verb \"{} {}\"{}", first, printable(second, 60),
                                   did_you_mean(second, below)),
                       first);
}

// CLI11's own texts name no suggestion and its classes; ours do.
int explain_parse_error(CommandLine& line, const CLI::ParseError& error) {
    const Bound* chosen = line.chosen();
    const std::string help_of = chosen != nullptr ? full_name(*chosen->verb) : "";
    if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
        std::vector<std::string> known{"--help"};
        for (const VerbOption& option : global_options()) known.emplace_back(option.name);
        if (chosen != nullptr) {
            for (const VerbOption& option : chosen->verb->options) known.emplace_back(option.name);
        }
        const std::vector<std::string> extras = line.app().remaining(true);
        const std::string extra = extras.empty() ? "" : extras.front();
        if (extra.starts_with('-')) {
            return usage_error(fmt::format("unknown option \"{}\"{}", printable(extra, 60),
                                           did_you_mean(extra.substr(0, extra.find('=')), known)),
                               help_of);
        }
        return usage_error(fmt::format("unexpected \"{}\"", printable(extra, 60)), help_of);
    }
    return usage_error(error.what(), help_of);
}

// What was given on the command line, as the verb sees it.
Arguments collect(const Bound& bound) {
    Arguments out;
    for (const auto& [name, value] : bound.values) {
        const CLI::Option* option = bound.app->get_option_no_throw(name);
        if (option != nullptr && option->count() > 0) out.set(name, value);
    }
    for (const auto& [name, values] : bound.lists) out.set_list(name, values);
    for (const auto& [name, is_set] : bound.flags) {
        if (is_set) out.set(name, "");
    }
    return out;
}

// The first line is what happened; the others are what to try.
void print_error(Terminal& terminal, const Error& error) {
    const auto parts = split_once(error.message(), '\n');
    const std::string_view first = parts ? parts->first : std::string_view(error.message());
    terminal.note(fmt::format("{} {}", terminal.paint_note(Style::kRed, "error:"), first));
    if (parts) terminal.note(parts->second);
}

struct Outcome {
    std::optional<Result<int>> result;
};

Task<void> run_verb(const Verb& verb, Session& session, Arguments arguments, Outcome& outcome) {
    auto result = co_await verb.run(session, std::move(arguments));
    outcome.result.emplace(std::move(result));
}

int run_chosen(const CommandLine& line, const Bound& bound, build::MakeWorkshop make_workshop) {
    Terminal terminal = Terminal::from_environment();
    const auto global = [&](const std::string& name) { return line.globals().values.at(name); };
    Target target;
    if (bound.verb->needs_lighthouse) {
        TargetOptions options{global("--address"), global("--creds"), global("--ca"),
                              global("--fingerprint"), global("--space")};
        auto found = find_target(options, TargetPlaces::usual());
        if (!found) {
            print_error(terminal, found.error());
            return exit_code_of(found.error());
        }
        target = std::move(*found);
    }
    InProcessHub hub;
    UvLoop loop(hub);
    const std::string space = target.space;
    Api api(loop, std::move(target));
    Session session{
        loop, api, terminal, line.globals().flags.at("--json"), space, std::move(make_workshop)};
    bool interrupted = false;
    auto watcher = SignalWatcher::watch(loop, SIGINT, [&] { interrupted = true; });
    Outcome outcome;
    TaskGroup group;
    group.spawn(run_verb(*bound.verb, session, collect(bound), outcome));
    constexpr Duration kForEver = 24h * 3650;
    loop.run_until([&] { return outcome.result.has_value() || interrupted; }, kForEver);
    group.cancel();
    terminal.end_live();
    constexpr int kInterrupted = 130;  // 128 + SIGINT, as shells say it
    if (!outcome.result) {
        terminal.note("interrupted; what the lighthouse was asked to do goes on");
        return kInterrupted;
    }
    if (*outcome.result) return **outcome.result;
    const Error& error = outcome.result->error();
    print_error(terminal, error);
    return exit_code_of(error);
}

}  // namespace

int run(std::span<const std::string_view> arguments, build::MakeWorkshop make_workshop) {
    // A reader that has gone away shows as a failed write.
    std::signal(SIGPIPE, SIG_IGN);
    CommandLine line;
    if (arguments.empty()) {
        fmt::print(stderr, "{}", line.app().help());
        return kUsage;
    }
    std::vector<std::string_view> words(arguments.begin(), arguments.end());
    if (const auto wrong = check_words(line, words)) return *wrong;
    try {
        // CLI11 takes the arguments from the back.
        std::vector<std::string> reversed(words.rbegin(), words.rend());
        line.app().parse(std::move(reversed));
    } catch (const CLI::CallForHelp&) {
        const Bound* chosen = line.chosen();
        std::string text = line.app().help();
        if (chosen != nullptr) {
            const std::string_view group = chosen->verb->group;
            text =
                chosen->app->help(fmt::format("candela ctl{}{}", group.empty() ? "" : " ", group));
        } else if (CLI::App* group = line.parsed_group()) {
            text = group->help("candela ctl");
        }
        fmt::print("{}", text);
        return kOk;
    } catch (const CLI::ParseError& error) {
        return explain_parse_error(line, error);
    }
    const Bound* chosen = line.chosen();
    if (chosen == nullptr) {
        fmt::print(stderr, "{}", line.app().help());
        return kUsage;
    }
    return run_chosen(line, *chosen, std::move(make_workshop));
}

}  // namespace candela::ctl
